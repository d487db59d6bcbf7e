import collections
import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tfds_builders import gf3, pairs
from tfds_builders.gf3 import gf3_dataset_builder
from tfds_builders.gf3.gf3_dataset_builder import MARGIN, split_of


def test_splits_of_the_whole_collection():
    counts = collections.Counter(split_of(number) for number in range(1, 20_001))
    assert counts == {"train": 15_800, "validation": 1_600, "test": 1_600, None: 1_000}


def test_numbers_of_two_splits_are_a_margin_apart():
    kept = [(number, split_of(number)) for number in range(1, 20_001) if split_of(number)]
    gaps = [after - before for (before, one), (after, other) in itertools.pairwise(kept) if one != other]
    assert len(gaps) == 5  # train, validation, test, and the same once more
    assert set(gaps) == {MARGIN + 1}


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (8000, "train"), (8001, None), (8200, None), (8201, "validation"), (9000, "validation"),
     (9001, None), (9201, "test"), (10_000, "test"), (10_001, None), (10_201, "train"), (11_001, "train")],
)  # fmt: skip
def test_split_of_a_number(number, split):
    assert split_of(number) == split


def test_layout_ignores_other_folders_and_names(tmp_path):
    assert gf3_dataset_builder.layout(tmp_path / "sar_256_oc_0.2" / "12.png") == pairs.Patch("sar", "00012", "0")
    assert gf3_dataset_builder.layout(tmp_path / "opt_256_oc_0.2" / "1001.png") == pairs.Patch("optical", "01001", "1")
    assert gf3_dataset_builder.layout(tmp_path / "sar_256_oc_0.2" / "map.png") is None
    assert gf3_dataset_builder.layout(tmp_path / "elsewhere" / "12.png") is None


def test_pairs_come_back_bit_for_bit_and_margins_do_not(tmp_path, write_image):
    raw = tmp_path / "raw" / "QXSLAB_SAROPT"
    written = {}
    for number in (2, 10, 8100, 8500, 9500):
        sar = write_image(raw / "sar_256_oc_0.2" / f"{number}.png", mode="L")
        optical = write_image(raw / "opt_256_oc_0.2" / f"{number}.png", mode="RGB")
        written[f"{number:05d}"] = (sar, optical)
    # Some archives hold the radar images as RGB with equal channels.
    Image.fromarray(np.repeat(written["00010"][0], 3, axis=-1)).save(raw / "sar_256_oc_0.2" / "10.png")

    builder = gf3.Builder(config="qxs_saropt", data_dir=tmp_path / "prepared", file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "raw"))
    found = {
        split: {example["id"].decode(): example for example in builder.as_data_source(split)}
        for split in builder.info.splits
    }
    assert {split: set(examples) for split, examples in found.items()} == {
        "train": {"00002", "00010"},
        "validation": {"08500"},
        "test": {"09500"},
    }
    for examples in found.values():
        for key, example in examples.items():
            np.testing.assert_array_equal(example["sar"], written[key][0])
            np.testing.assert_array_equal(example["optical"], written[key][1])
            assert (example["season"], example["terrain"]) == (b"", b"")
