"""Noise schedules, predictions and loss weights against diffusers, live."""

import numpy as np
import pytest
import torch
import torch_sampling

from sar2opt_jax.diffusion.losses import min_snr_weight
from sar2opt_jax.diffusion.schedule import SCHEDULES, make_schedule

T = np.array([0, 1, 19, 250, 500, 998, 999])


def images():
    generator = np.random.default_rng(0)
    return (generator.standard_normal((len(T), 4, 6, 3), np.float32) for _ in range(2))


def both(name, *, rescale_zero_snr):
    ours = make_schedule(name, rescale_zero_snr=rescale_zero_snr)
    return ours, torch_sampling.noise_schedule(name, rescale_zero_snr=rescale_zero_snr)


@pytest.mark.parametrize("rescale_zero_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_alphas_bar_are_equal_at_every_time(name, rescale_zero_snr):
    ours, theirs = both(name, rescale_zero_snr=rescale_zero_snr)
    expected = theirs.alphas_cumprod.numpy()
    np.testing.assert_allclose(ours.alphas_bar, expected, rtol=0, atol=1e-6)
    # Theirs is a product of 1000 numbers in float32; relative to itself, and so to the noisiest times, too.
    relative = 1e-4 if not rescale_zero_snr else 2e-3  # Their rescaling subtracts two numbers that are nearly equal.
    np.testing.assert_allclose(ours.alphas_bar[:-1], expected[:-1], rtol=relative)
    assert (expected[-1] == 0) == rescale_zero_snr == (ours.alphas_bar[-1] == 0)


@pytest.mark.parametrize("rescale_zero_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_noisy_images_and_velocities_are_equal(name, rescale_zero_snr):
    ours, theirs = both(name, rescale_zero_snr=rescale_zero_snr)
    x_0, eps = images()
    arguments = torch.from_numpy(x_0), torch.from_numpy(eps), torch.from_numpy(T)
    # Theirs takes sigma^2 = 1 - alpha_bar in float32, of which the cosine has 4e-5 at t = 0.
    np.testing.assert_allclose(ours.add_noise(x_0, eps, T), theirs.add_noise(*arguments), atol=1e-4)
    np.testing.assert_allclose(ours.velocity(x_0, eps, T), theirs.get_velocity(*arguments), atol=1e-4)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize("prediction", torch_sampling.PREDICTIONS)
@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_min_snr_weights_are_equal(name, prediction, gamma):
    ours = min_snr_weight(make_schedule(name).snr(T), gamma=gamma, prediction=prediction)
    expected = torch_sampling.min_snr_weight(name, T, gamma=gamma, prediction=prediction)
    # Theirs takes 1 - alpha_bar in float32, of which little is left where alpha_bar is 0.9999.
    np.testing.assert_allclose(ours, expected, rtol=1e-3)
