import runpy
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from tfds_builders import splits

DUMMY = Path(__file__).parent / "dummy"


@pytest.fixture(scope="session")
def dummy():
    """The functions of a script that makes dummy data, by its name."""
    return lambda name: runpy.run_path(str(DUMMY / f"{name}.py"))


@pytest.fixture
def write_image(dummy):
    """Writes a PNG that differs from all others; returns its values."""
    return dummy("images")["write_image"]


@pytest.fixture
def write_sen12(dummy):
    """Writes one pair in the original layout of SEN1-2; returns the values of both images."""
    write = dummy("sen12")["write"]

    def write_pair(root, *, season, scene, patch):
        [images] = write(root, season=season, patches={scene: (patch,)}).values()
        return images

    return write_pair


@pytest.fixture
def scene_in():
    """The number of the first scene of a season that belongs to a split."""

    def find(split: str, season: str) -> int:
        return next(scene for scene in range(1000) if splits.split_of(season, str(scene)) == split)

    return find


@pytest.fixture
def build():
    """Prepares a builder from a folder."""

    def prepare(builder, manual_dir):
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
        return builder

    return prepare


@pytest.fixture
def stored():
    """The examples of all splits of a prepared builder by id, each with the name of its split."""

    def read(builder):
        return {
            example["id"].decode(): {**example, "split": split}
            for split in builder.info.splits
            for example in builder.as_data_source(split)
        }

    return read
