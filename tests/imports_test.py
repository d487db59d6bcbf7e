"""What a command imports before it does anything: seconds that --help and every start would wait for."""

import subprocess
import sys

import pytest

REPORTS = {"matplotlib", "jinja2"}
TRAINING = {"optax", "grain", "tensorflow_datasets", "scipy"}
CASES = {
    "sar2opt_jax": {"jax", "flax", "orbax", "absl", *REPORTS, *TRAINING},
    "sar2opt_jax.cli.dispatch": {"jax", "flax", "orbax", "absl", *REPORTS, *TRAINING},
    "sar2opt_jax.main": {"jax", "flax", "orbax", "rasterio", "tensorboardX", *REPORTS, *TRAINING},
    "sar2opt_jax.plan": {"jax", "flax", "orbax", "rasterio", "tensorboardX", *REPORTS, *TRAINING},
    "sar2opt_jax.translate": {"rasterio", "tensorboardX", *REPORTS, *TRAINING},
    "sar2opt_jax.convert": {"rasterio", "tensorboardX", *REPORTS, *TRAINING},
    "sar2opt_jax.run.plan": {"rasterio", "tensorboardX", *REPORTS},
    "tfds_builders": {"rasterio", "scipy", "imagehash", "tfds_builders.builder", "jax"},
}
"""By the module that is imported, what must not be imported with it."""


@pytest.mark.parametrize("module", CASES)
def test_module_is_imported_without_what_it_does_not_use(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert CASES[module] & set(done.stdout.split()) == set()
