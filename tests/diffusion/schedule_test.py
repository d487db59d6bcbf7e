import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion.schedule import PREDICTIONS, SCHEDULES, Schedule, make_schedule, over_image

TIMES = np.array([0, 1, 19, 500, 998, 999], np.int32)


def images(seed: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (len(TIMES), 4, 4, 3)), jnp.float32)


@pytest.mark.parametrize(
    ("name", "alpha_first", "alpha_last"),
    [
        ("scaled_linear", (1 - 8.5e-4) ** 0.5, 0.0683),
        ("linear", (1 - 1e-4) ** 0.5, 1 / 157),
        ("cosine", 0.99998, 1 / 20291),
    ],
)
def test_alpha_has_the_published_ends(name, alpha_first, alpha_last):
    schedule = make_schedule(name)
    assert schedule.num_steps == 1000
    np.testing.assert_allclose(schedule.alpha(np.array([0, 999])), [alpha_first, alpha_last], rtol=5e-3)


def test_betas_follow_their_line():
    def betas(name):
        alphas_bar = make_schedule(name).alphas_bar
        return 1 - alphas_bar / np.append(1, alphas_bar[:-1])

    np.testing.assert_allclose(betas("linear"), np.linspace(1e-4, 2e-2, 1000), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(betas("scaled_linear")), np.linspace(8.5e-4**0.5, 1.2e-2**0.5, 1000), rtol=1e-9)


def test_cosine_is_a_squared_cosine_up_to_the_clip_of_its_last_beta():
    def curve(t):
        return np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2

    alphas_bar = make_schedule("cosine").alphas_bar
    np.testing.assert_allclose(alphas_bar[:999], curve(np.arange(1, 1000)) / curve(0), rtol=1e-9)
    np.testing.assert_allclose(alphas_bar[999], alphas_bar[998] * 1e-3, rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rescaling_reaches_zero_and_keeps_the_first(name):
    plain, rescaled = make_schedule(name), make_schedule(name, rescale_zero_snr=True)
    assert rescaled.alphas_bar[-1] == 0 and rescaled.zero_terminal_snr
    assert rescaled.alpha(999) == 0 and rescaled.sigma(999) == 1
    assert not plain.zero_terminal_snr
    np.testing.assert_allclose(rescaled.alphas_bar[0], plain.alphas_bar[0], rtol=1e-12)
    # An affine map of alpha: straight lines stay straight.
    before, after = np.sqrt(plain.alphas_bar), np.sqrt(rescaled.alphas_bar)
    slope = np.diff(after) / np.diff(before)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-6)


@pytest.mark.parametrize("t", [np.int32(7), TIMES, TIMES.reshape(2, 3)])
def test_look_ups_are_shaped_like_t_and_preserve_variance(t):
    schedule = make_schedule("scaled_linear")
    t = jnp.asarray(t)
    assert schedule.alpha(t).shape == schedule.sigma(t).shape == t.shape
    np.testing.assert_allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, np.ones(t.shape), rtol=1e-6)
    np.testing.assert_allclose(schedule.alpha(t) ** 2, schedule.alphas_bar[t], rtol=1e-6)


def test_time_minus_one_is_the_clean_image():
    schedule = make_schedule("linear")
    x_0, eps, t = images(0), images(1), jnp.full(len(TIMES), -1)
    assert schedule.alpha(-1) == 1 and schedule.sigma(-1) == 0
    np.testing.assert_array_equal(schedule.add_noise(x_0, eps, t), x_0)


def test_snr_is_the_ratio_of_variances():
    schedule = make_schedule("scaled_linear")
    alphas_bar = schedule.alphas_bar[TIMES]
    np.testing.assert_allclose(schedule.snr(TIMES), alphas_bar / (1 - alphas_bar), rtol=1e-5)


def test_add_noise_takes_one_time_for_all_or_one_each():
    schedule = make_schedule("scaled_linear")
    x_0, eps = images(0), images(1)
    alpha, sigma = (
        np.sqrt(a)[:, None, None, None] for a in (schedule.alphas_bar[TIMES], 1 - schedule.alphas_bar[TIMES])
    )
    each = schedule.add_noise(x_0, eps, jnp.asarray(TIMES))
    np.testing.assert_allclose(each, alpha * x_0 + sigma * eps, rtol=1e-5, atol=1e-6)
    for row, t in enumerate(TIMES):
        np.testing.assert_array_equal(schedule.add_noise(x_0, eps, jnp.asarray(t))[row], each[row])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_training_target_leads_back_to_image_and_noise(prediction):
    schedule = make_schedule("scaled_linear")
    x_0, eps, t = images(0), images(1), jnp.asarray(TIMES)
    x_t = schedule.add_noise(x_0, eps, t)
    output = schedule.target(x_0, eps, t, prediction=prediction)
    found = schedule.to_x_0(output, x_t, t, prediction=prediction)
    np.testing.assert_allclose(found, x_0, atol=1e-5)
    # At t = 0 eps is what is left of x_t: divided by sigma = 0.03.
    np.testing.assert_allclose(schedule.to_eps(found, x_t, t), eps, atol=1e-4)


def test_velocity_is_the_noisy_image_a_quarter_turn_on():
    schedule = make_schedule("scaled_linear")
    x_0, eps, t = images(0), images(1), jnp.asarray(TIMES)
    x_t, v = schedule.add_noise(x_0, eps, t), schedule.velocity(x_0, eps, t)
    alpha, sigma = over_image(schedule.alpha(t), x_t), over_image(schedule.sigma(t), x_t)
    np.testing.assert_allclose(sigma * x_t + alpha * v, eps, atol=1e-6)
    np.testing.assert_allclose(jnp.square(x_t) + jnp.square(v), jnp.square(x_0) + jnp.square(eps), atol=1e-5)


@pytest.mark.parametrize(("name", "factor"), [("scaled_linear", 14.6), ("linear", 157), ("cosine", 20291)])
def test_an_eps_error_is_amplified_at_the_last_time_and_a_v_error_is_not(name, factor):
    schedule = make_schedule(name)
    x_t, t = images(0)[:1], jnp.array([999])

    def amplification(prediction):
        x_0 = [schedule.to_x_0(jnp.full_like(x_t, e), x_t, t, prediction=prediction) for e in (0.0, 1.0)]
        return np.abs(x_0[1] - x_0[0])

    np.testing.assert_allclose(amplification("eps"), np.full(x_t.shape, factor), rtol=5e-3)
    assert np.all(amplification("v") <= 1)


def test_at_zero_terminal_snr_a_v_network_puts_out_the_image():
    schedule = make_schedule("scaled_linear", rescale_zero_snr=True)
    x_t, t = images(0)[:1], jnp.array([999])
    np.testing.assert_array_equal(schedule.to_x_0(-images(1)[:1], x_t, t, prediction="v"), images(1)[:1])


@pytest.mark.parametrize("clip", [True, False])
def test_denoiser_clips_where_told(clip):
    schedule = make_schedule("linear")
    denoise = schedule.denoiser(lambda x_t, t: 3 * x_t, prediction="x_0", clip=clip)
    x_t = images(0)
    expected = np.clip(3 * x_t, -1, 1) if clip else 3 * x_t
    np.testing.assert_array_equal(denoise(x_t, jnp.asarray(TIMES)), expected)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="Unknown schedule 'quadratic'; known: linear, scaled_linear, cosine"):
        make_schedule("quadratic")
    schedule, x, t = make_schedule("linear"), images(0), jnp.asarray(TIMES)
    for call in (
        lambda: schedule.check_prediction("epsilon"),
        lambda: schedule.to_x_0(x, x, t, prediction="epsilon"),
        lambda: schedule.target(x, x, t, prediction="epsilon"),
    ):
        with pytest.raises(ValueError, match="Unknown prediction 'epsilon'; known: eps, v, x_0"):
            call()


def test_eps_prediction_is_refused_at_zero_terminal_snr():
    rescaled = make_schedule("linear", rescale_zero_snr=True)
    with pytest.raises(ValueError, match=r"zero terminal SNR.*Use prediction 'v' or 'x_0', or rescale_zero_snr=False"):
        rescaled.check_prediction("eps")
    rescaled.check_prediction("v")
    rescaled.check_prediction("x_0")
    make_schedule("linear").check_prediction("eps")


@pytest.mark.parametrize("alphas_bar", [[0.9, 0.9], [0.5, 0.6], [1.0, 0.5], [0.5, -0.1]])
def test_a_schedule_must_decrease_below_one(alphas_bar):
    with pytest.raises(ValueError, match="alphas_bar of schedule 'mine' must decrease"):
        Schedule(name="mine", alphas_bar=np.array(alphas_bar))
