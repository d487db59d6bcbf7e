from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from sar2opt_jax.interop import diffusers
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.unet import UNet

REFERENCE = Path(__file__).with_name("reference")
UNET = UNet(widths=(4, 8, 8), attention=(False, True, False), head_width=4, norm_groups=2)


def references() -> dict[str, dict[str, np.ndarray]]:
    files = {"unet": "diffusion_pytorch_model", "discriminator": "discriminator"}
    return {name: load_file(REFERENCE / f"{file}.safetensors") for name, file in files.items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("conv_in.weight", "conv_in/kernel"),
        ("time_embedding.linear_2.bias", "time_embedding/dense2/bias"),
        ("down_blocks.10.resnets.1.conv_shortcut.weight", "down_10/resnet_1/shortcut/kernel"),
        ("down_blocks.0.downsamplers.0.conv.bias", "down_0/downsample/conv/bias"),
        ("mid_block.attentions.0.group_norm.weight", "middle/attention_0/norm/scale"),
        ("mid_block.attentions.0.to_out.0.weight", "middle/attention_0/out/kernel"),
        ("up_blocks.1.resnets.2.time_emb_proj.weight", "up_1/resnet_2/time/kernel"),
        ("up_blocks.1.resnets.2.norm1.weight", "up_1/resnet_2/norm1/scale"),
        ("conv_norm_out.bias", "norm_out/bias"),
        ("head.8.weight", "head/logit/kernel"),
    ],
)
def test_a_name_is_ours_and_back(theirs, ours):
    assert diffusers.our_name(theirs) == ours
    assert diffusers.diffusers_name(ours) == theirs


def test_old_names_of_attention_are_known():
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    for name, new in old.items():
        path = f"mid_block.attentions.0.{name}.weight"
        assert diffusers.diffusers_name(diffusers.our_name(path)) == path.replace(name, new)


@pytest.mark.parametrize("network", ["unet", "discriminator"])
def test_tensors_of_torch_are_the_parameters_of_our_networks(network):
    module = UNET if network == "unet" else Discriminator(unet=UNET)
    inputs = module.input_shapes(image_size=16, sar_channels=1)
    expected = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    convert = diffusers.to_flax if network == "unet" else diffusers.discriminator_to_flax
    found = convert(references()[network])
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (dict(found), expected)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("network", ["unet", "discriminator"])
def test_there_and_back_is_the_same_bit_for_bit(network):
    there, back = {
        "unet": (diffusers.to_flax, diffusers.from_flax),
        "discriminator": (diffusers.discriminator_to_flax, diffusers.discriminator_from_flax),
    }[network]
    tensors = references()[network]
    tensors["conv_in.bias"].view(np.uint32)[0] = 0x80000001  # A negative subnormal number.
    found = back(there(tensors))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].tobytes() == tensor.tobytes(), name
        assert found[name].flags.c_contiguous


def test_axes_are_exchanged_as_flax_has_them():
    convolution, dense = np.arange(2 * 3 * 1 * 5).reshape(2, 3, 1, 5), np.arange(6).reshape(2, 3)
    params = flax.traverse_util.flatten_dict(
        dict(diffusers.to_flax({"a.weight": convolution, "b.weight": dense})), sep="/"
    )
    assert params["a/kernel"].shape == (1, 5, 3, 2)
    assert params["a/kernel"][0, 4, 2, 1] == convolution[1, 2, 0, 4]
    np.testing.assert_array_equal(params["b/kernel"], dense.T)


def test_tensors_that_have_no_place_are_refused():
    with pytest.raises(ValueError, match=r"Tensor a\.weight has 3 axes \(2, 3, 4\)"):
        diffusers.to_flax({"a.weight": np.zeros((2, 3, 4))})
    twice = {f"mid_block.attentions.0.{name}.bias": np.zeros(2) for name in ("to_q", "query")}
    with pytest.raises(ValueError, match=r"query\.bias is there twice"):
        diffusers.to_flax(twice)


def test_a_prefix_is_taken_off_where_all_have_it():
    names = ("conv_in.weight", "head.8.bias")
    tensors = {name: np.zeros(i) for i, name in enumerate(names)}
    for prefix in ("", "module.", "a.b."):
        found, taken = diffusers.without_prefix({prefix + name: tensor for name, tensor in tensors.items()})
        assert taken == prefix
        assert found.keys() == tensors.keys()
    mixed = {"module.conv_in.weight": np.zeros(1), "other": np.zeros(2)}
    assert diffusers.without_prefix(mixed) == (mixed, "")


@pytest.mark.parametrize("prefixes", [("online_model.", "ema_model."), ("", "ema.")])
def test_several_networks_in_a_file_are_refused(prefixes):
    tensors = {f"{prefix}{name}": np.zeros(1) for prefix in prefixes for name in ("conv_in.weight", "conv_in.bias")}
    with pytest.raises(ValueError, match=r"^FILE has 2 networks, whose names begin with '.*' and '.*'; expected one"):
        diffusers.without_prefix(tensors, where="FILE")
