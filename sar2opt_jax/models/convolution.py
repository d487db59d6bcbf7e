"""Convolutions in two dimensions whose gradients are fast on a CPU as well.

XLA's gradient of a kernel is a convolution in another layout: what a GPU and a TPU are good at, and what misses the
fast path of a CPU. There it is computed by matrix products instead. Which of the two is compiled depends on the
platform that a function is lowered for; all else is XLA's everywhere.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from sar2opt_jax.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
BLOCK = 1024
"""Places of an output that the kernel's gradient is summed over at once on a CPU, about."""


class Geometry(NamedTuple):
    """How a kernel moves over an image, alike in height and width."""

    stride: int
    padding: int


class Conv(nn.Module):
    """``nn.Conv`` for images, with the same parameters: ``kernel``, [height, width, in, out], and ``bias``, [out].

    Attributes:
      features: channels of the result.
      kernel_size: height and width of the kernel.
      stride: between neighbouring positions of the kernel.
      padding: zeros on every side of the image.
      use_bias: whether a constant is added to each channel.
      dtype: what to compute in; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int = 1
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[b, h, w, any] to [b, (h + 2 padding - height) // stride + 1, alike, features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        geometry = Geometry(self.stride, self.padding)
        y = cast(Array, convolve(x.astype(self.dtype), kernel.astype(self.dtype), geometry))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y += bias.astype(self.dtype).reshape(1, 1, 1, self.features)
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Slides a kernel over images; has first derivatives in reverse mode only.

    Args:
      x: [batch, height, width, in].
      kernel: [height, width, in, out], of the same type.
      geometry: stride and padding.

    Returns:
      [batch, height, width, out], of the same type; sums are float32.
    """
    return _convolve(x, kernel, geometry)


def _forward(x: Array, kernel: Array, geometry: Geometry) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, geometry), (x, kernel)


def _backward(geometry: Geometry, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return _input_gradient(x, kernel, dy, geometry), _kernel_gradient(x, kernel, dy, geometry)


convolve.defvjp(_forward, _backward)


def _convolve(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """As ``convolve``, with XLA's own gradients."""
    stride, padding = geometry
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((padding, padding),) * 2, dimension_numbers=LAYOUT
    )


def _input_gradient(x: Array, kernel: Array, dy: Array, geometry: Geometry) -> Array:
    (dx,) = jax.linear_transpose(lambda x: _convolve(x, kernel, geometry), x)(dy)
    return dx


def _kernel_gradient(x: Array, kernel: Array, dy: Array, geometry: Geometry) -> Array:
    def xla(x: Array, dy: Array) -> Array:
        (gradient,) = jax.linear_transpose(lambda kernel: _convolve(x, kernel, geometry), kernel)(dy)
        return gradient

    def products(x: Array, dy: Array) -> Array:
        return _by_products(x, dy, size=kernel.shape[:2], geometry=geometry).astype(kernel.dtype)

    return cast(Array, jax.lax.platform_dependent(x, dy, cpu=products, default=xla))


def _by_products(x: Array, dy: Array, *, size: Sequence[int], geometry: Geometry) -> Array:
    """The kernel's gradient as matrix products: dy with what a row of the kernel lies on at every output.

    Block by block in a loop: a block stays in the cache, and what it lays side by side is soon forgotten. Without the
    loop, XLA prepares the blocks of all layers during the forward pass, which takes several times the memory.

    Returns:
      [height, width, in, out] float32.
    """
    stride, padding = geometry
    rows, columns = size
    batch, height, width, features = dy.shape
    channels = x.shape[-1]
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    images = _divisor(batch, at_most=BLOCK // (height * width))
    lines = _divisor(height, at_most=BLOCK // width)
    across = stride * (width - 1) + 1
    down = stride * (lines - 1) + 1

    def add(total: Array, block: Array) -> tuple[Array, None]:
        image, line = images * (block // (height // lines)), lines * (block % (height // lines))
        below = (images, down + rows - 1, padded.shape[2], channels)
        covered = jax.lax.dynamic_slice(padded, (image, stride * line, 0, 0), below)
        gradients = jax.lax.dynamic_slice(dy, (image, line, 0, 0), (images, lines, width, features))
        gradients = gradients.reshape(-1, features)
        beside = [covered[:, :, column : column + across : stride] for column in range(columns)]
        lying_under = jnp.concatenate(beside, axis=-1)

        def product(row: int) -> Array:
            values = lying_under[:, row : row + down : stride].reshape(-1, columns * channels)
            over_places = ((0,), (0,)), ((), ())
            return jax.lax.dot_general(gradients, values, over_places, preferred_element_type=jnp.float32)

        return total + jnp.stack([product(row) for row in range(rows)]), None

    blocks = jnp.arange((batch // images) * (height // lines))
    total, _ = jax.lax.scan(add, jnp.zeros((rows, features, columns * channels), jnp.float32), blocks)
    return total.swapaxes(1, 2).reshape(rows, columns, channels, features)


def _divisor(number: int, *, at_most: int) -> int:
    """The largest divisor up to a limit; 1 below that."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(1, at_most))
