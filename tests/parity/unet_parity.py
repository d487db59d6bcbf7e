"""Networks against diffusers' UNet2DModel, live."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_networks
from our_networks import DISCRIMINATOR, UNET, assert_gradients_equal, filled, images

from sar2opt_jax.interop import diffusers as interop
from sar2opt_jax.models.unet import UNet

SMALL = UNet(widths=(32, 32, 64, 64, 96, 96))
"""The levels of the paper's network, narrower."""


def outputs(unet, *, height, width, batch=1, sar_channels=1):
    params = filled(unet, seed=0, sar_channels=sar_channels)
    x_t, t, _, _, sar = images(height, width, batch=batch, sar_channels=sar_channels)
    with torch.no_grad():
        network = torch_networks.unet(unet, params, sar_channels=sar_channels)
        theirs = torch_networks.to_numpy(torch_networks.unet_output(network, x_t, t, sar))
    return jax.jit(unet.apply)({"params": params}, x_t, t, sar), theirs


def assert_outputs_equal(ours, theirs, *, tolerance=1e-4):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def mean_squared_gradients(unet, *, height, width, batch):
    """Of mean (prediction - eps)^2 for every parameter, ours and theirs, in our layout."""
    params = filled(unet, seed=0)
    x_t, t, eps, _, sar = images(height, width, batch=batch)

    def loss(params):
        return jnp.mean(jnp.square(unet.apply({"params": params}, x_t, t, sar) - eps))

    # Theirs in float64: where a gradient is zero in exact arithmetic, it then is.
    network = torch_networks.unet(unet, params).double()
    output = torch_networks.unet_output(network, x_t.astype(np.float64), t, sar.astype(np.float64))
    theirs = torch_networks.gradients(torch.mean((output - torch_networks.to_torch(eps)) ** 2), network)
    return jax.jit(jax.grad(loss))(params), interop.to_flax(theirs)


def test_the_papers_network_answers_alike_at_full_size():
    assert_outputs_equal(*outputs(UNet(), height=256, width=256))


def test_a_narrow_network_of_the_same_levels_answers_alike_at_full_size():
    assert_outputs_equal(*outputs(SMALL, height=256, width=256))


@pytest.mark.parametrize(("height", "width", "batch"), [(32, 32, 1), (32, 160, 2), (96, 64, 4)])
def test_odd_sizes_are_answered_alike(height, width, batch):
    assert_outputs_equal(*outputs(SMALL, height=height, width=width, batch=batch))


@pytest.mark.parametrize(
    "unet",
    [
        UNET,
        UNET.clone(blocks_per_level=3, head_width=16),
        UNET.clone(attention=(True, True), norm_groups=4),
        UNet(widths=(24, 48, 24), attention=(False, True, False), norm_groups=6),
    ],
    ids=["small", "three blocks, wide heads", "all attention", "three levels, widths up and down"],
)
def test_other_networks_of_the_family_answer_alike(unet):
    assert_outputs_equal(*outputs(unet, height=12, width=20, batch=2, sar_channels=2))


def test_gradients_of_every_parameter_are_alike():
    assert_gradients_equal(*mean_squared_gradients(SMALL, height=64, width=96, batch=2))


def test_gradients_of_the_papers_network_are_alike():
    assert_gradients_equal(*mean_squared_gradients(UNet(), height=64, width=64, batch=1))


def test_discriminator_answers_alike():
    params = filled(DISCRIMINATOR, seed=0)
    inputs = images(16, 24, batch=4)
    with torch.no_grad():
        theirs = torch_networks.Discriminator(UNET, params)(*map(torch_networks.to_torch, inputs)).numpy()
    assert_outputs_equal(DISCRIMINATOR.apply({"params": params}, *inputs), theirs, tolerance=1e-5)
