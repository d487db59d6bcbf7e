"""Our side of a comparison of networks, and what both sides are given. Needs neither torch nor diffusers."""

import math

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.types import Params

UNET = UNet(widths=(16, 32), blocks_per_level=1, attention=(False, True), norm_groups=8)
"""Every kind of layer of the paper's network, as few times as it can be."""
DISCRIMINATOR = Discriminator(unet=UNET)


def filled(module: UNet | Discriminator, *, seed: int, sar_channels: int = 1) -> Params:
    """Parameters of a network, none of them zero or one, from one numpy generator."""
    inputs = module.input_shapes(image_size=64, sar_channels=sar_channels)
    shapes = flatten_dict(jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"], sep="/")
    generator = np.random.default_rng(seed)

    def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
        values = generator.standard_normal(shape, np.float32)
        if name.endswith("kernel"):
            return values / np.float32(math.sqrt(math.prod(shape[:-1])))
        return values * np.float32(0.2) + np.float32(name.endswith("scale"))

    return unflatten_dict({name: fill(name, shapes[name].shape) for name in sorted(shapes)}, sep="/")


def images(height: int, width: int, *, batch: int, sar_channels: int = 1) -> tuple[np.ndarray, ...]:
    """``x_t``, ``t``, another image, ``s`` and ``sar``."""
    generator = np.random.default_rng(5)
    x_t, x_hat = (generator.standard_normal((batch, height, width, 3), np.float32) for _ in range(2))
    sar = generator.uniform(-1, 1, (batch, height, width, sar_channels)).astype(np.float32)
    t, s = np.array([977, 3, 500, 19], np.int32), np.array([957, 0, 480, 0], np.int32)
    return x_t, t[:batch], x_hat, s[:batch], sar


def assert_gradients_equal(found: Params, expected: Params, *, tolerance: float = 1e-4) -> None:
    """Every parameter's, to ``tolerance`` of the largest of its elements."""
    found, expected = (flatten_dict(dict(params), sep="/") for params in (found, expected))
    assert found.keys() == expected.keys()
    largest = max(np.abs(leaf).max() for leaf in expected.values())
    for name, theirs in expected.items():
        scale = np.abs(theirs).max()
        if scale < 1e-9 * largest:
            # Zero but for rounding, as that of the keys' bias, which shifts every score of a softmax alike.
            scale = largest
        np.testing.assert_allclose(found[name], theirs, rtol=0, atol=tolerance * scale, err_msg=name)
