"""What JAX's environment variables must not change: JAX reads them once, so each case is a process of its own."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("jax_environment.py")
STAGES = ("teacher", "distill", "adversarial", "pix2pix", "cyclegan")


@pytest.fixture(scope="module")
def default():
    """What this process finds, in the environment of all tests."""
    return runpy.run_path(str(SCRIPT))["random_numbers"]()


def found_with(*flags: str, **environment: str) -> dict:
    command = [sys.executable, SCRIPT, *flags]
    process = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def assert_same_numbers(found: dict, expected: dict) -> None:
    for sampler, translated in found["translations"].items():
        np.testing.assert_allclose(translated, expected["translations"][sampler], atol=1e-6, err_msg=sampler)
    assert_company_does_not_matter(found)


def assert_company_does_not_matter(found: dict) -> None:
    """An example is translated alike alone and in a batch, and no two of a batch have the same noise."""
    for sampler, translated in found["company"].items():
        np.testing.assert_allclose(translated, found["alone"][sampler], atol=1e-6, err_msg=sampler)
        assert sampler == "direct" or len(np.unique(np.asarray(translated), axis=0)) == 3


def test_company_does_not_matter(default):
    assert_company_does_not_matter(default)


def test_random_numbers_do_not_depend_on_the_default_generator(default):
    assert_same_numbers(found_with(JAX_DEFAULT_PRNG_IMPL="rbg"), default)


def test_training_steps_translations_and_metrics_keep_32_bits_under_x64(default):
    found = found_with("--dtypes", JAX_ENABLE_X64="1")
    dtypes = found["dtypes"]
    assert {name: wide for name, types in dtypes.items() if (wide := {*types} - {"float32", "int32"})} == {}
    for name in STAGES:
        assert dtypes[f"{name} before"] == dtypes[f"{name} after"] == ["float32", "int32"]
    assert dtypes["U-Net"] == dtypes["discriminator"] == ["float32"]
    assert {"fidelity", "colour", "inception"} < dtypes.keys()
    assert_same_numbers(found, default)
