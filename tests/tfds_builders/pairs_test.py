import collections
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_builders import pairs


def layout(path):
    """`sar/ID.png` with `optical/ID.png`, all of one scene."""
    if path.parent.name not in ("sar", "optical"):
        return None
    return pairs.Patch(kind=path.parent.name, id=path.stem, scene="1")


@pytest.fixture(name="write_pair")
def pair_writer(tmp_path, write_image):
    def write(name):
        write_image(tmp_path / "sar" / f"{name}.png", mode="L", size=16)
        write_image(tmp_path / "optical" / f"{name}.png", mode="RGB", size=16)

    return write


def read(root):
    return pairs.read_pairs(root, layout, expected="sar/1.png", size=16)


def reasons(root):
    """The reason for every bad file, by its path below the folder."""
    with pytest.raises(pairs.BadFilesError) as caught:
        read(root)
    for bad in caught.value.bad:
        assert f"{bad.path}: {bad.reason}" in str(caught.value)
    return {bad.path.relative_to(root).as_posix(): bad.reason for bad in caught.value.bad}


def test_pairs_are_found_by_id_and_sorted(tmp_path, write_pair):
    for name in "cab":
        write_pair(name)
    found = read(tmp_path)
    assert [pair.patch.id for pair in found] == ["a", "b", "c"]
    assert found[0].sar == tmp_path / "sar" / "a.png" and found[0].optical == tmp_path / "optical" / "a.png"


def test_links_are_followed_and_other_files_ignored(tmp_path, write_pair, write_image):
    write_pair("a")
    (tmp_path / "linked").mkdir()
    for kind in ("sar", "optical"):
        (tmp_path / "linked" / kind).symlink_to(tmp_path / kind, target_is_directory=True)
    write_image(tmp_path / "linked" / "overview.png", mode="RGB")
    (tmp_path / "sar" / "._a.png").write_bytes(b"macOS")
    (tmp_path / "sar" / "notes.txt").write_text("notes")
    [pair] = read(tmp_path / "linked")
    assert pair.sar == tmp_path / "linked" / "sar" / "a.png"


def test_all_bad_files_are_listed_with_the_reason_in_one_pass(tmp_path, write_pair, write_image):
    for name in ("good", "lone_sar", "lone_optical", "empty", "broken", "truncated", "small", "colour", "grey", "deep"):
        write_pair(name)
    (tmp_path / "optical" / "lone_sar.png").unlink()
    (tmp_path / "sar" / "lone_optical.png").unlink()
    (tmp_path / "sar" / "empty.png").write_bytes(b"")
    (tmp_path / "sar" / "broken.png").write_bytes(b"no image")
    truncated = tmp_path / "optical" / "truncated.png"
    truncated.write_bytes(truncated.read_bytes()[:-40])
    write_image(tmp_path / "sar" / "small.png", mode="L", size=8)
    write_image(tmp_path / "sar" / "colour.png", mode="RGB", size=16)
    write_image(tmp_path / "optical" / "grey.png", mode="L", size=16)
    Image.fromarray(np.full((16, 16), 300, np.uint16)).save(tmp_path / "sar" / "deep.png")
    write_image(tmp_path / "copy" / "sar" / "good.png", mode="L", size=16)

    found = reasons(tmp_path)
    unreadable = {path for path in found if found[path].startswith("unreadable: ")}
    assert unreadable == {"sar/broken.png", "optical/truncated.png"}
    assert {path: reason for path, reason in found.items() if path not in unreadable} == {
        "sar/lone_sar.png": "no optical partner",
        "optical/lone_optical.png": "no SAR partner",
        "sar/empty.png": "empty, 0 bytes",
        "sar/small.png": "8 x 8 pixels of mode L, expected 16 x 16 of mode L",
        "sar/colour.png": "16 x 16 pixels of mode RGB, expected 16 x 16 of mode L",
        "optical/grey.png": "16 x 16 pixels of mode L, expected 16 x 16 of mode RGB",
        "sar/deep.png": "16 x 16 pixels of mode I;16, expected 16 x 16 of mode L",
        "sar/good.png": f"the same patch as {tmp_path}/copy/sar/good.png",
    }


def test_jpeg_under_the_name_of_a_png_is_bad(tmp_path, write_pair):
    write_pair("a")
    Image.new("L", (16, 16)).save(tmp_path / "sar" / "a.png", format="JPEG")
    assert reasons(tmp_path)["sar/a.png"].startswith("unreadable: ")


def test_folder_without_pairs_is_refused(tmp_path, write_image):
    write_image(tmp_path / "elsewhere" / "a.png", mode="L")
    with pytest.raises(FileNotFoundError, match=r"No pairs under .*expected PNG files such as sar/1\.png"):
        read(tmp_path)


def test_file_goes_in_unchanged_and_grey_in_colour_becomes_grey(tmp_path, write_pair, write_image):
    write_pair("a")
    [plain] = read(tmp_path)
    assert pairs.example(plain)["sar"] == plain.sar

    values = write_image(tmp_path / "sar" / "a.png", mode="L", size=16)
    Image.fromarray(np.repeat(values, 3, axis=-1)).save(tmp_path / "sar" / "a.png")
    [coloured] = read(tmp_path)
    (tmp_path / "grey.png").write_bytes(pairs.example(coloured)["sar"])
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), values[..., 0])


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
    assert pairs.split_of(season, scene) == split


def test_scenes_are_split_about_80_10_10():
    seasons = ("ROIs1158_spring", "ROIs1868_summer", "ROIs1970_fall", "ROIs2017_winter")
    counts = collections.Counter(pairs.split_of(season, str(scene)) for season in seasons for scene in range(1000))
    # Three standard deviations of a binomial draw of 4000.
    assert abs(counts["train"] - 3200) < 76
    assert abs(counts["validation"] - 400) < 57
    assert abs(counts["test"] - 400) < 57


def test_by_split_leaves_out_pairs_and_splits_without_any():
    made = [pairs.Pair(patch=pairs.Patch("sar", str(n), str(n % 3)), sar=Path(), optical=Path()) for n in range(9)]
    splits = pairs.by_split(made, lambda patch: {"0": "test", "1": "train"}.get(patch.scene))
    assert {name: [pair.patch.id for pair in members] for name, members in splits.items()} == {
        "train": ["1", "4", "7"],
        "test": ["0", "3", "6"],
    }
    assert pairs.count_scenes(splits) == {"train": 1, "test": 1}
