import jax
import jax.numpy as jnp
import numpy as np
import optax

from sar2opt_jax.stages import network
from sar2opt_jax.stages.network import Network

RNG = jax.random.key(0)


def draw(rng):
    return {"t": jax.random.randint(rng, (), 0, 1000), "eps": jax.random.normal(rng, (2, 3))}


def test_per_example_draws_do_not_depend_on_how_a_batch_is_cut():
    index = jnp.arange(6, dtype=jnp.int32)
    whole = network.per_example(draw, RNG, jnp.int32(3), index)
    assert whole["t"].shape == (6,) and whole["eps"].shape == (6, 2, 3)
    for part in (index[:2], index[2:], index[::-1]):
        alone = network.per_example(draw, RNG, jnp.int32(3), part)
        for name in whole:
            np.testing.assert_array_equal(alone[name], whole[name][part])


def test_key_step_and_index_each_change_the_draws():
    def eps(rng=RNG, step=3, index=5):
        return np.asarray(network.per_example(draw, rng, jnp.int32(step), jnp.array([index]))["eps"])

    np.testing.assert_array_equal(eps(), eps())
    # Step and index are two foldings: (3, 5) is not (5, 3).
    for other in (eps(rng=jax.random.key(1)), eps(step=4), eps(index=6), eps(step=5, index=3)):
        assert not np.any(other == eps())


def test_moving_average_equals_its_formula():
    average, params = {"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, -2.0])}
    np.testing.assert_allclose(network.moving_average(average, params, 0.95)["a"], [1.1, 1.8], rtol=1e-6)
    np.testing.assert_array_equal(network.moving_average(average, params, 0.0)["a"], params["a"])
    np.testing.assert_array_equal(network.moving_average(average, params, 1.0)["a"], average["a"])


def test_copies_are_equal_in_buffers_of_their_own():
    params = {"a": jnp.arange(3.0)}
    copied = network.copy(params)
    np.testing.assert_array_equal(copied["a"], params["a"])
    assert copied["a"].unsafe_buffer_pointer() != params["a"].unsafe_buffer_pointer()


def test_update_is_a_step_of_the_optimizer():
    optimizer = optax.sgd(0.1, momentum=0.5)
    unet = Network.create({"a": jnp.array(1.0)}, optimizer)
    for expected in (1 - 0.2, 1 - 0.2 - 0.3):  # Momentum: the second step is 0.1 (2 + 0.5 * 2).
        unet = unet.update({"a": jnp.array(2.0)}, optimizer)
        np.testing.assert_allclose(unet.params["a"], expected, rtol=1e-6)
