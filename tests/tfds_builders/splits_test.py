import collections
import itertools
from pathlib import Path

import pytest

from tfds_builders import files, splits

BLOCKS = splits.Blocks()


@pytest.mark.parametrize(
    ("season", "scene", "split"),
    [
        ("ROIs1158_spring", "0", "train"),
        ("ROIs1158_spring", "17", "validation"),
        ("ROIs1158_spring", "18", "test"),
        ("ROIs1868_summer", "59", "train"),
        ("ROIs2020_fall", "274", "test"),
    ],
)
def test_split_of_a_scene_never_changes(season, scene, split):
    # Prepared datasets and published numbers rest on these: a failure here means the rule changed, not the test.
    assert splits.split_of(season, scene) == split


def test_scenes_are_split_about_80_10_10():
    seasons = ("ROIs1158_spring", "ROIs1868_summer", "ROIs1970_fall", "ROIs2017_winter")
    counts = collections.Counter(splits.split_of(season, str(scene)) for season in seasons for scene in range(1000))
    # Three standard deviations of a binomial draw of 4000.
    assert abs(counts["train"] - 3200) < 76
    assert abs(counts["validation"] - 400) < 57
    assert abs(counts["test"] - 400) < 57


def test_by_split_leaves_out_pairs_and_splits_without_any():
    made = [files.Pair(patch=files.Patch("sar", str(n), str(n % 3)), sar=Path(), optical=Path()) for n in range(9)]
    found = splits.by_split(made, lambda patch: {"0": "test", "1": "train"}.get(patch.scene))
    assert {name: [pair.patch.id for pair in members] for name, members in found.items()} == {
        "train": ["1", "4", "7"],
        "test": ["0", "3", "6"],
    }
    assert splits.count_scenes(found) == {"train": 1, "test": 1}


def test_shares_are_nested_and_about_as_large_as_they_say():
    ids = [f"ROIs1158_spring_{scene}_p{patch}" for scene in range(40) for patch in range(250)]
    tenth = {name for name in ids if splits.in_share(name, 0.1)}
    hundredth = {name for name in ids if splits.in_share(name, 0.01)}
    assert hundredth < tenth
    assert abs(len(tenth) - 1000) < 90 and abs(len(hundredth) - 100) < 30  # three standard deviations


def test_blocks_of_a_whole_collection():
    counts = collections.Counter(BLOCKS.split_of(number) for number in range(1, 20_001))
    assert counts == {"train": 15_800, "validation": 1_600, "test": 1_600, None: 1_000}


@pytest.mark.parametrize("blocks", [BLOCKS, splits.Blocks(size=100, margin=40)])
def test_numbers_of_two_splits_are_a_margin_apart(blocks):
    kept = [(number, blocks.split_of(number)) for number in range(1, 20 * blocks.size + 1) if blocks.split_of(number)]
    gaps = [after - before for (before, one), (after, other) in itertools.pairwise(kept) if one != other]
    assert len(gaps) == 5  # train, validation, test, and the same once more
    assert set(gaps) == {blocks.margin + 1}


@pytest.mark.parametrize(
    ("number", "split"),
    [(0, "train"), (1, "train"), (8000, "train"), (8001, None), (8200, None), (8201, "validation"),
     (9000, "validation"), (9001, None), (9201, "test"), (10_000, "test"), (10_001, None), (10_201, "train"),
     (11_001, "train")],
)  # fmt: skip
def test_split_of_a_number_never_changes(number, split):
    assert BLOCKS.split_of(number) == split
