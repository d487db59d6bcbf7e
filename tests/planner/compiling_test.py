"""What is read from a compiled program; results that are kept; programs that do not fit."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import pytest

from sar2opt_jax.planner import compiling, topology
from sar2opt_jax.planner.compiling import Usage, usage

TARGET = topology.Target("cpu", jax.devices(), None, "some compiler")
LABEL = "a step"


def lowered(size: int = 16):
    return jax.jit(lambda x: x @ x + 1).lower(jax.ShapeDtypeStruct((size, size), jnp.float32))


class TooLarge:
    """A program that a TPU's compiler refuses, in its words."""

    def __init__(self, words: str):
        self.words = words

    def as_text(self) -> str:
        return self.words

    def compile(self):
        raise jax.errors.JaxRuntimeError(f"RESOURCE_EXHAUSTED: {self.words}")


def test_usage_is_that_of_the_program():
    found = usage(lowered(), TARGET, label=LABEL, cache=None)
    matrix = 16 * 16 * 4
    assert found.arguments == matrix and found.peak >= 2 * matrix
    assert found.flops == pytest.approx(2 * 16**3 + 16**2)
    assert found.collectives == {} and found.capacity is None


def test_usage_is_read_again_and_compiled_for_another_program_or_compiler(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    first = usage(lowered(), TARGET, label=LABEL, cache=tmp_path)
    compiled = []
    monkeypatch.setattr(compiling, "_compile", lambda lowered: compiled.append(lowered) or Usage(peak=1.0))
    assert usage(lowered(), TARGET, label=LABEL, cache=tmp_path) == first
    assert not compiled and "a step: compiled before" in caplog.text
    usage(lowered(8), TARGET, label=LABEL, cache=tmp_path)
    usage(lowered(), TARGET._replace(compiler="a newer one"), label=LABEL, cache=tmp_path)
    usage(lowered(), TARGET._replace(name="v5e:2x2"), label=LABEL, cache=tmp_path)
    assert len(compiled) == 3


def test_damaged_result_is_found_again(tmp_path):
    first = usage(lowered(), TARGET, label=LABEL, cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:-20])
    found = usage(lowered(), TARGET, label=LABEL, cache=tmp_path)
    assert dataclasses.replace(found, seconds=first.seconds) == first


@pytest.mark.parametrize(
    "words",
    [
        "Ran out of memory on HBM, the total memory required for HLO temporaries (20.50G) exceeds available HBM "
        "(15.75G).",
        "Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.",
    ],
)
def test_program_that_does_not_fit_says_what_it_takes(tmp_path, words):
    for _ in range(2):  # Compiled, then read.
        found = usage(TooLarge(words), TARGET, label=LABEL, cache=tmp_path)
        assert (found.peak, found.capacity) == (20.5 * 2**30, 15.75 * 2**30)
        assert not found.fits(None) and not found.fits(1e12)


def test_other_failures_are_not_taken_for_it():
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        usage(TooLarge("something else"), TARGET, label=LABEL, cache=None)


def test_program_fits_into_what_it_takes():
    assert Usage(peak=10.0).fits(10.0) and not Usage(peak=10.0).fits(9.0) and Usage(peak=10.0).fits(None)
