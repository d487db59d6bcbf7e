"""Inputs and a network small enough to follow by hand, the same for all stages."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.types import Array, Batch, Model, Params


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    optical, sar = (jnp.asarray(rng.uniform(-1, 1, (4, 8, 8, c)), jnp.float32) for c in (3, 1))
    return Batch(optical=optical, sar=sar, index=jnp.array([8, 9, 10, 11], jnp.int32))


@pytest.fixture
def convolution() -> Model:
    """One 3 x 3 convolution of concat(x_t, sar), and a bias that grows with time."""

    def model(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
        features = jax.lax.conv_general_dilated(
            jnp.concatenate([x_t, sar], axis=-1),
            params["kernel"],
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return features + params["bias"].reshape(1, 1, 1, 3) * t.reshape(-1, 1, 1, 1) / 1000

    return model


@pytest.fixture
def params() -> Params:
    rng = np.random.default_rng(1)
    return {
        "kernel": jnp.asarray(rng.normal(size=(3, 3, 4, 3)) / 6, jnp.float32),
        "bias": jnp.asarray(rng.normal(size=3), jnp.float32),
    }


@pytest.fixture
def discriminator():
    """A discriminator: the mean of tanh(weight . (x_t, image, sar)) and a bias for each of both times."""

    def discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
        features = jnp.tanh(jnp.concatenate([x_t, image, sar], axis=-1) @ params["weight"])
        return features.mean(axis=(1, 2, 3)) + params["bias"][0] * t / 1000 + params["bias"][1] * s / 1000

    return discriminator


@pytest.fixture
def discriminator_params() -> Params:
    rng = np.random.default_rng(2)
    return {
        "weight": jnp.asarray(rng.normal(size=(7, 5)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=2), jnp.float32),
    }


@pytest.fixture
def patch_discriminator():
    """A discriminator of patches: tanh(weight . pixel) and a bias, in the mean over squares of 2 x 2 pixels."""

    def discriminator(params: Params, images: Array) -> Array:
        logits = jnp.tanh(images @ params["weight"]).sum(axis=-1) + params["bias"].reshape(1, 1, 1)
        batch, height, width = logits.shape
        return logits.reshape(batch, height // 2, 2, width // 2, 2).mean(axis=(2, 4))

    return discriminator


@pytest.fixture
def patch_params():
    """Makes its parameters for images of some channels."""

    def make(channels: int) -> Params:
        rng = np.random.default_rng(channels)
        return {
            "weight": jnp.asarray(rng.normal(size=(channels, 5)), jnp.float32),
            "bias": jnp.asarray(rng.normal(size=1), jnp.float32),
        }

    return make


@pytest.fixture
def assert_step_is_the_same_however_spread():
    """One step of a stage on some devices, in some micro-batches, against gradients of the whole batch."""

    def compare(stage: Any, batch: Batch, rng: Array) -> None:
        state = stage.init(rng, None)
        grads, metrics = stage.gradients(state, batch, rng)
        expected = stage.update(state, grads)
        for devices, micro_batches in ((1, 1), (1, 4), (2, 2), (4, 1)):
            parallel = DataParallel(stage, micro_batches=micro_batches, devices=jax.devices()[:devices])
            own = parallel.place(jax.tree.map(jnp.copy, stage.init(rng, None)))  # A step takes its state's buffers.
            found, measured = parallel.step(own, parallel.shard(batch), parallel.place(rng))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
            for name, value in metrics.items():
                np.testing.assert_allclose(measured[name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    return compare


@pytest.fixture
def assert_recorded():
    """Compares the numbers of a whole training step with those recorded when it was last reviewed."""

    def compare(found: dict[str, float], expected: dict[str, float]) -> None:
        assert found.keys() == expected.keys()
        message = (
            f"A whole training step now computes other numbers than when these were recorded: {found}. "
            "If you meant to change what this stage learns (its loss, its randomness, an average), then look whether "
            "the closed-form tests above still say why, record the new numbers, and write in CHANGELOG.md that results "
            "change. If you meant to tidy up, something was less harmless than it looked: do not record, look for it. "
            "The command is  python -m pytest tests/stages -k recorded;  the numbers are those above."
        )
        # Loose enough for the roundings of other versions of JAX.
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-4, err_msg=message)

    return compare
