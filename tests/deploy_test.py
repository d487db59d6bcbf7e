"""The command sar2opt export, and what it writes, run without the package."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax.export
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from sar2opt_jax import inference
from sar2opt_jax.description import ImageFormat
from sar2opt_jax.interop import anywhere, standalone
from sar2opt_jax.scene import units

REFERENCE = Path(__file__).parent / "interop" / "reference"
ALONE = """
import runpy, sys
sys.modules["sar2opt_jax"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script in whose process this package cannot be imported."""

NEEDS_FLATBUFFERS = "jax.export needs the package flatbuffers: pip install 'sar2opt-jax[export]'.\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of a student in two steps, and its translator, which takes images of any size at once as well."""
    folder = tmp_path_factory.mktemp("exported") / "new"
    command = [sys.executable, "-m", "sar2opt_jax.deploy", f"--model={REFERENCE}", f"--output={folder}", "--steps=2"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Wrote {folder}: adversarial, 2 steps of lcm.\n")
    trained = anywhere.read(REFERENCE)
    about = dataclasses.replace(trained.description, image_size=64)  # Larger ones are translated by tiles.
    return folder, inference.ImageTranslator(dataclasses.replace(trained, description=about))


def random_levels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def assert_same_image(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert np.abs(found.astype(int) - expected).max() <= 1  # One compiled program for another one.
    assert found.std() > 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_program_gives_the_translators_images_for_any_size_and_batch(exported, shape):
    folder, translator = exported
    program = jax.export.deserialize(bytearray((folder / standalone.PROGRAM).read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    levels = random_levels(*shape, 1)
    found = program.call(load_file(folder / standalone.PARAMETERS), levels, np.uint32(5))
    assert_same_image(np.asarray(found), translator(levels, steps=2, seed=5))


@pytest.mark.parametrize("shape", [(13, 21), (8, 8, 1)])
def test_script_runs_without_the_package(exported, tmp_path, shape):
    folder, translator = exported
    sar = random_levels(*shape)
    np.save(tmp_path / "radar.npy", sar)
    arguments = [folder / "run.py", tmp_path / "radar.npy", tmp_path / "optical.png", "7"]
    done = subprocess.run([sys.executable, "-c", ALONE, *map(str, arguments)], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert_same_image(np.asarray(Image.open(tmp_path / "optical.png")), translator(sar, steps=2, seed=7))


def test_description_says_what_the_program_takes(exported):
    folder, _ = exported
    about, trained = json.loads((folder / standalone.DESCRIPTION).read_text()), anywhere.read(REFERENCE)
    assert anywhere.read(folder).description == trained.description
    assert about["fingerprint"] == trained.description.fingerprint
    assert (about["sampler"], about["steps"], about["size_multiple"]) == ("lcm", 2, 4)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        (standalone.PROGRAM, standalone.PARAMETERS, standalone.DESCRIPTION, "run.py")
    )


@pytest.mark.parametrize("nodata", [None, -9999.0])
@pytest.mark.parametrize(
    ("scale", "limits"), [("file", (-25.0, 0.0)), ("linear", (-25.0, 0.0)), ("amplitude", (-30.0, 5.0))]
)
def test_script_scales_as_the_package_does(scale, limits, nodata):
    values = np.random.default_rng(0).normal(-12 if scale == "file" else 0.1, 10, (64, 64, 1)).astype(np.float32)
    values[:4], values[4:8] = np.nan, -9999
    radar = ImageFormat(
        bands=("VV",), quantity="dB", scale=scale, limits=(limits,), dtype="float32", nodata=nodata, masked_value=3
    )
    plain = json.loads(json.dumps(vars(radar)))
    np.testing.assert_array_equal(standalone.as_levels(values, plain), units.as_levels(np.ma.asarray(values), radar))


def test_script_refuses_what_does_not_fit(exported, tmp_path):
    folder, _ = exported
    for sar, said in (
        (
            np.zeros((8, 8, 2), np.uint8),
            r"has shape (8, 8, 2); expected [height, width, bands], with the bands ['band 1']",
        ),
        (np.zeros((8, 8), np.float32), "has float32 values; expected uint8"),
    ):
        np.save(tmp_path / "radar.npy", sar)
        arguments = [folder / "run.py", tmp_path / "radar.npy", tmp_path / "optical.png"]
        done = subprocess.run([sys.executable, "-c", ALONE, *map(str, arguments)], text=True, capture_output=True)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "optical.png").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sampler=ddim"], "This model is a student: sample it with lcm, not with 'ddim'."),
        (["--steps=0"], "steps"),
        (["--stage=pix2pix"], "pix2pix"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing_behind(tmp_path, flags, said):
    command = [sys.executable, "-m", "sar2opt_jax.deploy", f"--model={REFERENCE}", f"--output={tmp_path / 'a' / 'b'}"]
    done = subprocess.run([*command, *flags], text=True, capture_output=True)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_flatbuffers_the_extra_is_named(tmp_path):
    hidden = """
import importlib.util
importlib.util.find_spec = lambda name: None
from sar2opt_jax import deploy
deploy.run()
"""
    command = [sys.executable, "-c", hidden, f"--model={REFERENCE}", f"--output={tmp_path / 'a'}"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (1, NEEDS_FLATBUFFERS)
