"""Model folders: what is written is read, and what does not belong together is refused."""

import json
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sar2opt_jax.interop import anywhere, model_folder
from sar2opt_jax.interop.standalone import DESCRIPTION, PARAMETERS

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def trained():
    return anywhere.read(REFERENCE)


@pytest.fixture
def folder(trained, tmp_path):
    model_folder.write(tmp_path, trained)
    return tmp_path


def test_what_is_written_is_read(trained, folder):
    found = anywhere.read(folder)
    assert found.description == trained.description
    jax.tree.map(np.testing.assert_array_equal, found.params, trained.params)
    assert anywhere.read(folder, stage="adversarial").description.stage == "adversarial"


def test_bfloat16_halves_the_file_and_is_read_as_float32(trained, folder, tmp_path):
    (tmp_path / "half").mkdir()
    model_folder.write(tmp_path / "half", trained, dtype="bfloat16", more={"steps": 2})
    whole, half = (load_file(path / PARAMETERS) for path in (folder, tmp_path / "half"))
    assert {value.dtype for value in half.values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert sum(value.nbytes for value in half.values()) * 2 == sum(value.nbytes for value in whole.values())
    read = anywhere.read(tmp_path / "half").params
    jax.tree.map(lambda found, exact: np.testing.assert_allclose(found, exact, rtol=2**-8), read, trained.params)
    assert {leaf.dtype for leaf in jax.tree.leaves(read)} == {np.dtype(np.float32)}


def test_another_stage_than_its_own_raises(folder):
    with pytest.raises(ValueError, match="is a network of stage 'adversarial'; expected one of stage 'teacher'"):
        anywhere.read(folder, stage="teacher")


def change_parameters(folder, change):
    stored = load_file(folder / PARAMETERS)
    change(stored)
    save_file(stored, folder / PARAMETERS)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: change_parameters(folder, lambda p: p.pop("conv_in.bias")), "conv_in.bias has shape None"),
        (
            lambda folder: change_parameters(folder, lambda p: p.update({"conv_in.bias": np.zeros(3, np.float32)})),
            r"conv_in.bias has shape \(3,\); description.json beside it asks for \(4,\)",
        ),
        (
            lambda folder: change_parameters(folder, lambda p: p.update(more=np.zeros(3, np.float32))),
            r"more has shape \(3,\); .* asks for None",
        ),
        (lambda folder: (folder / DESCRIPTION).write_text("{}"), "has no valid description: KeyError 'description'"),
        (lambda folder: (folder / DESCRIPTION).write_text("{"), "is not JSON"),
        (
            lambda folder: (folder / DESCRIPTION).write_text(
                json.dumps({"description": {**json.loads((folder / DESCRIPTION).read_text())["description"], "new": 1}})
            ),
            "unknown description new: it is of a later version",
        ),
    ],
)
def test_damaged_folder_is_refused_with_the_reason(folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=said):
        anywhere.read(folder)
