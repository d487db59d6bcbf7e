from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from sar2opt_jax.interop import diffusers, shapes
from sar2opt_jax.interop.architecture import Architecture
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.unet import UNet

REFERENCE = Path(__file__).with_name("reference")
TINY = Architecture(
    widths=(4, 8, 8),
    blocks_per_level=2,
    attention=(False, True, False),
    head_width=4,
    norm_groups=2,
    sar_channels=1,
)
NETWORKS = [
    TINY,
    Architecture(
        widths=(128, 128, 256, 256, 512, 512),
        blocks_per_level=2,
        attention=(False, False, False, False, True, False),
        head_width=8,
        norm_groups=32,
        sar_channels=1,
    ),
    Architecture(widths=(16,), blocks_per_level=3, attention=(True,), head_width=8, norm_groups=4, sar_channels=4),
    Architecture(
        widths=(24, 8, 16, 16),
        blocks_per_level=1,
        attention=(True, False, True, True),
        head_width=8,
        norm_groups=8,
        sar_channels=2,
    ),
]


def ours(network: Architecture, *, discriminator: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of our networks' own parameters, in PyTorch's axes."""
    unet = UNet(
        widths=network.widths,
        blocks_per_level=network.blocks_per_level,
        attention=network.attention,
        head_width=network.head_width,
        norm_groups=network.norm_groups,
    )
    module = Discriminator(unet=unet) if discriminator else unet
    inputs = module.input_shapes(image_size=2 * unet.size_multiple, sar_channels=network.sar_channels)
    params = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), params)
    tensors = (diffusers.discriminator_from_flax if discriminator else diffusers.from_flax)(zeros)
    return {name: tensor.shape for name, tensor in tensors.items()}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: str(network.widths))
def test_shapes_are_those_of_our_networks(network):
    assert shapes.unet_shapes(network) == ours(network, discriminator=False)
    assert shapes.discriminator_shapes(network) == ours(network, discriminator=True)


def test_shapes_are_those_of_torch():
    for expected, file in (
        (shapes.unet_shapes(TINY), "diffusion_pytorch_model.safetensors"),
        (shapes.discriminator_shapes(TINY), "discriminator.safetensors"),
    ):
        assert expected == {name: tensor.shape for name, tensor in load_file(REFERENCE / file).items()}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: str(network.widths))
def test_a_network_is_known_by_its_tensors(network):
    settings = {"head_width": network.head_width, "norm_groups": network.norm_groups}
    assert shapes.from_shapes(shapes.unet_shapes(network), where="x", **settings) == network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_in.weight": None}, r"FILE: a UNet2DModel has a convolution conv_in\.weight, which here is missing"),
        ({"conv_in.weight": (4, 3, 3, 3)}, "takes 3 channels; expected more than 3"),
        ({"conv_in.weight": (4, 4)}, r"conv_in\.weight, which here is \(4, 4\)"),
        ({"down_blocks.1.resnets.0.conv1.weight": None}, r"down_blocks\.1\.resnets\.0\.conv1\.weight, .* is missing"),
    ],
)
def test_what_is_no_network_is_refused(change, message):
    found = {name: shape for name, shape in (shapes.unet_shapes(TINY) | change).items() if shape is not None}
    with pytest.raises(ValueError, match=message):
        shapes.from_shapes(found, head_width=4, norm_groups=2, where="FILE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # What settings that our U-Net lacks do to the tensors: scale_shift, class embeddings, Fourier features of time.
        (
            {"down_blocks.0.resnets.0.time_emb_proj.weight": (8, 16)},
            r"FILE: tensor down_blocks\.0\.resnets\.0\.time_emb_proj\.weight has shape \(8, 16\); expected \(4, 16\)",
        ),
        ({"class_embedding.weight": (10, 16)}, r"class_embedding\.weight \(10, 16\) belongs to no layer"),
        ({"time_embedding.linear_1.weight": (16, 8)}, r"linear_1\.weight has shape \(16, 8\); expected \(16, 4\)"),
        ({"mid_block.attentions.0.to_q.bias": None}, r"to_q\.bias is missing; expected it with shape \(8,\)"),
        ({"conv_out.weight": (4, 4, 3, 3)}, r"conv_out\.weight has shape \(4, 4, 3, 3\); expected \(3, 4, 3, 3\)"),
        ({"mid_block.attentions.0.query.bias": (8,)}, "query.bias and .*to_q.bias are one tensor"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change, message):
    expected = shapes.unet_shapes(TINY)
    shapes.check_shapes(expected, expected, where="FILE")
    found = {name: shape for name, shape in (expected | change).items() if shape is not None}
    with pytest.raises(ValueError, match=message):
        shapes.check_shapes(found, expected, where="FILE")


def test_old_names_fit():
    expected = shapes.unet_shapes(TINY)
    found = {name.replace("to_out.0", "proj_attn").replace("to_q", "query"): shape for name, shape in expected.items()}
    assert found.keys() != expected.keys()
    shapes.check_shapes(found, expected, where="FILE")


def test_a_network_beside_something_else_is_told():
    found = {"ema_model.conv_in.weight": (4, 4, 3, 3), "step": (1,)}
    message = "there are ema_model.conv_in.weight and, beside its network, step: write the network alone to a file"
    with pytest.raises(ValueError, match=f"^FILE: .*conv_in.weight, which here is missing; {message}"):
        shapes.from_shapes(found, head_width=4, norm_groups=2, where="FILE")
    with pytest.raises(ValueError, match=f"^FILE: tensor conv_in.weight is missing; .*; {message}"):
        shapes.check_shapes(found, {"conv_in.weight": (4, 4, 3, 3)}, where="FILE")
