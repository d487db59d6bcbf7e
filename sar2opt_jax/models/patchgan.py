"""The discriminator of the baselines: scores an image patch by patch (arXiv 1611.07004, section 3.2.2)."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from sar2opt_jax.models.convolution import Conv
from sar2opt_jax.models.layers import GroupNorm
from sar2opt_jax.types import Array

SLOPE = 0.2
"""Of the leaky ReLU below zero."""


class PatchGAN(nn.Module):
    """Convolutions C64-C128-C256-C512 and one to a single channel, all 4 x 4 and padded by one.

    All but the last two halve the image. At its default every logit sees 70 x 70 pixels, and there are 2,766,657
    parameters for four channels of input. Each level fewer about halves what a logit sees: (64, 128, 256) sees 34 x 34,
    (64, 128) sees 16 x 16.

    The norm, between all but the first and the last, is over each image by itself, as in CycleGAN's release. pix2pix
    has batch norm, with which a step depends on how its batch is spread over devices and micro-batches.

    Attributes:
      widths: channels of the convolutions before the last.
      dtype: what they compute in; statistics and logits are float32.

    Raises:
      ValueError: at construction, without widths or for one below 1.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"The discriminator's widths must be at least one number of 1 or more; got {self.widths}.")
        super().__post_init__()

    @property
    def smallest_image(self) -> int:
        """The side in pixels of the smallest image that has a logit, and its norms two pixels or more."""
        return 3 * 2 ** (len(self.widths) - 1)

    def check_image_size(self, height: int, width: int) -> None:
        """Raises ValueError for an image that is too small for a single logit."""
        if min(height, width) < self.smallest_image:
            raise ValueError(
                f"Image height and width ({height} x {width}) must be at least {self.smallest_image} for a "
                f"discriminator with {len(self.widths)} widths; give it fewer."
            )

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """How real each patch looks.

        Args:
          images: one image, or several with their channels side by side, [batch, height, width, any].

        Returns:
          Logits, [batch, about height / 2^(levels - 1) - 2, width alike] float32; larger is more real.

        Raises:
          ValueError: for an image that is too small.
        """
        self.check_image_size(*images.shape[1:3])
        x, last = images, len(self.widths) - 1
        for i, width in enumerate(self.widths):
            stride = 2 if i < last else 1
            # The norm takes a bias away again.
            convolution = functools.partial(Conv, width, (4, 4), dtype=self.dtype, use_bias=i == 0)
            x = convolution(stride=stride, name=f"conv_{i}")(x)
            if i > 0:
                x = GroupNorm(width, self.dtype, name=f"norm_{i}")(x)
            x = nn.leaky_relu(x, SLOPE)
        return Conv(1, (4, 4), dtype=jnp.float32, name="logits")(x)[..., 0]
