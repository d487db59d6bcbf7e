from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_builders import gf3, splits
from tfds_builders.gf3 import gf3_dataset_builder
from tfds_builders.gf3.gf3_dataset_builder import Crop

COLLECTIONS = ("qxs_saropt", "osdataset", "osdataset_256", "three_mos")


@pytest.fixture(name="make")
def builder_maker(tmp_path):
    return lambda config: gf3.Builder(config=config, data_dir=tmp_path / "prepared", file_format="array_record")


@pytest.mark.parametrize(
    ("collection", "path", "crop"),
    [
        ("qxs_saropt", "sar_256_oc_0.2/12.png", Crop("sar", 12)),
        ("qxs_saropt", "opt_256_oc_0.2/1001.png", Crop("optical", 1001)),
        ("qxs_saropt", "sar_256_oc_0.2/map.png", None),
        ("qxs_saropt", "elsewhere/12.png", None),
        ("osdataset", "512/train/sar7.png", Crop("sar", 7, prefix="train_")),
        ("osdataset", "OSdataset/val/opt70.png", Crop("optical", 70, prefix="val_")),
        ("osdataset", "256/train/sar7.png", None),
        ("osdataset_256", "256/train/sar7.png", Crop("sar", 7, prefix="train_")),
        ("osdataset_256", "512/train/sar7.png", None),
        ("osdataset", "train/overview.png", None),
        ("three_mos", "3MOS/GF3/sar/sar_3.jpg", Crop("sar", 3)),
        ("three_mos", "3MOS/GF3/opt/urban/opt_3.jpg", Crop("optical", 3, terrain="urban")),
        ("three_mos", "3MOS/GF3/opt/opt_3.jpg", Crop("optical", 3)),
        ("three_mos", "3MOS/ALOS/sar/sar_3.jpg", None),
    ],
)
def test_crop_is_read_from_the_path(collection, path, crop):
    config = gf3.Builder.builder_configs[collection]
    assert config.crop(Path("/raw") / path) == crop


def test_ids_of_a_collection_are_in_the_order_of_the_numbers():
    assert [Crop("sar", number).id for number in (2, 10)] == ["00002", "00010"]


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_pairs_come_back_and_margins_do_not(tmp_path, dummy, make, build, stored, collection):
    builder = make(collection)
    blocks = builder.collection.blocks
    numbers = [1, 2, blocks.size * 8 + 1, blocks.size * 8 + blocks.margin + 1, blocks.size * 9 + blocks.margin + 1]
    written = dummy("gf3")["write"](tmp_path / "raw", collection=collection, numbers=numbers)
    found = {int(key.rpartition("_")[2]): example for key, example in stored(build(builder, tmp_path / "raw")).items()}
    assert {number: example["split"] for number, example in found.items()} == dict(
        zip(numbers[:2] + numbers[3:], ("train", "train", "validation", "test"), strict=True)
    )
    for number, example in found.items():
        for kind, values in zip(("sar", "optical"), written[number], strict=True):
            assert example[kind].shape == values.shape
            # Squares of one colour: a JPEG of quality 95 is off by little but at their borders.
            error = np.abs(example[kind].astype(int) - values)
            assert np.median(error) <= (3 if collection == "three_mos" else 0)
            assert collection == "three_mos" or not error.any()
        terrain = dummy("gf3")["TERRAINS"][number % 3] if collection == "three_mos" else ""
        assert example["terrain"].decode() == terrain
        assert example["scene"].decode() == str(blocks.block_of(number))


def test_file_bytes_go_in_unchanged(tmp_path, dummy, make):
    dummy("gf3")["write"](tmp_path, collection="three_mos", numbers=[1])
    path = tmp_path / "3MOS/GF3/sar/sar_1.jpg"
    assert make("three_mos").formats["sar"].stored(path) == path


def test_radar_image_in_three_equal_channels_becomes_grey(tmp_path, dummy, make, build, stored):
    written = dummy("gf3")["write"](tmp_path / "raw", collection="qxs_saropt", numbers=[1, 2])
    path = tmp_path / "raw/QXSLAB_SAROPT/sar_256_oc_0.2/1.png"
    Image.fromarray(np.repeat(written[1][0], 3, axis=-1)).save(path)
    found = stored(build(make("qxs_saropt"), tmp_path / "raw"))
    np.testing.assert_array_equal(found["00001"]["sar"], written[1][0])


def test_tenth_is_a_part_of_the_whole(make):
    config = make("qxs_saropt_10pct").collection
    assert (config.share, config.crop) == (0.1, gf3_dataset_builder.qxs_saropt)


def test_instructions_are_those_of_the_collection(make):
    for collection, word in zip(COLLECTIONS, ("QXS-SAROPT", "OSdataset", "OSdataset", "3MOS"), strict=True):
        assert word in make(collection).MANUAL_DOWNLOAD_INSTRUCTIONS


def test_small_collection_still_has_all_splits():
    # 2,011 pairs of OSdataset: with the blocks of larger collections all would be training.
    blocks = gf3.Builder.builder_configs["osdataset"].blocks
    assert {blocks.split_of(number) for number in range(1, 2012)} == {*splits.SPLITS, None}
