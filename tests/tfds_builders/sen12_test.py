from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tfds_builders import pairs, sen12
from tfds_builders.sen12 import sen12_dataset_builder

REAL = Path(__file__).parents[3] / "shared" / "data" / "s1s2"


def prepare(manual_dir, data_dir):
    builder = sen12.Builder(data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return builder


def stored(builder):
    """The examples of all splits by id, each with the name of its split."""
    return {
        example["id"].decode(): {**example, "split": split}
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "ROIs1158_spring/s1_0/ROIs1158_spring_s1_0_p1.png",
            pairs.Patch("sar", "ROIs1158_spring_0_p1", "0", "ROIs1158_spring"),
        ),
        (
            "ROIs1158_spring/s2_0/ROIs1158_spring_s2_0_p1.png",
            pairs.Patch("optical", "ROIs1158_spring_0_p1", "0", "ROIs1158_spring"),
        ),
        (
            "v_2/agri/s1/ROIs1970_fall_s1_13_p265.png",
            pairs.Patch("sar", "ROIs1970_fall_13_p265", "13", "ROIs1970_fall", "agri"),
        ),
        ("ROIs1158_spring/s1_0/overview.png", None),
        ("ROIs1158_spring/s3_0/ROIs1158_spring_s3_0_p1.png", None),
    ],
)
def test_layout_reads_both_kinds_of_folders(path, expected):
    assert sen12_dataset_builder.layout(Path(path)) == expected


def test_original_layout_comes_back_bit_for_bit(tmp_path, write_sen12, scene_in):
    season = "ROIs1158_spring"
    written = {}
    for split in pairs.SPLITS:
        scene = scene_in(split, season)
        for patch in (1, 2):
            written[f"{season}_{scene}_p{patch}"] = (
                split,
                str(scene),
                *write_sen12(tmp_path / "raw", season=season, scene=scene, patch=patch),
            )

    builder = prepare(tmp_path / "raw", tmp_path / "prepared")
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == dict.fromkeys(pairs.SPLITS, 2)
    assert builder.info.metadata == {"scenes": dict.fromkeys(pairs.SPLITS, 1)}
    found = stored(builder)
    assert found.keys() == written.keys()
    for key, (split, scene, sar, optical) in written.items():
        example = found[key]
        assert example["sar"].dtype == example["optical"].dtype == np.uint8
        np.testing.assert_array_equal(example["sar"], sar)
        np.testing.assert_array_equal(example["optical"], optical)
        assert (example["split"], example["scene"].decode()) == (split, scene)
        assert (example["season"], example["terrain"]) == (season.encode(), b"")


def test_terrain_layout_comes_back_with_its_terrain(tmp_path, write_image):
    written = {}
    for terrain, scene in (("agri", 13), ("urban", 114)):
        folder = tmp_path / "raw" / "v_2" / terrain
        written[f"ROIs1970_fall_{scene}_p265"] = (
            terrain.encode(),
            write_image(folder / "s1" / f"ROIs1970_fall_s1_{scene}_p265.png", mode="L"),
            write_image(folder / "s2" / f"ROIs1970_fall_s2_{scene}_p265.png", mode="RGB"),
        )
    found = stored(prepare(tmp_path / "raw", tmp_path / "prepared"))
    assert found.keys() == written.keys()
    for key, (terrain, sar, optical) in written.items():
        assert found[key]["terrain"] == terrain
        np.testing.assert_array_equal(found[key]["sar"], sar)
        np.testing.assert_array_equal(found[key]["optical"], optical)


def test_split_without_scenes_is_left_out(tmp_path, write_sen12, scene_in):
    scene = scene_in("test", "ROIs1158_spring")
    write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=scene, patch=1)
    assert list(prepare(tmp_path / "raw", tmp_path / "prepared").info.splits) == ["test"]


def test_bad_files_stop_the_preparation_before_it_writes(tmp_path, write_sen12):
    for patch in (1, 2, 3):
        write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=0, patch=patch)
    folder = tmp_path / "raw" / "ROIs1158_spring"
    (folder / "s2_0" / "ROIs1158_spring_s2_0_p1.png").unlink()
    (folder / "s1_0" / "ROIs1158_spring_s1_0_p2.png").write_bytes(b"")
    with pytest.raises(pairs.BadFilesError, match="2 bad files") as caught:
        prepare(tmp_path / "raw", tmp_path / "prepared")
    assert [bad.reason for bad in caught.value.bad] == ["no optical partner", "empty, 0 bytes"]
    assert not list((tmp_path / "prepared" / "sen12").iterdir())


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pairs are not there: {REAL}")
def test_real_pairs_come_back_bit_for_bit(tmp_path):
    for scene in ("ROIs1868_summer/s{}_59", "ROIs2020_fall/s{}_274"):
        for sensor in (1, 2):
            source = REAL / scene.format(sensor)
            target = tmp_path / "raw" / scene.format(sensor)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source, target_is_directory=True)
    found = stored(prepare(tmp_path / "raw", tmp_path / "prepared"))
    assert len(found) == len(list((tmp_path / "raw").glob("*/s1_*/*.png"))) > 20
    # The scene of the georeferenced example must stay one that training never sees.
    assert {e["split"] for e in found.values() if e["scene"] == b"274"} == {"test"}
    for key in list(found)[::5]:
        season, scene, patch = key.rsplit("_", 2)
        for sensor, name in ((1, "sar"), (2, "optical")):
            with Image.open(REAL / season / f"s{sensor}_{scene}" / f"{season}_s{sensor}_{scene}_{patch}.png") as image:
                expected = np.asarray(image)
            np.testing.assert_array_equal(found[key][name], expected.reshape(256, 256, -1))
