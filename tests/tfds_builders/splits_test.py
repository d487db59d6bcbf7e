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


def own_pair(name, scene):
    return files.Pair(patch=files.Patch("sar", name, scene), sar=Path(), optical=Path())


def where(division):
    return {pair.patch.id: split for split, members in division.members.items() for pair in members}


def test_a_scene_is_a_location_unless_numbers_start_anew():
    patches = [files.Patch("sar", str(n), "7", season) for n, season in enumerate(("spring", "fall"))]
    pairs = [files.Pair(patch=patch, sar=Path(), optical=Path()) for patch in patches]
    assert splits.count_scenes({"train": pairs}) == {"train": 1}
    assert splits.count_scenes({"train": pairs}, splits.by_season_and_number) == {"train": 2}


@pytest.mark.parametrize("count", range(3, 40))
def test_three_scenes_and_more_fill_all_splits(count):
    pairs = [own_pair(f"{scene}/{n}", f"scene{scene}") for scene in range(count) for n in range(2)]
    found = splits.deal(pairs)
    assert set(found.members) == set(splits.SPLITS)
    homes = collections.defaultdict(set)
    for name, split in where(found).items():
        homes[name.partition("/")[0]].add(split)
    assert all(len(home) == 1 for home in homes.values()) and len(homes) == count
    counts = collections.Counter(next(iter(home)) for home in homes.values())
    assert counts["train"] >= count / 2 - 1 and splits.deal(pairs[::-1]).rule == found.rule


def test_dealing_is_the_hash_where_that_fills_all_splits():
    pairs = [own_pair(str(scene), f"scene{scene}") for scene in range(200)]
    found = splits.deal(pairs)
    assert where(found) == {pair.patch.id: splits.split_of("", pair.patch.scene) for pair in pairs}
    assert found.rule == "by a hash of the scene"


@pytest.mark.parametrize("count", [33, 36, 100, 401, 10_000])
def test_strips_of_a_running_number_are_two_rows_apart(count):
    cut = splits.strips([f"porto_{number:05d}" for number in range(1, count + 1)])
    if count == 33:
        assert cut is None
        return
    kept = [(number, split) for number, split in enumerate(cut.values()) if split]
    gaps = [after - before for (before, one), (after, other) in itertools.pairwise(kept) if one != other]
    assert len(gaps) == 2 and min(gaps) > 2 * int((count - 1) ** 0.5) + 2
    counts = collections.Counter(cut.values())
    assert counts["train"] >= 8 * counts["test"] and counts["validation"] == counts["test"] >= 1


def test_strips_of_rows_and_columns_follow_the_first_number():
    cut = splits.strips([f"porto_y{128 * row}_x{64 * column}" for row in range(20) for column in range(7)])
    rows = collections.defaultdict(set)
    for name, split in cut.items():
        rows[split].add(int(name.split("_")[1][1:]) // 128)
    assert rows == {"train": {*range(14)}, None: {14, 15, 17, 18}, "validation": {16}, "test": {19}}


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b", "c"] * 20,
        [f"{n}" if n % 2 else f"{n}_{n}" for n in range(100)],
        ["porto_7"] * 50,
        [f"r{row}_c{column}" for row in range(6) for column in range(50)],
        [f"{n}" for n in (*range(60), 1_000_000)],
        [],
    ],
)
def test_ids_that_do_not_tell_cut_no_strips(ids):
    assert splits.strips(ids) is None


def test_one_or_two_scenes_are_cut_and_a_small_one_is_trained_on():
    large = [own_pair(f"porto/{n}", "porto") for n in range(200)]
    small = [own_pair(f"faro/{n}", "faro") for n in range(5)]
    one, both = splits.deal(large), splits.deal(large + small)
    assert set(one.members) == set(both.members) == set(splits.SPLITS)
    assert {name: where(both)[name] for name in where(one)} == where(one)
    assert all(where(both)[pair.patch.id] == "train" for pair in small)
    assert splits.count_scenes(one.members) == dict.fromkeys(splits.SPLITS, 1)
    assert not set.intersection(*(splits.scenes(members) for members in one.members.values()))


def test_scenes_that_cannot_be_cut_are_kept_whole():
    one = splits.deal([own_pair(f"porto/{n}", "porto") for n in range(5)])
    two = splits.deal([own_pair(f"{scene}/{n}", scene) for scene in ("porto", "faro") for n in range(5)])
    assert {split: len(members) for split, members in one.members.items()} == {"train": 5}
    assert {split: len(members) for split, members in two.members.items()} == {"train": 5, "test": 5}
    assert all("the column split of pairs.csv" in found.rule for found in (one, two))
