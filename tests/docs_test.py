"""Runs the examples of the documentation."""

import dataclasses
import doctest
import warnings
from pathlib import Path

import pytest

from configs.base import get_base
from sar2opt_jax import export
from sar2opt_jax.description import Dataset
from sar2opt_jax.export import Export
from sar2opt_jax.models.init import init_params
from sar2opt_jax.run import plan
from sar2opt_jax.types import make_key
from tfds_builders.simulated.simulated_dataset_builder import DESCRIPTIONS

DOCS = Path(__file__).parents[1] / "docs"


class Simulated:
    """What the simulated dataset says of itself."""

    version, fingerprint, ground_sampling_m = "1.0.0", "0" * 16, 10.0

    def image_format(self, kind):
        return DESCRIPTIONS[kind].as_json()


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """``runs/acd-simulated`` with a student that was never trained, in the current directory."""
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="smoke")
    about = plan.description(config, "adversarial", Simulated())
    about = dataclasses.replace(about, dataset=Dataset(name="simulated"))
    params = init_params(about.unet.make(), make_key(0), image_size=32, sar_channels=1)
    directory = tmp_path / "runs" / "acd-simulated" / "adversarial" / "checkpoints"
    export.save(directory, Export(networks={"unet": params}, description=about))
    monkeypatch.chdir(tmp_path)


def test_python_examples_run_as_shown(workdir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, tried = doctest.testfile(
            str(DOCS / "python.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
        )
    assert (failed, tried > 8) == (0, True)
