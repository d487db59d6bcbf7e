"""The Inception-v3 that the Fréchet Inception distance is defined with, from the file that its users publish.

The weights are TensorFlow's of 2015. pytorch-fid and torch-fidelity publish the same conversion of them, as
``pt_inception-2015-12-05-6726825d.pth`` and ``weights-inception-2015-12-05-6726825d.pth``. Neither is part of this
project: who wants FID gives the file.
"""

import hashlib
from pathlib import Path

import numpy as np
from flax.traverse_util import unflatten_dict

from sar2opt_jax.metrics.weights import torch_file
from sar2opt_jax.types import Params

SHA256_PREFIX = "6726825d"
"""How the SHA-256 of the published file begins; it is a part of its name."""

Shape = tuple[int, ...]
Layers = dict[str, Shape]
"""Convolutions by name, as (outputs, inputs, height, width)."""


def _block_a(inputs: int, *, pool: int) -> Layers:
    return {
        "branch1x1": (64, inputs, 1, 1),
        "branch5x5_1": (48, inputs, 1, 1),
        "branch5x5_2": (64, 48, 5, 5),
        "branch3x3dbl_1": (64, inputs, 1, 1),
        "branch3x3dbl_2": (96, 64, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
        "branch_pool": (pool, inputs, 1, 1),
    }


def _block_b(inputs: int) -> Layers:
    return {
        "branch3x3": (384, inputs, 3, 3),
        "branch3x3dbl_1": (64, inputs, 1, 1),
        "branch3x3dbl_2": (96, 64, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
    }


def _block_c(inputs: int, *, width: int) -> Layers:
    return {
        "branch1x1": (192, inputs, 1, 1),
        "branch7x7_1": (width, inputs, 1, 1),
        "branch7x7_2": (width, width, 1, 7),
        "branch7x7_3": (192, width, 7, 1),
        "branch7x7dbl_1": (width, inputs, 1, 1),
        "branch7x7dbl_2": (width, width, 7, 1),
        "branch7x7dbl_3": (width, width, 1, 7),
        "branch7x7dbl_4": (width, width, 7, 1),
        "branch7x7dbl_5": (192, width, 1, 7),
        "branch_pool": (192, inputs, 1, 1),
    }


def _block_d(inputs: int) -> Layers:
    return {
        "branch3x3_1": (192, inputs, 1, 1),
        "branch3x3_2": (320, 192, 3, 3),
        "branch7x7x3_1": (192, inputs, 1, 1),
        "branch7x7x3_2": (192, 192, 1, 7),
        "branch7x7x3_3": (192, 192, 7, 1),
        "branch7x7x3_4": (192, 192, 3, 3),
    }


def _block_e(inputs: int) -> Layers:
    return {
        "branch1x1": (320, inputs, 1, 1),
        "branch3x3_1": (384, inputs, 1, 1),
        "branch3x3_2a": (384, 384, 1, 3),
        "branch3x3_2b": (384, 384, 3, 1),
        "branch3x3dbl_1": (448, inputs, 1, 1),
        "branch3x3dbl_2": (384, 448, 3, 3),
        "branch3x3dbl_3a": (384, 384, 1, 3),
        "branch3x3dbl_3b": (384, 384, 3, 1),
        "branch_pool": (192, inputs, 1, 1),
    }


STEM: Layers = {
    "Conv2d_1a_3x3": (32, 3, 3, 3),
    "Conv2d_2a_3x3": (32, 32, 3, 3),
    "Conv2d_2b_3x3": (64, 32, 3, 3),
    "Conv2d_3b_1x1": (80, 64, 1, 1),
    "Conv2d_4a_3x3": (192, 80, 3, 3),
}
BLOCKS: dict[str, Layers] = {
    "Mixed_5b": _block_a(192, pool=32),
    "Mixed_5c": _block_a(256, pool=64),
    "Mixed_5d": _block_a(288, pool=64),
    "Mixed_6a": _block_b(288),
    "Mixed_6b": _block_c(768, width=128),
    "Mixed_6c": _block_c(768, width=160),
    "Mixed_6d": _block_c(768, width=160),
    "Mixed_6e": _block_c(768, width=192),
    "Mixed_7a": _block_d(768),
    "Mixed_7b": _block_e(1280),
    "Mixed_7c": _block_e(2048),
}
LAYERS: Layers = STEM | {f"{block}.{name}": shape for block, layers in BLOCKS.items() for name, shape in layers.items()}
"""All convolutions in the order of the data, each with a norm after it."""

LEAVES = {
    "conv.weight": "kernel",
    "bn.weight": "scale",
    "bn.bias": "bias",
    "bn.running_mean": "mean",
    "bn.running_var": "var",
}
"""Tensors of a layer in the file and here."""
UNUSED = ("fc.weight", "fc.bias")
"""The classifier on top, which has no part in the features. Nor have the counters ``bn.num_batches_tracked``."""
COUNTER = ".bn.num_batches_tracked"


def shapes() -> dict[str, Shape]:
    """The tensors that a file must have, by its names and in PyTorch's axes, in the order of the data."""
    return {
        f"{layer}.{leaf}": shape if leaf == "conv.weight" else shape[:1]
        for layer, shape in LAYERS.items()
        for leaf in LEAVES
    }


def load_inception(path: Path, *, expected_sha256_prefix: str | None = SHA256_PREFIX) -> Params:
    """The parameters of ``evaluation.inception`` from the published file.

    Args:
      path: of the file, either of the two that are published.
      expected_sha256_prefix: how the SHA-256 of the file must begin; None takes any file that fits, which only a
        comparison of networks with made-up weights has a use for.

    Returns:
      Nested dict ``{layer: {kernel, scale, bias, mean, var}}``, for blocks ``{block: {layer: ...}}``, float32; kernels
      are [height, width, in, out].

    Raises:
      FileNotFoundError: where it does not exist.
      ValueError: for another file than the published one, or one whose tensors are not those of the network.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist, or is not a file; expected pt_inception-2015-12-05-{SHA256_PREFIX}.pth, which "
            f"pytorch-fid publishes, or weights-inception-2015-12-05-{SHA256_PREFIX}.pth of torch-fidelity."
        )
    if expected_sha256_prefix is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(expected_sha256_prefix):
            raise ValueError(
                f"{path} has the SHA-256 {digest}; expected {expected_sha256_prefix}..., that of the weights which FID "
                "is defined with. Other weights, such as torchvision's, give numbers that compare with nothing; or the "
                "download is truncated."
            )
    return to_flax(torch_file.read(path), where=str(path))


def to_flax(tensors: dict[str, np.ndarray], *, where: str) -> Params:
    """The parameters from the tensors of a file; see ``load_inception``.

    Raises:
      ValueError: with the first tensor that is missing, of another shape or type, not finite, or too many.
    """
    left = {name for name in tensors if name not in UNUSED and not name.endswith(COUNTER)}
    params: dict[str, np.ndarray] = {}
    for name, shape in shapes().items():
        if name not in tensors:
            raise ValueError(f"{where}: tensor {name} is missing; expected it with shape {shape}.")
        tensor = tensors[name]
        if tensor.shape != shape:
            raise ValueError(f"{where}: tensor {name} has shape {tensor.shape}; expected {shape}.")
        if tensor.dtype != np.float32:
            raise ValueError(f"{where}: tensor {name} is {tensor.dtype}; expected float32.")
        if not np.isfinite(tensor).all():
            raise ValueError(f"{where}: tensor {name} has values that are not finite.")
        left.remove(name)
        layer, kind, leaf = name.rsplit(".", 2)
        axes = (2, 3, 1, 0) if len(shape) == 4 else (0,)
        params[f"{layer}.{LEAVES[f'{kind}.{leaf}']}"] = np.array(tensor.transpose(axes), order="C")
    if left:
        name = min(left)
        raise ValueError(f"{where}: tensor {name} {tensors[name].shape} belongs to no layer of the FID Inception-v3.")
    return unflatten_dict(params, sep=".")
