"""Samplers: from noise to an image along a grid of times.

A sampler sees ``denoise(x_t, t) -> x_0`` and never hears of networks, radar or prediction types. Each is one
``lax.scan`` over the grid ``timesteps = (t, t_next)`` of ``diffusion/times.py``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.diffusion.times import Timesteps
from sar2opt_jax.types import Array, Denoiser, Noise, Sampler


def gaussian_noise(rngs: Array, shape: tuple[int, ...]) -> Noise:
    """Standard normal noise per example and step.

    Args:
      rngs: one key per example, [batch], so that an example's noise does not depend on its company.
      shape: of one example, (height, width, channel).
    """

    def noise(i: Array) -> Array:
        return jax.vmap(lambda rng: jax.random.normal(jax.random.fold_in(rng, i), shape, jnp.float32))(rngs)

    return noise


def ddpm(denoise: Denoiser, x_T: Array, noise: Noise, *, schedule: Schedule, timesteps: Timesteps) -> Array:
    """Ancestral sampling (arXiv 2006.11239, algorithm 2), variance ``fixed_small``.

    x_{t'} ~ N(mu, beta~ I), the posterior q(x_{t'} | x_t, x_0); over all T times this is "the original".
    """
    # Mean and variance of the posterior (equations 6 and 7).
    alpha_bar, alpha_bar_next = _alphas_bar(schedule, timesteps)
    beta = 1 - alpha_bar / alpha_bar_next
    x_0_weight = np.sqrt(alpha_bar_next) * beta / (1 - alpha_bar)
    x_t_weight = np.sqrt(1 - beta) * (1 - alpha_bar_next) / (1 - alpha_bar)
    deviation = np.sqrt(beta * (1 - alpha_bar_next) / (1 - alpha_bar))

    def step(x_t: Array, inputs: tuple[Array, ...]) -> tuple[Array, None]:
        i, t, x_0_weight, x_t_weight, deviation = inputs
        x_0 = denoise(x_t, _spread(t, x_t))
        return x_0_weight * x_0 + x_t_weight * x_t + deviation * noise(i), None

    return _scan(step, x_T, timesteps[0], x_0_weight, x_t_weight, deviation)


def ddim(
    denoise: Denoiser,
    x_T: Array,
    noise: Noise,
    *,
    schedule: Schedule,
    timesteps: Timesteps,
    eta: float = 0.0,
) -> Array:
    """Implicit sampling (arXiv 2010.02502, equation 12); deterministic for eta 0, ancestral for eta 1."""
    alpha_bar, alpha_bar_next = _alphas_bar(schedule, timesteps)
    # The part of the noise that is drawn anew takes its variance from the part that is kept.
    fresh = eta * np.sqrt((1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next))
    kept = np.sqrt(np.maximum(1 - alpha_bar_next - fresh**2, 0))

    def step(x_t: Array, inputs: tuple[Array, ...]) -> tuple[Array, None]:
        i, t, x_0_weight, kept, fresh = inputs
        x_0 = denoise(x_t, _spread(t, x_t))
        x_next = x_0_weight * x_0 + kept * schedule.to_eps(x_0, x_t, t)
        return (x_next + fresh * noise(i) if eta else x_next), None

    return _scan(step, x_T, timesteps[0], np.sqrt(alpha_bar_next), kept, fresh)


def ddim_step(x_0: Array, x_t: Array, t: Array, t_next: Array, *, schedule: Schedule) -> Array:
    """One deterministic step:  x_{t'} = alpha_{t'} x_0 + sigma_{t'} eps  with the eps that leads to ``x_t``.

    Args:
      x_0: the estimate at ``x_t``.
      x_t: [batch, height, width, channel].
      t: where ``x_t`` stands, [] or [batch].
      t_next: where to go, shaped like ``t``; -1 gives ``x_0``.
    """
    return schedule.add_noise(x_0, schedule.to_eps(x_0, x_t, t), t_next)


def dpm_solver_pp(denoise: Denoiser, x_T: Array, noise: Noise, *, schedule: Schedule, timesteps: Timesteps) -> Array:
    """DPM-Solver++(2M), the multistep midpoint form in x_0 (arXiv 2211.01095, algorithm 2).

    The first and the last step are of first order: at the last one lambda is infinite, and few steps need it.
    """
    del noise  # Deterministic.
    alphas_bar = _with_logarithm(schedule)
    alphas = jnp.asarray(np.append(np.sqrt(alphas_bar), 1.0), jnp.float32)
    sigmas = jnp.asarray(np.append(np.sqrt(1 - alphas_bar), 0.0), jnp.float32)
    t, t_next = (np.asarray(times) for times in timesteps)
    h, weight = _half_log_snr_steps(alphas_bar, timesteps)
    decay = jnp.asarray(np.expm1(-h), jnp.float32)

    def step(carry: tuple[Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        x_t, x_0_before = carry
        t, t_next, decay, weight = inputs
        x_0 = denoise(x_t, _spread(t, x_t))
        # Second-order correction: x_0 at the middle of the step, extrapolated in lambda.
        x_0_middle = x_0 + weight * (x_0 - x_0_before)
        x_next = sigmas[t_next] / sigmas[t] * x_t - alphas[t_next] * decay * x_0_middle
        return (x_next, x_0), None

    inputs = (jnp.asarray(t), jnp.asarray(t_next), decay, jnp.asarray(weight, jnp.float32))
    (x, _), _ = jax.lax.scan(step, (x_T, jnp.zeros_like(x_T)), inputs)
    return x


def second_order_weights(schedule: Schedule, timesteps: Timesteps) -> np.ndarray:
    """How far ``dpm_solver_pp`` extrapolates x_0 beyond that of the step before, [num_steps]; 0 is first order."""
    return _half_log_snr_steps(_with_logarithm(schedule), timesteps)[1]


def lcm(
    denoise: Denoiser,
    x_T: Array,
    noise: Noise,
    *,
    schedule: Schedule,
    timesteps: Timesteps,
    gamma: float = 1.0,
) -> Array:
    """Multistep consistency sampling: denoise, re-noise to the next time; the last output is the image, without noise.

    At gamma 1 all noise is drawn anew (arXiv 2303.01469, algorithm 1). Below, x_t goes down to a cleaner time
    t'' <= t' with the noise that it has, and only from there up to t' with fresh noise: strategic stochastic sampling
    (arXiv 2402.19159, section 3.2). At gamma 0 nothing is drawn, and it is ``ddim``.

    Args:
      denoise: the consistency function.
      x_T: as of every sampler; so are ``noise``, ``schedule`` and ``timesteps``.
      noise: see ``x_T``.
      schedule: see ``x_T``.
      timesteps: see ``x_T``.
      gamma: the share of the times between the clean image and t' that is noised anew, 0 to 1.
    """
    t, t_next = (np.asarray(times) for times in timesteps)
    alphas_bar = np.append(schedule.alphas_bar, 1.0)  # Index -1 is the clean image.
    turning = t_next - np.round(gamma * (t_next + 1)).astype(t_next.dtype)
    ratio = alphas_bar[t_next] / alphas_bar[turning]
    kept = np.sqrt(ratio * (1 - alphas_bar[turning]))
    fresh = np.sqrt(1 - ratio)

    def step(x_t: Array, inputs: tuple[Array, ...]) -> tuple[Array, None]:
        i, t, t_next, kept, fresh = inputs
        x_0 = denoise(x_t, _spread(t, x_t))
        if gamma == 1:
            return schedule.add_noise(x_0, noise(i), t_next), None
        x_next = schedule.alpha(t_next) * x_0 + kept * schedule.to_eps(x_0, x_t, t)
        return x_next + fresh * noise(i), None

    return _scan(step, x_T, t, t_next, kept, fresh)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm_solver_pp": dpm_solver_pp,
    "lcm": lcm,
}


def _with_logarithm(schedule: Schedule) -> np.ndarray:
    """alpha_bar without the zero of zero terminal SNR; other small values stay: the cosine's last one is 2.4e-9."""
    return np.where(schedule.alphas_bar == 0, 2.0**-24, schedule.alphas_bar)


def _half_log_snr_steps(alphas_bar: np.ndarray, timesteps: Timesteps) -> tuple[np.ndarray, np.ndarray]:
    """The steps h in lambda, half the logarithm of the signal-to-noise ratio, and the weights 1 / (2 r), r = h' / h
    with the h' of the step before; 0 at the first and the last step, which are of first order."""
    half_log_snr = np.append(0.5 * np.log(alphas_bar / (1 - alphas_bar)), np.inf)
    t, t_next = (np.asarray(times) for times in timesteps)
    h = half_log_snr[t_next] - half_log_snr[t]
    weight = np.zeros(len(t))
    second = np.isfinite(h[1:])
    weight[1:][second] = h[1:][second] / (2 * h[:-1][second])
    return h, weight


def _spread(t: Array, x_t: Array) -> Array:
    return jnp.full(x_t.shape[:1], t, jnp.int32)


def _alphas_bar(schedule: Schedule, timesteps: Timesteps) -> tuple[np.ndarray, np.ndarray]:
    """alpha_bar at both ends of every step; float64, since near the clean image they differ by little."""
    alphas_bar = np.append(schedule.alphas_bar, 1.0)  # Index -1 is the clean image.
    return alphas_bar[timesteps[0]], alphas_bar[timesteps[1]]


def _scan(step: Callable, x_T: Array, *inputs: np.ndarray) -> Array:
    """Runs ``step(x, (i, *inputs at i))`` along the grid."""
    as_arrays = (jnp.asarray(a, jnp.int32 if a.dtype.kind == "i" else jnp.float32) for a in inputs)
    x, _ = jax.lax.scan(step, x_T, (jnp.arange(len(inputs[0]), dtype=jnp.int32), *as_arrays))
    return x
