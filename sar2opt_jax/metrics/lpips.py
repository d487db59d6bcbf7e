"""How different two images look to a network (LPIPS), and features of AlexNet for distances between sets of images."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from sar2opt_jax.types import Array, Params, look_up

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and standard deviation of ImageNet's red, green and blue, in [-1, 1]."""
MINIMUM_SIDE = {"alexnet": 31, "vgg16": 16}
"""The least height and width in pixels of which every layer is left something."""
FEATURES_SIDE = 224
"""Side in pixels of the images that AlexNet was trained on."""
FEATURES_WIDTH = 256
"""Features of an image by ``features``."""
VGG16_LEVELS = (2, 2, 3, 3, 3)
"""Convolutions between two halvings."""


def lpips(params: Params, image: Array, truth: Array, *, net: str = "alexnet") -> Array:
    """Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018, equation 1); less is more alike.

    Σ_l spatial mean of  w_l · (a_l - b_l)², a_l and b_l the features of layer l, of unit length at every position.

    Args:
      params: of ``metrics.weights.lpips.load_lpips``.
      image: [batch, height, width, 3] in [0, 1].
      truth: like ``image``.
      net: a name of ``NETS``.

    Returns:
      [batch], 0 for equal images.

    Raises:
      ValueError: for an unknown network, or images smaller than ``MINIMUM_SIDE``.
    """
    network = look_up("LPIPS network", net, NETS)
    if min(image.shape[1:3]) < (side := MINIMUM_SIDE[net]):
        height, width = image.shape[1:3]
        raise ValueError(f"LPIPS by {net} needs images of at least {side} x {side} pixels; got {height} x {width}.")
    layers = (network(params["trunk"], x) for x in (image, truth))
    distance = jnp.zeros(image.shape[0], jnp.float32)
    for i, (a, b) in enumerate(zip(*layers, strict=True)):
        weights = jnp.asarray(params["heads"][f"head_{i}"])
        squares = jnp.square(_unit(a) - _unit(b))
        distance += jnp.mean(jnp.sum(squares * weights[None, None, None], axis=-1), axis=(1, 2))
    return distance


def features(params: Params, images: Array) -> Array:
    """Features of AlexNet: the spatial mean of its last ReLU, for images resized to 224 x 224, bilinearly.

    A Fréchet distance of these is called Fréchet distance on AlexNet features. It is no FID: neither its numbers nor
    its ranking of methods need be those of Inception's features.

    Args:
      params: of ``metrics.weights.lpips.load_lpips("alexnet")``.
      images: [n, height, width, 3] in [0, 1], any size.

    Returns:
      [n, 256] float32, at least 0.
    """
    shape = (images.shape[0], FEATURES_SIDE, FEATURES_SIDE, images.shape[3])
    resized = jax.image.resize(jnp.asarray(images, jnp.float32), shape, method="bilinear")
    return jnp.mean(alexnet(params["trunk"], resized)[-1], axis=(1, 2))


def alexnet(trunk: Params, images: Array) -> Sequence[Array]:
    """The five ReLUs of AlexNet's convolutions (Krizhevsky 2014), of images in [0, 1]."""
    x = _scaled(images)
    layers = []
    for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
        if i in (1, 2):
            x = nn.max_pool(x, (3, 3), (2, 2), "VALID")
        x = _conv(trunk[f"conv_{i}"], x, stride=stride, padding=padding)
        layers.append(x)
    return layers


def vgg16(trunk: Params, images: Array) -> Sequence[Array]:
    """The last ReLU of each of the five levels of VGG16 (Simonyan and Zisserman 2015), of images in [0, 1]."""
    x = _scaled(images)
    layers = []
    convolutions = iter(range(sum(VGG16_LEVELS)))
    for level, count in enumerate(VGG16_LEVELS):
        if level:
            x = nn.max_pool(x, (2, 2), (2, 2), "VALID")
        for _ in range(count):
            x = _conv(trunk[f"conv_{next(convolutions)}"], x, stride=1, padding=1)
        layers.append(x)
    return layers


NETS: dict[str, Callable[[Params, Array], Sequence[Array]]] = {"alexnet": alexnet, "vgg16": vgg16}
"""Networks by name: what their five layers are, finest first."""


def _scaled(images: Array) -> Array:
    shift, scale = (np.asarray(values, np.float32)[None, None, None] for values in (SHIFT, SCALE))
    return (2 * jnp.asarray(images) - 1 - shift) / scale


def _conv(params: Params, x: Array, *, stride: int, padding: int) -> Array:
    # In full precision everywhere: a distance must not depend on the device it was measured on.
    x = jax.lax.conv_general_dilated(
        x,
        params["kernel"],
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    return nn.relu(x + jnp.asarray(params["bias"])[None, None, None])


def _unit(x: Array) -> Array:
    """Features over their length at each position; 0 where all are 0."""
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)) + 1e-10)
