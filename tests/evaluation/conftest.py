"""Networks that are a formula, and examples for them."""

import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.evaluation import translations
from sar2opt_jax.evaluation.translations import Contender
from sar2opt_jax.translator import Method, Translator

SIDE = 12
SCHEDULE = make_schedule("cosine", num_steps=100)


def from_sar(params, x_t, t, sar):
    """Knows the truth: grey and proportional to the SAR image, whatever the noise."""
    del x_t, t
    return params["gain"] * jnp.repeat(sar, 3, axis=-1)


def from_noise(params, x_t, t, sar):
    """Depends on the noise as well."""
    del t
    return params["gain"] * x_t + 0.5 * sar.mean(axis=-1, keepdims=True)


def make_contender(sampler, num_steps, *, model=from_sar, gain=0.5, name=""):
    return Contender(
        name=name or ("student" if sampler == "lcm" else "teacher"),
        translator=Translator(
            model=model, schedule=SCHEDULE, prediction="x_0", solver_steps=50 if sampler == "lcm" else None
        ),
        params={"gain": np.float32(gain)},
        method=Method(sampler=sampler, num_steps=num_steps),
        identity={"gain": gain, "model": model.__name__},
    )


def make_examples(count=5):
    """Optical images that are half as bright as the radar image, and 0.1 brighter."""
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        sar = rng.integers(0, 256, (SIDE, SIDE, 1), np.uint8)
        optical = np.rint(0.5 * sar + 127.5 * 0.6).astype(np.uint8).repeat(3, axis=-1)
        pairs.append({"sar": sar, "optical": optical, "id": f"p{number}", "season": "fall" if number % 2 else "spring"})
    return Examples(pairs, num_examples=count, image_size=SIDE)


@pytest.fixture
def contender():
    """Makes a contender: sampler, number of steps, and what differs from a network that knows the truth."""
    return make_contender


@pytest.fixture(name="from_noise")
def from_noise_fixture():
    """A network that depends on the noise as well."""
    return from_noise


@pytest.fixture
def examples():
    """Makes examples."""
    return make_examples


@pytest.fixture
def untimed(monkeypatch):
    """Latency needs a compilation of its own, which most tests can do without."""
    monkeypatch.setattr(translations, "latency_ms", lambda call, repeats: 1.0)
