"""Convolutions in two dimensions whose gradients are fast on a CPU as well.

XLA's gradient of a kernel is a convolution in another layout: what a GPU and a TPU are good at, and what misses the
fast path of a CPU. There it is a matrix product for each place of the kernel instead. Which of the two is compiled
depends on the platform that a function is lowered for; all else is XLA's everywhere.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sar2opt_jax.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")


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
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), Geometry(self.stride, self.padding))
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
    return convolve(x, kernel, geometry), (x, kernel)


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

    def by_taps(x: Array, dy: Array) -> Array:
        return _products_of_taps(x, dy, size=kernel.shape[:2], geometry=geometry).astype(kernel.dtype)

    return jax.lax.platform_dependent(x, dy, cpu=by_taps, default=xla)


def _products_of_taps(x: Array, dy: Array, *, size: Sequence[int], geometry: Geometry) -> Array:
    """A matrix product for each place of the kernel: of what it lies on at every output, and the outputs' gradients.

    Returns:
      The kernel's gradient, [height, width, in, out] float32.
    """
    stride, padding = geometry
    height, width, features = dy.shape[1:]
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    gradients = dy.reshape(-1, features)

    def product(row: int, column: int) -> Array:
        under = padded[:, row:, column:][:, : stride * height : stride, : stride * width : stride]
        contracted = ((0,), (0,)), ((), ())
        values = under.reshape(-1, x.shape[-1])
        return jax.lax.dot_general(values, gradients, contracted, preferred_element_type=jnp.float32)

    rows, columns = size
    return jnp.stack([jnp.stack([product(row, column) for column in range(columns)]) for row in range(rows)])
