"""The Inception-v3 whose features the Fréchet Inception distance, FID, is defined with.

It is TensorFlow's graph of 2015 (Szegedy et al. 2016, with three differences from today's Inception-v3: averages over a
window count no padding, the last block takes maxima where the others take averages, and there is no auxiliary
classifier). Features of another network, or with another resize, give numbers that compare with no published FID.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from sar2opt_jax.types import Array, Params

SIDE = 299
"""Side in pixels of the images that the network takes."""
WIDTH = 2048
"""Features of an image."""
EPSILON = 1e-3
"""Added to the variances of the norms."""


def features(params: Params, images: Array) -> Array:
    """The features ``pool3`` of images: the spatial mean of the last block's output.

    Images are resized to 299 x 299 first, as TensorFlow 1 did it, and scaled by (x - 128) / 128. pytorch-fid resizes
    with half-pixel centres instead, so that its FID differs in the second digit; this is torch-fidelity's.

    Args:
      params: of ``interop.inception.load_inception``.
      images: [n, height, width, 3] uint8, any size.

    Returns:
      [n, 2048] float32.

    Raises:
      ValueError: for images that are not uint8, or not RGB.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"FID takes [n, height, width, 3] images of uint8; got {images.shape} of {images.dtype}.")
    x = resize(jnp.asarray(images, jnp.float32), SIDE, SIDE)
    return jnp.mean(trunk(params, (x - 128) / 128), axis=(1, 2))


def trunk(params: Params, x: Array) -> Array:
    """All layers: from [n, 299, 299, 3] in [-1, 1] to [n, 8, 8, 2048]; at least [n, 75, 75, 3]."""
    x = _conv(params["Conv2d_1a_3x3"], x, stride=2, padding="VALID")
    x = _conv(params["Conv2d_2a_3x3"], x, padding="VALID")
    x = _conv(params["Conv2d_2b_3x3"], x)
    x = _shrink(x)
    x = _conv(params["Conv2d_3b_1x1"], x)
    x = _conv(params["Conv2d_4a_3x3"], x, padding="VALID")
    x = _shrink(x)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = block_a(params[name], x)
    x = block_b(params["Mixed_6a"], x)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = block_c(params[name], x)
    x = block_d(params["Mixed_7a"], x)
    x = block_e(params["Mixed_7b"], x, pool=mean)
    return block_e(params["Mixed_7c"], x, pool=maximum)


def resize(images: Array, height: int, width: int) -> Array:
    """Bilinear resize of TensorFlow 1, with neither half-pixel centres nor anti-aliasing.

    Pixel i of the result is taken at i · (old size / new size) of the images: their top left corner stays, and what
    lies past the last row or column is that one again.

    Args:
      images: [n, height, width, channel] float32.
      height: of the result.
      width: of the result.

    Returns:
      [n, height, width, channel].
    """
    for axis, size in ((2, width), (1, height)):  # First along rows: so the roundings are TensorFlow's.
        old = images.shape[axis]
        position = np.arange(size, dtype=np.float32) * np.float32(old / size)
        low = position.astype(np.int32)
        weight = np.expand_dims(position - low.astype(np.float32), tuple(i for i in range(4) if i != axis))
        before, after = (jnp.take(images, i, axis=axis) for i in (low, np.minimum(low + 1, old - 1)))
        images = before + (after - before) * weight
    return images


def block_a(params: Params, x: Array) -> Array:
    """Inception block of 5 x 5 and two 3 x 3 convolutions."""
    double = _chain(params, x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
    return _join(
        _conv(params["branch1x1"], x),
        _chain(params, x, "branch5x5_1", "branch5x5_2"),
        double,
        _conv(params["branch_pool"], mean(x)),
    )


def block_b(params: Params, x: Array) -> Array:
    """Halves height and width."""
    double = _chain(params, x, "branch3x3dbl_1", "branch3x3dbl_2")
    return _join(
        _conv(params["branch3x3"], x, stride=2, padding="VALID"),
        _conv(params["branch3x3dbl_3"], double, stride=2, padding="VALID"),
        _shrink(x),
    )


def block_c(params: Params, x: Array) -> Array:
    """Inception block of 7 x 7 convolutions, each as one along rows and one along columns."""
    return _join(
        _conv(params["branch1x1"], x),
        _chain(params, x, "branch7x7_1", "branch7x7_2", "branch7x7_3"),
        _chain(params, x, *(f"branch7x7dbl_{i}" for i in range(1, 6))),
        _conv(params["branch_pool"], mean(x)),
    )


def block_d(params: Params, x: Array) -> Array:
    """Halves height and width again."""
    single = _conv(params["branch3x3_1"], x)
    double = _chain(params, x, "branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3")
    return _join(
        _conv(params["branch3x3_2"], single, stride=2, padding="VALID"),
        _conv(params["branch7x7x3_4"], double, stride=2, padding="VALID"),
        _shrink(x),
    )


def block_e(params: Params, x: Array, *, pool: Callable[[Array], Array]) -> Array:
    """Inception block whose 3 x 3 convolutions are split in two beside each other; ``pool`` is of 3 x 3 windows."""
    single = _conv(params["branch3x3_1"], x)
    double = _chain(params, x, "branch3x3dbl_1", "branch3x3dbl_2")
    return _join(
        _conv(params["branch1x1"], x),
        *(_conv(params[name], single) for name in ("branch3x3_2a", "branch3x3_2b")),
        *(_conv(params[name], double) for name in ("branch3x3dbl_3a", "branch3x3dbl_3b")),
        _conv(params["branch_pool"], pool(x)),
    )


def maximum(x: Array) -> Array:
    """The largest value in windows of 3 x 3."""
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def mean(x: Array) -> Array:
    """The mean over windows of 3 x 3, at the border over what of them lies inside."""
    # Flax counts in floats of the default width, which is 64 bits under JAX_ENABLE_X64.
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False).astype(x.dtype)


def _conv(params: Params, x: Array, *, stride: int = 1, padding: str = "SAME") -> Array:
    """Convolution, norm with fixed statistics, ReLU."""
    # In full precision everywhere: a distance must not depend on the device it was measured on.
    x = jax.lax.conv_general_dilated(
        x,
        params["kernel"],
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    scale = params["scale"] / jnp.sqrt(params["var"] + EPSILON)
    shift = params["bias"] - params["mean"] * scale
    return nn.relu(x * scale[None, None, None] + shift[None, None, None])


def _chain(params: Params, x: Array, *names: str) -> Array:
    for name in names:
        x = _conv(params[name], x)
    return x


def _join(*branches: Array) -> Array:
    return jnp.concatenate(branches, axis=-1)


def _shrink(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")
