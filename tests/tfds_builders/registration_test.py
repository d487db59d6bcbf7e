"""One import makes all datasets known to TFDS, and imports none of their builders."""

import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

import tfds_builders

NONE_YET = """
import sys
import tfds_builders
import tensorflow_datasets as tfds

def imported():
    return sorted(name for name in sys.modules if name.startswith("tfds_builders."))

assert imported() == [], imported()
assert tfds.builder_cls("simulated").__module__ == "tfds_builders.simulated.simulated_dataset_builder"
assert not [name for name in imported() if name.startswith(("tfds_builders.sen12", "tfds_builders.gf3"))]
assert "tensorflow_datasets.image_classification" not in sys.modules  # TFDS's own, seconds to import.
"""


def test_builder_is_imported_when_its_dataset_is_asked_for():
    done = subprocess.run([sys.executable, "-c", NONE_YET], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", tfds_builders.BUILDERS)
def test_dataset_is_known_to_tfds_by_its_name(name):
    builder = tfds.builder_cls(name)
    assert builder.__module__ == f"tfds_builders.{name}.{name}_dataset_builder"
    assert builder.name == name


def test_configuration_is_taken_from_the_name(tmp_path):
    builder = tfds.builder("simulated/tiny", data_dir=tmp_path)
    assert builder.info.full_name.startswith("simulated/tiny/")


def test_datasets_of_tfds_stay_known():
    assert tfds.builder_cls("mnist").__module__.startswith("tensorflow_datasets.")
