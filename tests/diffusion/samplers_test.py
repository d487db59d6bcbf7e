"""Samplers against closed forms. For data N(mu, s^2) posterior mean and probability-flow path are known:

E[x_0 | x_t] = mu + alpha s^2 / (alpha^2 s^2 + sigma^2) (x_t - alpha mu), and along the path
z = (x_t - alpha mu) / sqrt(alpha^2 s^2 + sigma^2) does not change.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion import samplers, times
from sar2opt_jax.diffusion.schedule import SCHEDULES, Schedule, make_schedule, over_image
from sar2opt_jax.diffusion.times import Timesteps
from sar2opt_jax.types import Array, Denoiser, Noise

MU, S = 0.3, 0.4
SCALED_LINEAR = make_schedule("scaled_linear")
# Even in lambda = log(alpha / sigma), from 3 (t = 0) to -3: what a multistep solver's order is stated for.
EVEN_IN_LAMBDA = Schedule(name="even", alphas_bar=1 / (1 + np.exp(-2 * np.linspace(3, -3, 1025))))


def posterior_mean(schedule: Schedule) -> Denoiser:
    def denoise(x_t: Array, t: Array) -> Array:
        alpha, sigma = (over_image(c, x_t) for c in (schedule.alpha(t), schedule.sigma(t)))
        return MU + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (x_t - alpha * MU)

    return denoise


def flow(schedule: Schedule, x: float, t: int, t_next: int) -> float:
    """Where the exact probability-flow path through ``x`` at ``t`` is at ``t_next``."""
    alphas_bar = np.append(schedule.alphas_bar, 1.0)
    alpha, alpha_next = np.sqrt(alphas_bar[[t, t_next]])
    std, std_next = np.sqrt(alphas_bar[[t, t_next]] * S**2 + 1 - alphas_bar[[t, t_next]])
    return alpha_next * MU + std_next / std * (x - alpha * MU)


def errors(name: str, schedule: Schedule, grids: list[Timesteps], *, x: float = 1.5) -> np.ndarray:
    def error(grid: Timesteps) -> float:
        x_T = jnp.full((1, 1, 1, 1), x)
        found = samplers.SAMPLERS[name](posterior_mean(schedule), x_T, no_noise(x_T), schedule=schedule, timesteps=grid)
        return abs(float(found[0, 0, 0, 0]) - flow(schedule, x, grid[0][0], grid[1][-1]))

    return np.array([error(grid) for grid in grids])


def no_noise(x_T: Array) -> Noise:
    return lambda i: jnp.zeros_like(x_T)


def one_step(t: int, t_next: int) -> Timesteps:
    return np.array([t], np.int32), np.array([t_next], np.int32)


def noise_of(seed: int, shape: tuple[int, ...]) -> Noise:
    return samplers.gaussian_noise(jax.random.split(jax.random.key(seed), shape[0]), shape[1:])


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver_pp", 2)])
def test_order_of_convergence(name, order):
    grids = [np.linspace(1024, 0, n + 1).astype(np.int32) for n in (16, 32, 64, 128)]
    found = errors(name, EVEN_IN_LAMBDA, [(grid[:-1], grid[1:]) for grid in grids])
    measured = np.log2(found[:-1] / found[1:])
    print(f"{name}: errors {found}, orders {measured}")
    np.testing.assert_allclose(measured[1:], order, atol=0.1)
    np.testing.assert_allclose(measured[0], order, atol=0.25)


def test_the_everyday_grid_is_of_first_order_because_its_last_step_is():
    # From t = T/n - 1 to the clean image lambda goes to infinity, where no solver has a second order.
    grids = [times.trailing(1000, n) for n in (10, 20, 40, 100)]
    ddim, dpm = (errors(name, SCALED_LINEAR, grids) for name in ("ddim", "dpm_solver_pp"))
    print(f"ddim: errors {ddim}\ndpm_solver_pp: errors {dpm}")
    for found in (ddim, dpm):
        orders = np.log(found[:-1] / found[1:]) / np.log([2, 2, 2.5])
        assert np.all((orders > 0.7) & (orders < 1.2))
    assert np.all(dpm < ddim)


def test_one_trailing_step_is_the_posterior_mean():
    x_T = jnp.full((1, 1, 1, 1), 0.7)
    expected = posterior_mean(SCALED_LINEAR)(x_T, jnp.array([999]))
    for name in ("ddpm", "ddim", "dpm_solver_pp", "lcm"):
        found = samplers.SAMPLERS[name](
            posterior_mean(SCALED_LINEAR),
            x_T,
            noise_of(0, x_T.shape),
            schedule=SCALED_LINEAR,
            timesteps=times.trailing(1000, 1),
        )
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_point_mass_comes_back_exactly(name, num_steps):
    schedule = make_schedule("scaled_linear", rescale_zero_snr=True)
    x_T, image = (jnp.asarray(np.random.default_rng(i).normal(size=(2, 4, 4, 3)), jnp.float32) for i in range(2))
    grid = times.consistency(1000, num_steps) if name == "lcm" else times.trailing(1000, num_steps)
    found = samplers.SAMPLERS[name](
        lambda x_t, t: image, x_T, noise_of(0, x_T.shape), schedule=schedule, timesteps=grid
    )
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("schedule", SCHEDULES)  # The cosine's last alpha is 4.9e-5.
@pytest.mark.parametrize("name", ["ddim", "dpm_solver_pp"])
@pytest.mark.parametrize("grid", [[999, 400], [999, 700, 400], [999, 900, 500, 450, 400]])
def test_on_the_way_to_a_point_mass_the_noise_is_kept(name, grid, schedule):
    schedule = make_schedule(schedule)
    image, eps = (jnp.asarray(np.random.default_rng(i).normal(size=(2, 4, 4, 3)), jnp.float32) for i in range(2))
    x_T = schedule.add_noise(image, eps, jnp.array(999))
    timesteps = np.array(grid[:-1], np.int32), np.array(grid[1:], np.int32)
    found = samplers.SAMPLERS[name](lambda x_t, t: image, x_T, no_noise(x_T), schedule=schedule, timesteps=timesteps)
    np.testing.assert_allclose(found, schedule.add_noise(image, eps, jnp.array(400)), atol=1e-5)


def test_ddim_step_keeps_the_noise_and_its_own_times_per_example():
    image, eps = (jnp.asarray(np.random.default_rng(i).normal(size=(3, 4, 4, 3)), jnp.float32) for i in range(2))
    t, t_next = jnp.array([999, 500, 19]), jnp.array([979, -1, 0])
    x_t = SCALED_LINEAR.add_noise(image, eps, t)
    found = samplers.ddim_step(image, x_t, t, t_next, schedule=SCALED_LINEAR)
    np.testing.assert_allclose(found, SCALED_LINEAR.add_noise(image, eps, t_next), atol=1e-5)
    np.testing.assert_array_equal(found[1], image[1])


@pytest.mark.parametrize(("t", "t_next"), [(999, 998), (999, 500), (300, 299), (20, 1), (1, 0), (0, -1)])
def test_ddpm_draws_from_the_posterior_of_its_forward_process(t, t_next):
    # Bayes in float64: prior N(alpha_s x_0, sigma_s^2) of x_s, likelihood N(alpha_t / alpha_s x_s, beta) of x_t.
    alphas_bar = np.append(SCALED_LINEAR.alphas_bar, 1.0)
    alpha_bar_t, alpha_bar_s, x_0, x_t = alphas_bar[t], alphas_bar[t_next], 0.6, -0.8
    if t_next == -1:
        mean, variance = x_0, 0.0
    else:
        ratio = alpha_bar_t / alpha_bar_s
        precision = 1 / (1 - alpha_bar_s) + ratio / (1 - ratio)
        variance = 1 / precision
        mean = variance * (np.sqrt(alpha_bar_s) * x_0 / (1 - alpha_bar_s) + np.sqrt(ratio) * x_t / (1 - ratio))

    def step(noise: float) -> float:
        x = samplers.ddpm(
            lambda x_t, t: jnp.full_like(x_t, x_0),
            jnp.full((1, 1, 1, 1), x_t),
            lambda i: jnp.full((1, 1, 1, 1), noise),
            schedule=SCALED_LINEAR,
            timesteps=one_step(t, t_next),
        )
        return float(x[0, 0, 0, 0])

    np.testing.assert_allclose(step(0.0), mean, rtol=1e-6)
    np.testing.assert_allclose(step(1.0) - step(0.0), np.sqrt(variance), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rescale_zero_snr", [False, True])
@pytest.mark.parametrize("num_steps", [5, 1000])
def test_ddim_with_eta_one_is_ddpm(rescale_zero_snr, num_steps):
    schedule = make_schedule("scaled_linear", rescale_zero_snr=rescale_zero_snr)
    x_T = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), jnp.float32)
    ddpm, ddim = (
        sampler(
            posterior_mean(schedule),
            x_T,
            noise_of(0, x_T.shape),
            schedule=schedule,
            timesteps=times.trailing(1000, num_steps),
        )
        for sampler in (samplers.ddpm, functools.partial(samplers.ddim, eta=1.0))
    )
    np.testing.assert_allclose(ddim, ddpm, atol=2e-5)


def test_ddim_with_eta_keeps_the_variance_of_the_marginals():
    # With the true image known, x_s ~ N(alpha_s x_0, sigma_s^2) for every eta: kept and new noise add up.
    x_0, t, t_next = 0.5, 700, 400
    alpha, sigma = float(SCALED_LINEAR.alpha(t_next)), float(SCALED_LINEAR.sigma(t_next))

    def step(eta: float, eps: float, noise: float) -> float:
        x = samplers.ddim(
            lambda x_t, t: jnp.full_like(x_t, x_0),
            SCALED_LINEAR.add_noise(jnp.full((1, 1, 1, 1), x_0), jnp.full((1, 1, 1, 1), eps), jnp.array(t)),
            lambda i: jnp.full((1, 1, 1, 1), noise),
            schedule=SCALED_LINEAR,
            timesteps=one_step(t, t_next),
            eta=eta,
        )
        return float(x[0, 0, 0, 0])

    for eta in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(step(eta, 0.0, 0.0), alpha * x_0, rtol=1e-5)
        kept, new = step(eta, 1.0, 0.0) - alpha * x_0, step(eta, 0.0, 1.0) - alpha * x_0
        np.testing.assert_allclose(np.hypot(kept, new), sigma, rtol=1e-5)
        assert new >= 0 and (new > 0) == (eta > 0)


def test_ddpm_over_all_steps_has_the_mean_and_deviation_of_the_data():
    schedule = make_schedule("scaled_linear", rescale_zero_snr=True)
    rngs = jax.random.split(jax.random.key(0), 4)
    x_T = samplers.gaussian_noise(rngs, (64, 64, 3))(jnp.int32(5000))
    noise = samplers.gaussian_noise(rngs, (64, 64, 3))
    x_0 = samplers.ddpm(posterior_mean(schedule), x_T, noise, schedule=schedule, timesteps=times.trailing(1000, 1000))
    # 49,152 values: standard errors 0.0018 and 0.0013; 1000 steps leave a bias below 0.005.
    np.testing.assert_allclose([np.mean(x_0), np.std(x_0)], [MU, S], atol=0.008)


@pytest.mark.parametrize("num_steps", [1, 2, 8])
def test_lcm_with_the_exact_consistency_function_has_the_mean_and_deviation_of_the_data(num_steps):
    schedule = make_schedule("scaled_linear", rescale_zero_snr=True)

    def f(x_t: Array, t: Array) -> Array:
        # The end of the probability-flow path through x_t.
        alpha, sigma = (over_image(c, x_t) for c in (schedule.alpha(t), schedule.sigma(t)))
        return MU + S * (x_t - alpha * MU) / jnp.sqrt(alpha**2 * S**2 + sigma**2)

    rngs = jax.random.split(jax.random.key(0), 4)
    noise = samplers.gaussian_noise(rngs, (64, 64, 3))
    x_0 = samplers.lcm(
        f, noise(jnp.int32(5000)), noise, schedule=schedule, timesteps=times.consistency(1000, num_steps)
    )
    # 49,152 values: standard errors 0.0018 and 0.0013.
    np.testing.assert_allclose([np.mean(x_0), np.std(x_0)], [MU, S], atol=0.006)


def test_dpm_solver_is_finite_and_near_the_flow_at_zero_terminal_snr():
    schedule = make_schedule("linear", rescale_zero_snr=True)
    assert errors("dpm_solver_pp", schedule, [times.trailing(1000, 100)])[0] < 1e-3


def test_lcm_renoises_between_steps_and_not_after_the_last():
    x_T = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), jnp.float32)
    noise = noise_of(0, x_T.shape)
    found = samplers.lcm(lambda x_t, t: x_t, x_T, noise, schedule=SCALED_LINEAR, timesteps=times.consistency(1000, 2))
    expected = SCALED_LINEAR.add_noise(x_T, noise(jnp.int32(0)), jnp.array(499))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_samplers_denoise_at_the_times_of_the_grid_one_time_per_example(name):
    seen = []

    def denoise(x_t: Array, t: Array) -> Array:
        seen.append(np.asarray(t).tolist())
        return 0.5 * x_t

    x_T = jnp.ones((2, 1, 1, 3))
    with jax.disable_jit():  # Unrolls the scan.
        samplers.SAMPLERS[name](denoise, x_T, no_noise(x_T), schedule=SCALED_LINEAR, timesteps=times.trailing(1000, 4))
    assert seen == [[999, 999], [749, 749], [499, 499], [249, 249]]


def test_noise_belongs_to_an_example_and_a_step():
    rngs = jax.random.split(jax.random.key(0), 3)
    noise = samplers.gaussian_noise(rngs, (4, 4, 3))
    together = noise(jnp.int32(2))
    assert together.shape == (3, 4, 4, 3)
    alone = samplers.gaussian_noise(rngs[1:2], (4, 4, 3))(jnp.int32(2))
    np.testing.assert_array_equal(alone[0], together[1])
    assert not np.any(np.asarray(noise(jnp.int32(3))) == np.asarray(together))
    assert not np.any(np.asarray(together[0]) == np.asarray(together[1]))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_consistency_sampling_keeps_the_variance_of_every_time(gamma):
    """From x_499 of pure noise and x_0 = 0: what is kept and what is drawn add up to sigma_259."""
    grid = np.array([499], np.int32), np.array([259], np.int32)
    sigma, sigma_next = (float(SCALED_LINEAR.sigma(jnp.int32(t[0]))) for t in grid)
    x_T = sigma * noise_of(0, (4, 64, 64, 3))(jnp.int32(0))
    found = samplers.lcm(
        lambda x_t, t: jnp.zeros_like(x_t), x_T, noise_of(1, x_T.shape), schedule=SCALED_LINEAR, timesteps=grid,
        gamma=gamma,
    )  # fmt: skip
    np.testing.assert_allclose(np.std(found), sigma_next, rtol=0.01)
    turning = 259 - round(gamma * 260)
    alpha_bar = np.append(SCALED_LINEAR.alphas_bar, 1.0)
    kept = np.sqrt(alpha_bar[259] / alpha_bar[turning] * (1 - alpha_bar[turning])) / sigma_next
    np.testing.assert_allclose(np.corrcoef(np.ravel(found), np.ravel(x_T))[0, 1], kept, atol=0.02)


def test_consistency_sampling_without_fresh_noise_is_ddim():
    grid, denoise = times.consistency(1000, 8), posterior_mean(SCALED_LINEAR)
    x_T = noise_of(2, (2, 4, 4, 3))(jnp.int32(0))
    found = samplers.lcm(denoise, x_T, noise_of(3, x_T.shape), schedule=SCALED_LINEAR, timesteps=grid, gamma=0.0)
    expected = samplers.ddim(denoise, x_T, noise_of(3, x_T.shape), schedule=SCALED_LINEAR, timesteps=grid)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_consistency_sampling_hardly_below_gamma_one_is_the_one_that_draws_all_noise():
    grid, denoise = times.consistency(1000, 4), posterior_mean(SCALED_LINEAR)
    x_T = noise_of(4, (2, 4, 4, 3))(jnp.int32(0))
    all_new, nearly = (
        samplers.lcm(denoise, x_T, noise_of(5, x_T.shape), schedule=SCALED_LINEAR, timesteps=grid, gamma=gamma)
        for gamma in (1.0, 0.99999)
    )
    np.testing.assert_allclose(nearly, all_new, atol=1e-5)
