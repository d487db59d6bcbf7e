"""Settings for all tests, in the environment because JAX reads them when it is first imported."""

import os
from pathlib import Path

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
