"""Against recorded answers of diffusers (tests/parity/record.py); ``make parity`` compares with more of them, live."""

import numpy as np
import pytest
from our_sampling import Case, assert_paths_equal, cases, our_path
from recorded import RECORDED

from sar2opt_jax.diffusion import times
from sar2opt_jax.diffusion.losses import min_snr_weight
from sar2opt_jax.diffusion.schedule import PREDICTIONS, SCHEDULES, make_schedule


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_sampler_equals_diffusers_step_by_step(case):
    path, t, t_next = (RECORDED[f"{what}/{case.name}"] for what in ("path", "t", "t_next"))
    assert_paths_equal(our_path(case, (t, t_next)), path, about=case.name)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_grid_equals_diffusers(sampler, spacing):
    case = Case(sampler, 0.0, spacing, "eps", False)
    np.testing.assert_array_equal(times.GRIDS[spacing](1000, case.num_steps)[0], RECORDED[f"t/{case.name}"])


@pytest.mark.parametrize("rescale_zero_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_alphas_bar_equal_diffusers(name, rescale_zero_snr):
    schedule = make_schedule(name, rescale_zero_snr=rescale_zero_snr)
    np.testing.assert_allclose(schedule.alphas_bar, RECORDED[f"alphas_bar/{name}/{rescale_zero_snr}"], atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_equal_diffusers(prediction):
    snr = make_schedule("scaled_linear").snr(RECORDED["snr/t"])
    found = min_snr_weight(snr, gamma=5.0, prediction=prediction)
    np.testing.assert_allclose(found, RECORDED[f"snr/{prediction}"], rtol=1e-4)
