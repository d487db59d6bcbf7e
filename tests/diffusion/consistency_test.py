import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion.consistency import boundary, consistency_function


def test_boundary_is_one_and_zero_at_the_clean_end():
    c_skip, c_out = boundary(jnp.array([0]))
    assert c_skip.tolist() == [1.0] and c_out.tolist() == [0.0]


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_boundary_equals_its_formula(sigma_data):
    t = np.array([1, 19, 499, 999])
    c_skip, c_out = boundary(jnp.asarray(t), sigma_data=sigma_data)
    np.testing.assert_allclose(c_skip, sigma_data**2 / ((10.0 * t) ** 2 + sigma_data**2), rtol=1e-6)
    np.testing.assert_allclose(c_out, 10 * t / np.sqrt((10.0 * t) ** 2 + sigma_data**2), rtol=1e-6)


def test_from_the_first_grid_time_on_the_network_decides():
    c_skip, c_out = boundary(jnp.array([19]))
    assert c_skip[0] < 1e-5 and c_out[0] > 0.999995


def test_consistency_function_is_the_identity_at_time_zero():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 3)), jnp.float32)
    f = consistency_function(lambda x, t: 1e6 * x + 7)
    np.testing.assert_array_equal(f(x, jnp.zeros(3, jnp.int32)), x)


def test_consistency_function_mixes_each_example_by_its_own_time():
    x = jnp.ones((2, 1, 1, 3))
    f = consistency_function(lambda x, t: jnp.full_like(x, 3.0))
    # (10 t)^2 + d^2 = 100.25 at t = 1.
    expected = [1.0, 0.25 / 100.25 + 3 * 10 / np.sqrt(100.25)]
    np.testing.assert_allclose(f(x, jnp.array([0, 1]))[:, 0, 0, 0], expected, rtol=1e-6)
