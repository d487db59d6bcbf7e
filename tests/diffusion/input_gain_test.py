import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion.input_gain import INPUT_GAINS, make_input_gain, wiener_weights, with_input_gain
from sar2opt_jax.diffusion.schedule import SCHEDULES, make_schedule

T = np.array([0, 300, 999], np.int32)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 3)), jnp.float32)


@pytest.mark.parametrize("name", SCHEDULES)
def test_wiener_weights_are_proportional_to_the_best_linear_estimate(name):
    schedule, rng = make_schedule(name), np.random.default_rng(0)
    weights = wiener_weights(schedule, sigma_data=0.5)
    assert weights.shape == (1000,) and weights.max() == 1 and np.all(weights >= 0)
    x_0, eps = 0.5 * rng.standard_normal(400_000), rng.standard_normal(400_000)
    x_t = [np.sqrt(schedule.alphas_bar[t]) * x_0 + np.sqrt(1 - schedule.alphas_bar[t]) * eps for t in (200, 600)]
    regression = [np.mean(x_0 * x) / np.mean(x * x) for x in x_t]  # Least squares of x_0 on x_t.
    np.testing.assert_allclose(weights[600] / weights[200], regression[1] / regression[0], rtol=0.05)


def test_wiener_weights_vanish_where_nothing_of_the_image_is_left():
    assert wiener_weights(make_schedule("scaled_linear", rescale_zero_snr=True))[-1] == 0
    assert wiener_weights(make_schedule("scaled_linear"))[-1] > 0


def test_wiener_multiplies_the_noisy_image_by_the_weight_of_its_time():
    schedule = make_schedule("scaled_linear")
    found = make_input_gain("wiener", schedule)(IMAGES, jnp.asarray(T))
    np.testing.assert_allclose(found, wiener_weights(schedule)[T].reshape(3, 1, 1, 1) * np.asarray(IMAGES), rtol=1e-6)


def test_none_hands_on_the_very_image():
    assert make_input_gain("none", make_schedule("linear"))(IMAGES, jnp.asarray(T)) is IMAGES


def test_network_is_shown_the_scaled_image_and_all_else_as_it_is():
    model = with_input_gain(lambda *inputs: inputs, lambda x_t, t: 3 * x_t)
    params, x_t, t, sar = model({"a": T}, IMAGES, jnp.asarray(T), IMAGES + 1)
    np.testing.assert_array_equal(x_t, 3 * IMAGES)
    np.testing.assert_array_equal(t, T)
    np.testing.assert_array_equal(sar, IMAGES + 1)
    assert params["a"] is T


def test_unknown_gain_is_refused():
    with pytest.raises(ValueError, match=f"Unknown model.input_gain 'edm'; known: {', '.join(INPUT_GAINS)}"):
        make_input_gain("edm", make_schedule("linear"))
