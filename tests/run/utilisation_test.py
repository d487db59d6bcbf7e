"""Model-FLOP utilisation, for a stage whose operations are known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from sar2opt_jax.planner import chips
from sar2opt_jax.run import utilisation


class OneProduct:
    """A stage whose gradients are one product of [pixels, bands] and [bands, 5] an example."""

    def init(self, rng, networks):
        del rng, networks
        return {"kernel": jnp.zeros((2, 5))}

    def gradients(self, state, batch, rng):
        del rng
        return (batch.sar.reshape(-1, 2) @ state["kernel"]).sum(), {}


@pytest.fixture
def device(monkeypatch):
    def make(kind, count=4):
        monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(device_kind=kind)])
        monkeypatch.setattr(jax, "device_count", lambda: count)

    return make


def rates(dtype="bfloat16"):
    return utilisation.rates(OneProduct(), None, batch_size=6, image_size=8, sar_channels=2, dtype=dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_rates_are_operations_over_the_peak_of_all_devices(device, dtype):
    device("NVIDIA H200")
    operations = 6 * 2 * 64 * 2 * 5
    found = rates(dtype)(1e9)
    assert found["tflops_per_second"] == pytest.approx(operations * 1e9 / 1e12)
    assert found["mfu"] == pytest.approx(operations * 1e9 / (4 * chips.GPUS["NVIDIA H200"].flops[dtype]))


def test_device_of_unknown_rates_has_none(device, monkeypatch):
    device("cpu")
    monkeypatch.setattr(utilisation.flops, "count", pytest.fail)
    assert rates()(3.0) == {}


@pytest.mark.parametrize(("kind", "chip"), chips.TPU_KINDS.items())
def test_every_kind_of_tpu_is_one_of_the_table(kind, chip):
    assert chips.of_device(kind) is chips.TPUS[chip]
