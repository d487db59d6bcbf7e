"""Weights of the ``UNet2DModel`` of diffusers, and of the authors' discriminator, in our layout and back.

A tensor keeps its numbers: it is renamed, and its axes are exchanged, for PyTorch keeps a convolution as
[out, in, height, width] and a dense layer as [out, in], Flax as [height, width, in, out] and [in, out].
"""

import re
from collections.abc import Mapping

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sar2opt_jax.types import Params

COMPONENTS = (
    ("down_blocks.#", "down_#"),
    ("up_blocks.#", "up_#"),
    ("mid_block", "middle"),
    ("resnets.#", "resnet_#"),
    ("attentions.#", "attention_#"),
    ("downsamplers.0", "downsample"),
    ("upsamplers.0", "upsample"),
    ("time_emb_proj", "time"),
    ("conv_shortcut", "shortcut"),
    ("group_norm", "norm"),
    ("to_q", "query"),
    ("to_k", "key"),
    ("to_v", "value"),
    ("to_out.0", "out"),
    ("linear_1", "dense1"),
    ("linear_2", "dense2"),
    ("conv_norm_out", "norm_out"),
    ("head.0", "head.conv1"),
    ("head.1", "head.norm1"),
    ("head.3", "head.conv2"),
    ("head.4", "head.norm2"),
    ("head.8", "head.logit"),
)
"""Parts of a name in diffusers and here; # stands for the same number in both, all other parts are called alike.
The head is numbered as the layers of the authors' discriminator (``unet_as_discriminator.py`` of their release)."""
OLD_COMPONENTS = (("proj_attn", "out"),)
"""How diffusers called parts before its version 0.18; its ``query``, ``key`` and ``value`` were called as here."""
AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
"""From PyTorch's axes to Flax's, by the number of axes."""
HEAD = "head"
"""Where the part of the discriminator stands that is not a U-Net's, in both layouts."""


def our_name(name: str) -> str:
    """A parameter's path here: ``down_0/resnet_1/conv1/kernel`` for ``down_blocks.0.resnets.1.conv1.weight``."""
    for theirs, ours in (*COMPONENTS, *OLD_COMPONENTS):
        name = _exchange(name, theirs, ours)
    layer, _, leaf = name.rpartition(".")
    if leaf == "weight":
        leaf = "scale" if layer.rpartition(".")[2].startswith("norm") else "kernel"
    return f"{layer}.{leaf}".lstrip(".").replace(".", "/")


def diffusers_name(path: str) -> str:
    """The inverse of ``our_name``, in the names of today's diffusers."""
    layer, _, leaf = path.replace("/", ".").rpartition(".")
    name = f"{layer}.{'weight' if leaf in ('kernel', 'scale') else leaf}".lstrip(".")
    for theirs, ours in COMPONENTS:
        name = _exchange(name, ours, theirs)
    return name


def to_flax(tensors: Mapping[str, np.ndarray]) -> Params:
    """The parameters of a U-Net from the tensors of a ``UNet2DModel``.

    Args:
      tensors: by diffusers' name, of any type of number; they are not checked, see ``architecture``.

    Returns:
      Nested dict of arrays of their own, the numbers bit for bit.

    Raises:
      ValueError: for a tensor whose number of axes no layer has, or for two tensors of one parameter.
    """
    params: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if tensor.ndim not in AXES:
            raise ValueError(f"Tensor {name} has {tensor.ndim} axes {tensor.shape}; those of a U-Net have 1, 2 or 4.")
        if (path := our_name(name)) in params:
            raise ValueError(f"Tensor {name} is there twice, under its old and its new name.")
        params[path] = np.array(tensor.transpose(AXES[tensor.ndim]), order="C")
    return unflatten_dict(params, sep="/")


def from_flax(params: Params) -> dict[str, np.ndarray]:
    """The inverse of ``to_flax``: tensors by diffusers' name, in diffusers' axes, each an array of its own."""
    leaves = {path: np.asarray(leaf) for path, leaf in flatten_dict(dict(params), sep="/").items()}
    return {
        diffusers_name(path): np.array(leaf.transpose(np.argsort(AXES[leaf.ndim])), order="C")
        for path, leaf in leaves.items()
    }


def without_prefix(
    tensors: Mapping[str, np.ndarray], *, where: str = "The file"
) -> tuple[Mapping[str, np.ndarray], str]:
    """Takes off what all names begin with, such as the ``module.`` of PyTorch's data parallelism.

    Args:
      tensors: by name; the first layer is called ``conv_in``, after the prefix.
      where: they were found, for messages.

    Returns:
      The same tensors, and the prefix, which is empty where they have none in common.

    Raises:
      ValueError: for more than one network, such as one and its average.
    """
    first = "conv_in.weight"
    prefixes = [name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")]
    if len(prefixes) > 1:
        raise ValueError(
            f"{where} has {len(prefixes)} networks, whose names begin with {' and '.join(map(repr, prefixes[:8]))}; "
            "expected one: write its tensors, without that beginning, to a file of their own."
        )
    prefix = prefixes[0] if prefixes else ""
    if not all(name.startswith(prefix) for name in tensors):
        prefix = ""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, prefix


def discriminator_to_flax(tensors: Mapping[str, np.ndarray]) -> Params:
    """The parameters of a ``models.discriminator.Discriminator`` from the tensors of the authors'.

    Theirs has the encoder and the middle of a ``UNet2DModel`` under their names beside ``head``; ours has them under
    ``unet``. Arguments, result and errors as of ``to_flax``.
    """
    trunk = dict(to_flax(tensors))
    head = trunk.pop(HEAD, {})
    return {"unet": trunk, HEAD: head}


def discriminator_from_flax(params: Params) -> dict[str, np.ndarray]:
    """The inverse of ``discriminator_to_flax``."""
    return from_flax({**params["unet"], HEAD: params[HEAD]})


def _exchange(name: str, old: str, new: str) -> str:
    """Exchanges whole parts between dots; # is a number that stays."""
    pattern = re.escape(old).replace(r"\#", r"(\d+)")
    return re.sub(rf"(?<![^.]){pattern}(?![^.])", new.replace("#", r"\1"), name)
