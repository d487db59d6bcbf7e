import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from sar2opt_jax.run.optimizers import DECAYS, learning_rate, optimizer


def config(**changes) -> ConfigDict:
    settings = {"learning_rate": 2.0, "warmup_steps": 0, "decay": "second_half", "betas": (0.5, 0.999), "eps": 1e-8}
    return ConfigDict(settings | {"weight_decay": 0.0, "clip_norm": None} | changes)


def test_second_half_is_constant_then_linear_down_to_zero():
    rate = learning_rate(config(), num_steps=10)
    np.testing.assert_allclose([rate(n) for n in range(11)], [2] * 6 + [1.6, 1.2, 0.8, 0.4, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("decay", DECAYS)
def test_every_decay_warms_up_and_ends_at_zero(decay):
    rate = learning_rate(config(decay=decay, warmup_steps=4), num_steps=100)
    np.testing.assert_allclose([rate(n) for n in (0, 1, 2, 4)], [0, 0.5, 1, 2], rtol=1e-6)
    found = [float(rate(n)) for n in range(4, 101)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0


@pytest.mark.parametrize("decay", DECAYS)
def test_short_run_still_reaches_its_rate(decay):
    rate = learning_rate(config(decay=decay, warmup_steps=500), num_steps=10)
    np.testing.assert_allclose(max(float(rate(n)) for n in range(10)), 2, rtol=1e-6)


def test_gradients_are_clipped_only_where_there_is_a_norm():
    grads = {"a": jnp.full(4, 50.0)}
    # Adam's first step does not depend on the scale, its moments do.
    for clip_norm, expected in ((None, 25.0), (1.0, 0.25)):
        state = optimizer(config(clip_norm=clip_norm), num_steps=10).init(grads)
        _, state = optimizer(config(clip_norm=clip_norm), num_steps=10).update(grads, state, grads)
        np.testing.assert_allclose(optax.tree.get(state, "mu")["a"], np.full(4, expected), rtol=1e-6)
