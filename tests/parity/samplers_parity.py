"""Every sampler against diffusers' scheduler of the same name, live, step by step, along that scheduler's own times."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch_sampling
from our_sampling import WAYS, Case, assert_paths_equal, cases, our_path

from sar2opt_jax.diffusion import times
from sar2opt_jax.diffusion.consistency import boundary

# numpy asks for another signature of the torch arrays that DPMSolverMultistepScheduler gives it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = [
    *({"num_steps": n} for n in (1, 2, 7, 20)),
    *({"num_steps": n, "schedule": "linear"} for n in (1, 7)),
    *({"num_steps": n, "schedule": "cosine"} for n in (1, 4)),
    *({"num_steps": n, "rescale_zero_snr": True} for n in (1, 7)),
    {"num_steps": 4, "schedule": "linear", "rescale_zero_snr": True},
]


def tolerance(case: Case) -> float:
    """How far apart two right answers may be, in parts of the image's scale; 1e-5 but for reasons."""
    if case.eta and case.schedule == "cosine":
        # Nearly all noise is drawn anew at the first step; of the rest diffusers has the root of a rounding.
        return 2e-4
    if case.sampler == "dpm_solver_pp" and case.rescale_zero_snr and case.prediction == "v":
        # Both solvers start at alpha = 2^-12; diffusers reads v there too, we at 0, where the network was trained.
        return 1.5e-3
    if case.prediction == "eps" and case.schedule == "linear":
        return 5e-5  # A rounding of eps is amplified 157 times.
    return 1e-5


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_paths_are_equal_step_by_step(settings):
    compared = cases(**settings)
    assert {(case.sampler, case.eta > 0) for case in compared} == {(sampler, eta > 0) for sampler, eta in WAYS}
    for case in compared:
        expected, timesteps = torch_sampling.their_path(case)
        assert_paths_equal(our_path(case, timesteps), expected, tolerance=tolerance(case), about=case.name)


def test_the_original_of_1000_steps_is_equal():
    case = Case("ddpm", 0.0, "trailing", "eps", True, num_steps=1000)
    expected, timesteps = torch_sampling.their_path(case)
    assert_paths_equal(our_path(case, timesteps), expected, tolerance=1e-4, about=case.name)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("num_steps", [1, 2, 5, 7, 50, 333, 1000])
def test_grids_of_ddim_and_ddpm_are_equal(spacing, num_steps):
    for sampler in ("ddpm", "ddim"):
        case = Case(sampler, 0.0, spacing, "v", True, num_steps=num_steps)
        ours, _ = times.GRIDS[spacing](1000, num_steps)
        np.testing.assert_array_equal(ours, torch_sampling.scheduler(case).timesteps)


@pytest.mark.parametrize("num_steps", range(1, 51))
def test_times_of_a_student_are_equal(num_steps):
    case = Case("lcm", 0.0, "own", "v", False, num_steps=num_steps)
    np.testing.assert_array_equal(times.consistency(1000, num_steps)[0], torch_sampling.scheduler(case).timesteps)


def test_boundary_coefficients_are_equal():
    lcm = torch_sampling.scheduler(Case("lcm", 0.0, "own", "v", False))
    for t in (0, 1, 19, 499, 999):
        np.testing.assert_allclose(
            boundary(jnp.array(t)), lcm.get_scalings_for_boundary_condition_discrete(t), rtol=1e-6
        )
