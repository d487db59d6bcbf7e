"""The reference's side of a comparison of samplers and schedules: diffusers' schedulers."""

from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers.training_utils import compute_snr
from our_sampling import Case, network_output, noise_of

from sar2opt_jax.diffusion.times import Timesteps

SCHEDULERS = {
    "ddpm": diffusers.DDPMScheduler,
    "ddim": diffusers.DDIMScheduler,
    "dpm_solver_pp": diffusers.DPMSolverMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x_0": "sample"}
SCHEDULES = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 1.2e-2},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


def noise_schedule(name: str, *, rescale_zero_snr: bool) -> diffusers.DDPMScheduler:
    """A scheduler for the sake of its ``alphas_cumprod``, ``add_noise`` and ``get_velocity``."""
    return diffusers.DDPMScheduler(**SCHEDULES[name], rescale_betas_zero_snr=rescale_zero_snr)


def scheduler(case: Case):
    """The scheduler of a case, with its times set."""
    if case.sampler == "dpm_solver_pp":
        # It has no plain clipping; its dynamic one clips to [-1, 1] where the largest range allowed is 1.
        settings = {"thresholding": case.clip, "sample_max_value": 1.0, "solver_order": 2, "solver_type": "midpoint"}
    else:
        settings = {"clip_sample": case.clip}
    if case.sampler != "lcm":
        settings["timestep_spacing"] = case.spacing
    made = SCHEDULERS[case.sampler](
        **SCHEDULES[case.schedule],
        **settings,
        prediction_type=PREDICTIONS[case.prediction],
        rescale_betas_zero_snr=case.rescale_zero_snr,
    )
    made.set_timesteps(case.num_steps)
    return made


def their_path(case: Case) -> tuple[np.ndarray, Timesteps]:
    """The image before every step and after the last, [num_steps + 1, *SHAPE], and the grid ``(t, t_next)``."""
    steps = scheduler(case)
    t = steps.timesteps.numpy().astype(np.int32)
    t_next = np.append(t[1:], np.int32(-1))
    if case.sampler == "ddim":  # Goes down by as much at every step, wherever the grid's next time is.
        t_next = np.maximum(t - 1000 // case.num_steps, -1).astype(np.int32)
    x, noise = map(torch.from_numpy, noise_of(case))
    path = [x]
    for i, time in enumerate(steps.timesteps):
        output = torch.from_numpy(network_output(case, x.numpy(), int(time)))
        settings = {}
        if case.sampler == "ddim":
            settings = {"eta": case.eta, "use_clipped_model_output": case.clip}
            if case.eta:
                settings["variance_noise"] = noise[i]
        # The others draw noise themselves.
        module = type(steps).__module__
        with mock.patch(f"{module}.randn_tensor", lambda *args, i=i, **kwargs: noise[i]):
            x = steps.step(output, time, x, **settings).prev_sample
        path.append(x)
    return np.stack([x.numpy() for x in path]), (t, t_next)


def min_snr_weight(name: str, t: np.ndarray, *, gamma: float, prediction: str) -> np.ndarray:
    """From diffusers' signal-to-noise ratio, weighed as its training examples do."""
    snr = compute_snr(noise_schedule(name, rescale_zero_snr=False), torch.from_numpy(t).long())
    capped = torch.minimum(snr, torch.full_like(snr, gamma))
    if prediction == "eps":
        return (capped / snr).numpy()
    return (capped / (snr + 1) if prediction == "v" else capped).numpy()
