import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import pairs, preparation
from tfds_builders import finding
from tfds_builders.sen12 import sen12_dataset_builder as sen12


@pytest.fixture(name="raw")
def raw_files(tmp_path):
    pairs.simulate(tmp_path / "files", num_pairs=3)
    return tmp_path / "files"


def test_preparation_is_timed_and_written(tmp_path, raw, capsys):
    output = tmp_path / "result.json"
    flags = [f"--manual_dir={raw}", "--processes=1", "--repeats=1", f"--output={output}"]
    preparation.main(["sen12", *flags, "--multiply=7", "--size=32", "--skip_bad"])
    real, multiplied = json.loads(output.read_text())["measured"]
    assert real["pairs"] == 3 and multiplied["pairs"] == 7 and multiplied["dataset"] == "pairs/multiplied"
    for row in (real, multiplied):
        assert row["seconds"] == [row["median"]]
        assert row["pairs_per_second"] == pytest.approx(row["pairs"] / row["median"], abs=0.1)
        assert row["peak_mib"] > 50 and row["files"] > 3 and row["cpu_seconds"] > 0.5
    assert "| 1 | pairs/multiplied | 7 |" in capsys.readouterr().out


def test_failed_preparation_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)ended with 1: .*does not exist"):
        preparation.main(["sen12", f"--manual_dir={tmp_path / 'none'}", f"--output={tmp_path / 'r.json'}"])


def test_multiplied_pairs_have_other_pixels_and_show_the_same_ground(tmp_path, raw):
    found, _ = finding.find_pairs(raw, sen12.layout)
    for pair in found:  # Radar that can be compared with its optical image.
        Image.fromarray(np.asarray(Image.open(pair.optical))[..., 0]).save(pair.sar)
    pairs.multiply(found, tmp_path / "many", num_pairs=60, size=32)
    seen = set()
    for path in (tmp_path / "many" / "optical").glob("*/*.png"):
        optical = np.asarray(Image.open(path))
        seen.add(optical.tobytes())
        sar = np.asarray(Image.open(tmp_path / "many" / "sar" / path.parent.name / path.name))
        assert optical.shape == (32, 32, 3)
        np.testing.assert_array_equal(sar, optical[..., 0])
    assert len(seen) == 60


def test_crop_goes_on_at_the_opposite_edge():
    image = np.arange(16).reshape(4, 4)
    crop = pairs._crop(pairs._wrapped(image), 3, 4)  # Below 7 neither turned nor mirrored.
    np.testing.assert_array_equal(crop, np.roll(image, (-(3 * 7919 % 4), -(3 * 104_729 % 4)), (0, 1)))
