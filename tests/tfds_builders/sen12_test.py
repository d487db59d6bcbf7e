from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_builders import files, sen12, splits
from tfds_builders.sen12 import sen12_dataset_builder

REAL = Path(__file__).parents[3] / "shared" / "data" / "s1s2"


@pytest.fixture(name="prepare")
def sen12_preparer(tmp_path, build):
    def prepare(manual_dir, *, config=None, skip_bad=False):
        builder = sen12.Builder(config=config, data_dir=tmp_path / "prepared", file_format="array_record")
        builder.skip_bad = skip_bad
        return build(builder, manual_dir)

    return prepare


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "ROIs1158_spring/s1_0/ROIs1158_spring_s1_0_p1.png",
            files.Patch("sar", "ROIs1158_spring_0_p1", "0", "ROIs1158_spring"),
        ),
        (
            "ROIs1158_spring/s2_0/ROIs1158_spring_s2_0_p1.png",
            files.Patch("optical", "ROIs1158_spring_0_p1", "0", "ROIs1158_spring"),
        ),
        (
            "v_2/agri/s1/ROIs1970_fall_s1_13_p265.png",
            files.Patch("sar", "ROIs1970_fall_13_p265", "13", "ROIs1970_fall", "agri"),
        ),
        (
            "downloads/s1/ROIs1970_fall_s1_13_p265.png",
            files.Patch("sar", "ROIs1970_fall_13_p265", "13", "ROIs1970_fall"),
        ),
        ("ROIs1158_spring/s1_0/overview.png", None),
        ("ROIs1158_spring/s3_0/ROIs1158_spring_s3_0_p1.png", None),
    ],
)
def test_layout_reads_both_kinds_of_folders(path, expected):
    assert sen12_dataset_builder.layout(Path(path)) == expected


@pytest.mark.parametrize("layout", ["original", "terrain"])
def test_pairs_come_back_bit_for_bit(tmp_path, dummy, prepare, stored, layout):
    script = dummy("sen12")
    written = script["write"](tmp_path / "raw", layout=layout)
    found = stored(prepare(tmp_path / "raw"))
    assert found.keys() == written.keys()
    for key, (sar, optical) in written.items():
        example = found[key]
        season, scene = key.rpartition("_p")[0].rsplit("_", 1)
        assert example["sar"].dtype == example["optical"].dtype == np.uint8
        np.testing.assert_array_equal(example["sar"], sar)
        np.testing.assert_array_equal(example["optical"], optical)
        assert (example["season"].decode(), example["scene"].decode()) == (season, scene)
        assert example["terrain"].decode() == (script["TERRAINS"][int(scene)] if layout == "terrain" else "")
        assert example["split"] == splits.split_of(season, scene)


def test_scenes_and_statistics_are_kept(tmp_path, prepare, write_sen12, scene_in):
    season = "ROIs1158_spring"
    written = [
        write_sen12(tmp_path / "raw", season=season, scene=scene_in(split, season), patch=patch)
        for split in splits.SPLITS
        for patch in (1, 2)
    ]
    info = prepare(tmp_path / "raw").info
    assert {name: split.num_examples for name, split in info.splits.items()} == dict.fromkeys(splits.SPLITS, 2)
    assert info.metadata["scenes"] == dict.fromkeys(splits.SPLITS, 1)
    assert info.metadata["left_out"] == 0
    for kind, images in zip(("sar", "optical"), zip(*written, strict=True), strict=True):
        values = np.stack(images).astype(float)
        statistics = info.metadata["statistics"][kind]
        np.testing.assert_allclose(statistics["mean"], values.mean(axis=(0, 1, 2)), atol=1e-3)
        np.testing.assert_allclose(statistics["std"], values.std(axis=(0, 1, 2)), atol=1e-3)


def test_split_without_scenes_is_left_out(tmp_path, prepare, write_sen12, scene_in):
    write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=scene_in("test", "ROIs1158_spring"), patch=1)
    assert list(prepare(tmp_path / "raw").info.splits) == ["test"]


def test_subsets_hold_their_season_and_share_in_the_splits_of_the_whole(tmp_path, prepare, stored, write_sen12):
    patches = {("ROIs1158_spring", 0): range(30), ("ROIs1970_fall", 13): range(10)}
    for (season, scene), numbers in patches.items():
        for patch in numbers:
            write_sen12(tmp_path / "raw", season=season, scene=scene, patch=patch)
    whole, spring, tenth = (stored(prepare(tmp_path / "raw", config=name)) for name in ("all", "spring", "10pct"))
    assert len(whole) == 40
    assert {key for key in whole if "spring" in key} == spring.keys()
    assert {key for key in whole if splits.in_share(key, 0.1)} == tenth.keys()
    assert all(whole[key]["split"] == subset[key]["split"] for subset in (spring, tenth) for key in subset)


def test_bad_files_stop_the_preparation_before_it_writes(tmp_path, prepare, write_sen12):
    for patch in (1, 2, 3):
        write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=0, patch=patch)
    folder = tmp_path / "raw" / "ROIs1158_spring"
    (folder / "s2_0" / "ROIs1158_spring_s2_0_p1.png").unlink()
    (folder / "s1_0" / "ROIs1158_spring_s1_0_p2.png").write_bytes(b"")
    with pytest.raises(files.BadFilesError, match="2 bad files") as caught:
        prepare(tmp_path / "raw")
    assert [bad.reason for bad in caught.value.bad] == ["no optical partner", "empty, 0 bytes"]
    assert not list((tmp_path / "prepared").rglob("*.array_record*"))


def test_skip_bad_goes_on_with_the_rest(tmp_path, prepare, stored, write_sen12):
    for patch in (1, 2, 3):
        write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=0, patch=patch)
    (tmp_path / "raw" / "ROIs1158_spring" / "s1_0" / "ROIs1158_spring_s1_0_p2.png").write_bytes(b"")
    builder = prepare(tmp_path / "raw", skip_bad=True)
    assert stored(builder).keys() == {"ROIs1158_spring_0_p1", "ROIs1158_spring_0_p3"}
    assert builder.info.metadata["left_out"] == 1


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pairs are not there: {REAL}")
def test_real_pairs_come_back_bit_for_bit(tmp_path, prepare, stored):
    for scene in ("ROIs1868_summer/s{}_59", "ROIs2020_fall/s{}_274"):
        for sensor in (1, 2):
            source = REAL / scene.format(sensor)
            target = tmp_path / "raw" / scene.format(sensor)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source, target_is_directory=True)
    found = stored(prepare(tmp_path / "raw"))
    assert len(found) == len(list((tmp_path / "raw").glob("*/s1_*/*.png"))) > 20
    # The scene of the georeferenced example must stay one that training never sees.
    assert {e["split"] for e in found.values() if e["scene"] == b"274"} == {"test"}
    for key in list(found)[::5]:
        season, scene, patch = key.rsplit("_", 2)
        for sensor, name in ((1, "sar"), (2, "optical")):
            with Image.open(REAL / season / f"s{sensor}_{scene}" / f"{season}_s{sensor}_{scene}_{patch}.png") as image:
                expected = np.asarray(image)
            np.testing.assert_array_equal(found[key][name], expected.reshape(256, 256, -1))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pairs are not there: {REAL}")
def test_audit_finds_the_ground_that_two_real_scenes_share(tmp_path, prepare):
    # Two tiles of the development data show the same ground, a pixel apart, and belong to two splits.
    for scene in ("130", "142"):
        for sensor in (1, 2):
            target = tmp_path / "raw" / "ROIs2020_fall" / f"s{sensor}_{scene}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(REAL / "ROIs2020_fall" / f"s{sensor}_{scene}", target_is_directory=True)
    with pytest.raises(ValueError, match=r"optical of ROIs2020_fall_142_p11 \(train\) and of ROIs2020_fall_130_p11"):
        prepare(tmp_path / "raw")
    assert prepare(tmp_path / "raw", skip_bad=True).info.metadata["left_out"] == 2


def test_mostly_one_value_is_refused(tmp_path, prepare, write_sen12):
    for patch in (1, 2):
        write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=0, patch=patch)
    for path in (tmp_path / "raw").rglob("*_s1_*.png"):
        with Image.open(path) as image:
            values = np.array(image)
        values[:200] = 0
        Image.fromarray(values).save(path)
    with pytest.raises(
        ValueError, match=r"^sar: 78\.\d% of the values of band 1 are 0, expected less than half of sen12"
    ):
        prepare(tmp_path / "raw")
