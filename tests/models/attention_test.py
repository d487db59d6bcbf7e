"""Attention on a CPU against JAX's own, and what it saves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.models.attention import attend

own = jax.nn.dot_product_attention


def arrays(*, batch=2, places=12, others=None, heads=3, width=8, dtype=jnp.float32, scale=1.0):
    rng = np.random.default_rng(0)
    shapes = [(batch, n, heads, width) for n in (places, others or places, others or places)]
    return [jnp.asarray(scale * rng.standard_normal(shape), dtype) for shape in shapes]


def pulled_back(function, given):
    """Value, and gradients of the sum weighted by normal numbers."""

    @jax.jit
    def both(*given):
        y, pull = jax.vjp(function, *given)
        return y, *pull(jnp.asarray(np.random.default_rng(1).standard_normal(y.shape), y.dtype))

    return both(*given)


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({}, 2e-6),
        ({"batch": 1, "places": 1, "heads": 1}, 2e-6),
        ({"places": 5, "others": 9}, 2e-6),
        ({"scale": 6.0}, 2e-5),  # Nearly one-hot: exponents without their largest would overflow.
        ({"dtype": jnp.bfloat16}, 2e-2),
    ],
    ids=["usual", "one place", "other places", "large scores", "bfloat16"],
)
def test_value_and_gradients_are_jaxs(settings, tolerance):
    given = arrays(**settings)
    exact = [x.astype(jnp.float32) for x in given]
    for found, expected, like in zip(
        pulled_back(attend, given), pulled_back(own, exact), [given[0], *given], strict=True
    ):
        assert found.dtype == like.dtype and found.shape == like.shape
        expected = np.asarray(expected)
        largest = np.abs(expected).max() or 1
        np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=0, atol=tolerance * largest)


def test_weights_of_all_heads_are_never_kept_at_once():
    given = arrays(places=64, heads=8)

    def used(function):
        gradient = jax.grad(lambda *given: jnp.square(function(*given)).sum(), argnums=(0, 1, 2))
        return jax.jit(gradient).lower(*given).compile().memory_analysis().temp_size_in_bytes

    assert used(attend) < used(own) / 3


def test_other_platforms_compile_jaxs_own():
    given = arrays()
    exported = jax.export.export(jax.jit(attend), platforms=["cpu", "cuda"])(*given)
    for platform, loops in (("cpu", True), ("cuda", False)):
        text = jax.export.export(jax.jit(attend), platforms=[platform])(*given).mlir_module()
        assert ("stablehlo.while" in text) is loops
    np.testing.assert_allclose(exported.call(*given), own(*given), atol=1e-6)


def test_it_runs_mapped_over_devices_and_for_any_batch():
    given = arrays(batch=4)
    mapped = jax.pmap(attend)(*(x.reshape(4, 1, *x.shape[1:]) for x in given))
    np.testing.assert_allclose(mapped.reshape(given[0].shape), own(*given), atol=1e-6)
    shape = jax.export.symbolic_shape("b, n, 3, 8")
    unknown = [jax.ShapeDtypeStruct(shape, jnp.float32)] * 3
    exported = jax.export.export(jax.jit(attend))(*unknown)
    np.testing.assert_allclose(exported.call(*given), own(*given), atol=1e-6)
