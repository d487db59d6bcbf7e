"""Samplers: from noise to an image along a grid of times.

A sampler sees ``denoise(x_t, t) -> x_0`` and never hears of networks, radar or prediction types. Each is a ``Sampler``:
the coefficients of every step, which follow from the grid ``timesteps = (t, t_next)`` of ``diffusion/times.py``, and
one step. Coefficients may be arguments of a compiled program, which then serves every number of steps.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.diffusion.times import Timesteps
from sar2opt_jax.types import Array, Denoiser, Noise

Coefficients = Mapping[str, Any]
"""By name, one number a step, [num_steps]; ``t`` is the time where it starts. A step sees its own, [] each."""


class StepGrid(NamedTuple):
    """What is known of a sampling before it begins: plain arrays, which may be arguments of a compiled program."""

    coefficients: Coefficients  # of at least as many steps
    num_steps: Any  # an integer

    def padded(self, length: int) -> "StepGrid":
        """The same with coefficients of ``length`` steps, those beyond its own zero: one shape for all grids."""
        more = length - self.num_steps
        return StepGrid({name: np.pad(values, (0, more)) for name, values in self.coefficients.items()}, self.num_steps)


def gaussian_noise(rngs: Array, shape: tuple[int, ...]) -> Noise:
    """Standard normal noise per example and step.

    Args:
      rngs: one key per example, [batch], so that an example's noise does not depend on its company.
      shape: of one example, (height, width, channel).
    """

    def noise(i: Array) -> Array:
        return jax.vmap(lambda rng: jax.random.normal(jax.random.fold_in(rng, i), shape, jnp.float32))(rngs)

    return noise


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A way from pure noise to an image.

    Attributes:
      coefficients: of a schedule and a grid of times, in float64: near the clean image they differ by little.
      step: from x_t to x_{t'} and the estimate of x_0 between them, of the noise, the number of the step, its
        coefficients, x_t, and the estimate of the step before.
      is_multistep: whether it looks at that estimate, which is zero at the first step; None is given to others.
      options: ``eta`` of ``ddim``, ``gamma`` of ``lcm``.
    """

    coefficients: Callable[..., dict[str, np.ndarray]]
    step: Callable[..., tuple[Array, Array]]
    is_multistep: bool = False
    options: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def grid(self, schedule: Schedule, timesteps: Timesteps) -> StepGrid:
        """Along which times to sample."""
        exact = self.coefficients(schedule, timesteps, **self.options)
        single = {name: x.astype(np.int32 if x.dtype.kind == "i" else np.float32) for name, x in exact.items()}
        return StepGrid(single, len(timesteps[0]))

    def __call__(
        self, denoise: Denoiser, x_T: Array, noise: Noise, *, schedule: Schedule, timesteps: Timesteps, **options: float
    ) -> Array:
        """Samples along a grid of times, as constants of a compiled program.

        Args:
          denoise: estimates x_0.
          x_T: pure noise, [batch, height, width, channel] float32.
          noise: of each step.
          schedule: of the network.
          timesteps: the grid.
          **options: that differ from ``options``.

        Returns:
          The image, shaped like ``x_T``.
        """
        sampler = dataclasses.replace(self, options={**self.options, **options})
        return sampler.along(sampler.grid(schedule, timesteps), denoise, x_T, noise, schedule=schedule)

    def along(self, grid: StepGrid, denoise: Denoiser, x_T: Array, noise: Noise, *, schedule: Schedule) -> Array:
        """``__call__`` for a grid that is known, and may be traced."""

        def step(i: Array, state: tuple[Array, Array | None]) -> tuple[Array, Array | None]:
            x_next, x_0 = self.advance(i, grid, denoise, noise, *state, schedule=schedule)
            return x_next, x_0 if self.is_multistep else None

        before = jnp.zeros_like(x_T) if self.is_multistep else None
        return jax.lax.fori_loop(0, grid.num_steps, step, (x_T, before))[0]

    def advance(
        self,
        i: int | Array,
        grid: StepGrid,
        denoise: Denoiser,
        noise: Noise,
        x_t: Array,
        before: Array | None,
        *,
        schedule: Schedule,
    ) -> tuple[Array, Array]:
        """Step number ``i``; what it is given beside, and what it returns, is that of ``step``."""
        now = {name: jnp.asarray(values)[i] for name, values in grid.coefficients.items()}
        return self.step(denoise, noise, i, now, x_t, before, schedule=schedule, **self.options)


def _ddpm_coefficients(schedule: Schedule, timesteps: Timesteps) -> dict[str, np.ndarray]:
    """Mean and variance of the posterior (arXiv 2006.11239, equations 6 and 7)."""
    alpha_bar, alpha_bar_next = _alphas_bar(schedule, timesteps)
    beta = 1 - alpha_bar / alpha_bar_next
    return {
        "t": timesteps[0],
        "x_0_weight": np.sqrt(alpha_bar_next) * beta / (1 - alpha_bar),
        "x_t_weight": np.sqrt(1 - beta) * (1 - alpha_bar_next) / (1 - alpha_bar),
        "deviation": np.sqrt(beta * (1 - alpha_bar_next) / (1 - alpha_bar)),
    }


def _ddpm_step(
    denoise: Denoiser, noise: Noise, i: Array, now: Coefficients, x_t: Array, before: None, *, schedule: Schedule
) -> tuple[Array, Array]:
    del before, schedule
    x_0 = denoise(x_t, _spread(now["t"], x_t))
    return now["x_0_weight"] * x_0 + now["x_t_weight"] * x_t + now["deviation"] * noise(i), x_0


ddpm = Sampler(_ddpm_coefficients, _ddpm_step)
"""Ancestral sampling (arXiv 2006.11239, algorithm 2), variance ``fixed_small``.

x_{t'} ~ N(mu, beta~ I), the posterior q(x_{t'} | x_t, x_0); over all T times this is "the original".
"""


def _ddim_coefficients(schedule: Schedule, timesteps: Timesteps, *, eta: float = 0.0) -> dict[str, np.ndarray]:
    alpha_bar, alpha_bar_next = _alphas_bar(schedule, timesteps)
    # The part of the noise that is drawn anew takes its variance from the part that is kept.
    fresh = eta * np.sqrt((1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next))
    kept = np.sqrt(np.maximum(1 - alpha_bar_next - fresh**2, 0))
    return {"t": timesteps[0], "x_0_weight": np.sqrt(alpha_bar_next), "kept": kept, "fresh": fresh}


def _ddim_step(
    denoise: Denoiser,
    noise: Noise,
    i: Array,
    now: Coefficients,
    x_t: Array,
    before: None,
    *,
    schedule: Schedule,
    eta: float = 0.0,
) -> tuple[Array, Array]:
    del before
    x_0 = denoise(x_t, _spread(now["t"], x_t))
    x_next = now["x_0_weight"] * x_0 + now["kept"] * schedule.to_eps(x_0, x_t, now["t"])
    return (x_next + now["fresh"] * noise(i) if eta else x_next), x_0


ddim = Sampler(_ddim_coefficients, _ddim_step)
"""Implicit sampling (arXiv 2010.02502, equation 12); deterministic for ``eta`` 0 (default), ancestral for 1."""


def ddim_step(x_0: Array, x_t: Array, t: Array, t_next: Array, *, schedule: Schedule) -> Array:
    """One deterministic step:  x_{t'} = alpha_{t'} x_0 + sigma_{t'} eps  with the eps that leads to ``x_t``.

    Args:
      x_0: the estimate at ``x_t``.
      x_t: [batch, height, width, channel].
      t: where ``x_t`` stands, [] or [batch].
      t_next: where to go, shaped like ``t``; -1 gives ``x_0``.
    """
    return schedule.add_noise(x_0, schedule.to_eps(x_0, x_t, t), t_next)


def _dpm_solver_pp_coefficients(schedule: Schedule, timesteps: Timesteps) -> dict[str, np.ndarray]:
    """Among them the weights 1 / (2 r), r = h' / h of the steps h in lambda, half the logarithm of the signal-to-noise
    ratio, with the h' of the step before; 0 at the first and the last step, which are of first order."""
    # Without the zero of zero terminal SNR; other small values stay: the cosine's last one is 2.4e-9.
    alphas_bar = np.where(schedule.alphas_bar == 0, 2.0**-24, schedule.alphas_bar)
    alphas, sigmas = np.append(np.sqrt(alphas_bar), 1.0), np.append(np.sqrt(1 - alphas_bar), 0.0)
    half_log_snr = np.append(0.5 * np.log(alphas_bar / (1 - alphas_bar)), np.inf)
    t, t_next = (np.asarray(times) for times in timesteps)
    h = half_log_snr[t_next] - half_log_snr[t]
    weight = np.zeros(len(t))
    second = np.isfinite(h[1:])
    weight[1:][second] = h[1:][second] / (2 * h[:-1][second])
    return {"t": t, "ratio": sigmas[t_next] / sigmas[t], "x_0_weight": -alphas[t_next] * np.expm1(-h), "weight": weight}


def _dpm_solver_pp_step(
    denoise: Denoiser, noise: Noise, i: Array, now: Coefficients, x_t: Array, before: Array, *, schedule: Schedule
) -> tuple[Array, Array]:
    del noise, i, schedule  # Deterministic.
    x_0 = denoise(x_t, _spread(now["t"], x_t))
    # Second-order correction: x_0 at the middle of the step, extrapolated in lambda.
    middle = x_0 + now["weight"] * (x_0 - before)
    return now["ratio"] * x_t + now["x_0_weight"] * middle, x_0


dpm_solver_pp = Sampler(_dpm_solver_pp_coefficients, _dpm_solver_pp_step, is_multistep=True)
"""DPM-Solver++(2M), the multistep midpoint form in x_0 (arXiv 2211.01095, algorithm 2).

The first and the last step are of first order: at the last one lambda is infinite, and few steps need it.
"""


def _lcm_coefficients(schedule: Schedule, timesteps: Timesteps, *, gamma: float = 1.0) -> dict[str, np.ndarray]:
    t, t_next = (np.asarray(times) for times in timesteps)
    alphas_bar = np.append(schedule.alphas_bar, 1.0)  # Index -1 is the clean image.
    turning = t_next - np.round(gamma * (t_next + 1)).astype(t_next.dtype)
    ratio = alphas_bar[t_next] / alphas_bar[turning]
    kept, fresh = np.sqrt(ratio * (1 - alphas_bar[turning])), np.sqrt(1 - ratio)
    return {"t": t, "t_next": t_next, "kept": kept, "fresh": fresh}


def _lcm_step(
    denoise: Denoiser,
    noise: Noise,
    i: Array,
    now: Coefficients,
    x_t: Array,
    before: None,
    *,
    schedule: Schedule,
    gamma: float = 1.0,
) -> tuple[Array, Array]:
    del before
    x_0 = denoise(x_t, _spread(now["t"], x_t))
    if gamma == 1:
        return schedule.add_noise(x_0, noise(i), now["t_next"]), x_0
    x_next = schedule.alpha(now["t_next"]) * x_0 + now["kept"] * schedule.to_eps(x_0, x_t, now["t"])
    return x_next + now["fresh"] * noise(i), x_0


lcm = Sampler(_lcm_coefficients, _lcm_step)
"""Multistep consistency sampling: denoise, re-noise to the next time; the last output is the image, without noise.

At ``gamma`` 1 (default) all noise is drawn anew (arXiv 2303.01469, algorithm 1). Below, x_t goes down to a cleaner time
t'' <= t' with the noise that it has, and only from there up to t' with fresh noise: strategic stochastic sampling
(arXiv 2402.19159, section 3.2); gamma is the share of the times between the clean image and t' that is noised anew. At
0 nothing is drawn, and it is ``ddim``.
"""


def _direct_coefficients(schedule: Schedule, timesteps: Timesteps) -> dict[str, np.ndarray]:
    del schedule
    return {"t": timesteps[0]}


def _direct_step(
    denoise: Denoiser, noise: Noise, i: Array, now: Coefficients, x_t: Array, before: None, *, schedule: Schedule
) -> tuple[Array, Array]:
    del noise, i, before, schedule
    x_0 = denoise(x_t, _spread(now["t"], x_t))
    return x_0, x_0


direct = Sampler(_direct_coefficients, _direct_step)
"""The evaluation of a one-step generator, which is the image."""

SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpm_solver_pp": dpm_solver_pp, "lcm": lcm}


def _spread(t: Array, x_t: Array) -> Array:
    return jnp.full(x_t.shape[:1], t, jnp.int32)


def _alphas_bar(schedule: Schedule, timesteps: Timesteps) -> tuple[np.ndarray, np.ndarray]:
    """alpha_bar at both ends of every step; float64, since near the clean image they differ by little."""
    alphas_bar = np.append(schedule.alphas_bar, 1.0)  # Index -1 is the clean image.
    return alphas_bar[timesteps[0]], alphas_bar[timesteps[1]]
