"""Settings for all tests, in the environment because JAX reads them when it is first imported."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

os.environ.update(
    JAX_PLATFORMS="cpu",
    XLA_FLAGS="--xla_force_host_platform_device_count=4",
    JAX_NUMPY_RANK_PROMOTION="raise",
    # What was compiled once is read from there by later runs, unless the caller has a place of his own.
    JAX_COMPILATION_CACHE_DIR=os.environ.get(
        "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".jax_cache")
    ),
    # Compiling is what costs here, and this makes it a third cheaper. Tiny networks are fast anyway.
    JAX_DISABLE_MOST_OPTIMIZATIONS="1",
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
)


@contextlib.contextmanager
def _flags_of_its_own() -> Iterator[None]:
    with flagsaver.flagsaver():
        try:
            yield
        finally:
            for name in list(flags.FLAGS):
                if name.startswith("config."):  # Made by ml_collections for values that were overridden.
                    delattr(flags.FLAGS, name)


@pytest.fixture(autouse=True)
def _levels_of_its_own():
    """Levels of logging are global: no test finds those that another, or a fixture of its module, left."""
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("sar2opt_jax", "tfds_builders"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def flags_of_its_own():
    """A context in which a command line may be parsed: flags are global, and other tests would find its values."""
    return _flags_of_its_own
