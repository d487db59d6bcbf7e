"""Our side of a comparison of samplers, and what both sides are given. Needs neither torch nor diffusers."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.diffusion import samplers
from sar2opt_jax.diffusion.consistency import consistency_function
from sar2opt_jax.diffusion.schedule import PREDICTIONS, Schedule, make_schedule
from sar2opt_jax.diffusion.times import Timesteps
from sar2opt_jax.types import Array

SHAPE = (2, 2, 3, 3)
MEAN = np.random.default_rng(0).uniform(-1.3, 1.3, SHAPE)  # Beyond [-1, 1], so that clipping changes something.
DEVIATION = 0.4
WAYS = (("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0), ("dpm_solver_pp", 0.0), ("lcm", 0.0))
"""Samplers with their eta."""
SPACINGS = ("trailing", "leading", "linspace")


class Case(NamedTuple):
    """One way to sample, along the grid that the reference library makes for it."""

    sampler: str
    eta: float
    spacing: str
    prediction: str
    clip: bool
    schedule: str = "scaled_linear"
    rescale_zero_snr: bool = False
    num_steps: int = 7  # Does not divide 1000, so that roundings are seen.

    @property
    def name(self) -> str:
        """For test ids and in the file of references."""
        return "-".join(map(str, self))


def cases(**settings) -> list[Case]:
    """Every sampler on every spacing that it has, with every prediction, clipped and not."""
    # eps says nothing about the image at zero terminal SNR, and next to nothing at the end of the cosine.
    without_eps = settings.get("rescale_zero_snr") or settings.get("schedule") == "cosine"
    # At eta 1 and zero terminal SNR diffusers takes the root of a rounding, which is negative on some grids: NaN.
    most = 0.9 if settings.get("rescale_zero_snr") else 1.0
    return [
        Case(sampler, min(eta, most), spacing, prediction, clip, **settings)
        for sampler, eta in WAYS
        for spacing in (SPACINGS if sampler != "lcm" else ("own",))
        for prediction in PREDICTIONS
        for clip in (False, True)
        if not (without_eps and prediction == "eps")
    ]


@functools.cache
def schedule_of(case: Case) -> Schedule:
    """Our schedule."""
    return make_schedule(case.schedule, rescale_zero_snr=case.rescale_zero_snr)


def noise_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """``x_T`` and the noise of every step, [num_steps, *SHAPE]."""
    drawn = np.random.default_rng(1).standard_normal((1 + case.num_steps, *SHAPE), np.float32)
    return drawn[0], drawn[1:]


def network_output(case: Case, x_t: np.ndarray, t: int) -> np.ndarray:
    """What an exact network for data N(MEAN, DEVIATION^2) puts out; float64 inside, so that it adds no error."""
    alpha_bar = schedule_of(case).alphas_bar[t]
    alpha, sigma = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    gain = alpha * DEVIATION**2 / (alpha_bar * DEVIATION**2 + sigma**2)
    x_0 = MEAN + gain * (x_t.astype(np.float64) - alpha * MEAN)
    eps = (x_t - alpha * x_0) / sigma
    return {"eps": eps, "v": alpha * eps - sigma * x_0, "x_0": x_0}[case.prediction].astype(np.float32)


def our_path(case: Case, timesteps: Timesteps) -> np.ndarray:
    """The image before every step and after the last, [num_steps + 1, *SHAPE]."""
    schedule = schedule_of(case)
    path = []

    def network(x_t: np.ndarray, t: np.ndarray) -> np.ndarray:
        path.append(np.array(x_t))
        return network_output(case, path[-1], int(t[0]))

    def predictor(x_t: Array, t: Array) -> Array:
        return jax.pure_callback(network, jax.ShapeDtypeStruct(x_t.shape, jnp.float32), x_t, t)

    denoise = schedule.denoiser(predictor, prediction=case.prediction, clip=case.clip)
    if case.sampler == "lcm":
        denoise = consistency_function(denoise)
    x_T, noise = map(jnp.asarray, noise_of(case))
    # Unrolling a short scan is quicker than to compile it.
    with jax.disable_jit(case.num_steps < 100):
        x_0 = samplers.SAMPLERS[case.sampler](
            denoise,
            x_T,
            lambda i: noise[i],
            schedule=schedule,
            timesteps=timesteps,
            **({"eta": case.eta} if case.sampler == "ddim" else {}),
        )
    return np.stack([*path, np.asarray(x_0)])


def assert_paths_equal(found: np.ndarray, expected: np.ndarray, *, about: str, tolerance: float = 1e-5) -> None:
    """Step by step, to ``tolerance`` of the image's scale at that step."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all(), about
    for step, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        message = f"{about}, before step {step}"
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), err_msg=message)
