"""The U-Net of teacher, student and target: layer for layer the ``UNet2DModel`` of diffusers.

At its defaults it is the network of arXiv 2407.06095, 113,674,371 parameters with one SAR channel:
``block_out_channels = widths``, ``AttnDownBlock2D`` and ``AttnUpBlock2D`` where ``attention`` is true, ``DownBlock2D``
and ``UpBlock2D`` elsewhere, a middle block with attention, ``layers_per_block = blocks_per_level``.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sar2opt_jax.models.convolution import Conv
from sar2opt_jax.models.layers import (
    AttentionBlock,
    Downsample,
    GroupNorm,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
)
from sar2opt_jax.types import Array


class Encoded(NamedTuple):
    """What the way down and the middle make of an image."""

    features: Array  # [batch, height / size_multiple, width / size_multiple, widths[-1]], compute dtype
    skips: tuple[Array, ...]  # what the way up joins in, finest first
    time: Array  # [batch, 4 * widths[0]], the embedded time, float32


class DownLevel(nn.Module):
    """Residual blocks of one resolution, each followed by attention where asked, then half the resolution."""

    width: int
    blocks: int
    attention: bool
    downsample: bool
    head_width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, time: Array) -> tuple[Array, ...]:
        """[b, h, w, any] to the outputs of every block, and of the downsampling as the last one."""
        outputs = []
        for i in range(self.blocks):
            x = ResnetBlock(self.width, self.groups, self.dtype, name=f"resnet_{i}")(x, time)
            if self.attention:
                x = AttentionBlock(self.head_width, self.groups, self.dtype, name=f"attention_{i}")(x)
            outputs.append(x)
        if self.downsample:
            outputs.append(Downsample(self.dtype, name="downsample")(x))
        return tuple(outputs)


class MiddleLevel(nn.Module):
    """Residual block, attention, residual block at the coarsest resolution."""

    width: int
    head_width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, time: Array) -> Array:
        """[b, h, w, width] to the same shape."""
        x = ResnetBlock(self.width, self.groups, self.dtype, name="resnet_0")(x, time)
        x = AttentionBlock(self.head_width, self.groups, self.dtype, name="attention_0")(x)
        return ResnetBlock(self.width, self.groups, self.dtype, name="resnet_1")(x, time)


class UpLevel(nn.Module):
    """One residual block per skip of this resolution, each followed by attention where asked, then twice the
    resolution."""

    width: int
    attention: bool
    upsample: bool
    head_width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, skips: tuple[Array, ...], time: Array) -> Array:
        """[b, h, w, any] and skips of [b, h, w, any], used from the last to the first."""
        for i, skip in enumerate(reversed(skips)):
            x = jnp.concatenate([x, skip], axis=-1)
            x = ResnetBlock(self.width, self.groups, self.dtype, name=f"resnet_{i}")(x, time)
            if self.attention:
                x = AttentionBlock(self.head_width, self.groups, self.dtype, name=f"attention_{i}")(x)
        return Upsample(self.dtype, name="upsample")(x) if self.upsample else x


class UNet(nn.Module):
    """Predicts ``eps``, ``v`` or ``x_0`` from a noisy image, its time and the SAR image beside it.

    Attributes:
      widths: channels of each level, finest first; multiples of ``norm_groups``, with attention of ``head_width`` too.
      blocks_per_level: residual blocks of a level on the way down; on the way up there is one more.
      attention: for each level, whether its residual blocks are followed by self-attention; the middle always has it.
      head_width: channels of an attention head.
      norm_groups: groups of every GroupNorm. A group of one channel removes all that is constant over an image, the
        time first of all: narrow levels need fewer groups than channels.
      out_channels: channels of the prediction.
      dtype: what the inside computes in, float32 or bfloat16. Parameters, statistics, softmax, the time embedding, the
        last norm and the last convolution are float32 whatever it is: a one-step student divides by a small alpha.

    Raises:
      ValueError: at construction, where these do not fit each other.
    """

    widths: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    blocks_per_level: int = 2
    attention: tuple[bool, ...] = (False, False, False, False, True, False)
    head_width: int = 8
    norm_groups: int = 32
    out_channels: int = 3
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        widths = tuple(self.widths)
        attended = (*(width for width, has in zip(widths, self.attention, strict=False) if has), *widths[-1:])
        for name, divisor, divided, where in (
            ("norm_groups", self.norm_groups, widths, "one a level"),
            ("head_width", self.head_width, attended, "where there is attention"),
        ):
            if not widths or divisor < 1 or any(width < 1 or width % divisor for width in divided):
                raise ValueError(f"widths {widths} must all be multiples of {name} ({divisor}), {where}.")
        if len(self.attention) != len(self.widths):
            raise ValueError(
                f"attention {tuple(self.attention)} must say yes or no for each level: "
                f"it has {len(self.attention)} entries, widths has {len(self.widths)}."
            )
        if self.blocks_per_level < 1:
            raise ValueError(f"blocks_per_level must be at least 1; got {self.blocks_per_level}.")
        if jnp.dtype(self.dtype) not in (jnp.float32, jnp.bfloat16):
            raise ValueError(f"dtype must be float32 or bfloat16; got {jnp.dtype(self.dtype).name}.")
        super().__post_init__()

    def setup(self) -> None:
        """Names the layers; the discriminator's trunk is the part that ``encode`` uses."""
        levels = list(zip(self.widths, self.attention, strict=True))
        last = len(levels) - 1
        shared = {"head_width": self.head_width, "groups": self.norm_groups, "dtype": self.dtype}
        self.time_embedding = TimeEmbedding(self.widths[0])
        self.conv_in = Conv(self.widths[0], dtype=self.dtype)
        self.down = [
            DownLevel(width, self.blocks_per_level, attention, downsample=i < last, **shared)
            for i, (width, attention) in enumerate(levels)
        ]
        self.middle = MiddleLevel(self.widths[-1], **shared)
        self.up = [
            UpLevel(width, attention, upsample=i < last, **shared)
            for i, (width, attention) in enumerate(reversed(levels))
        ]
        self.norm_out = GroupNorm(self.norm_groups, jnp.float32)
        self.conv_out = Conv(self.out_channels, dtype=jnp.float32)

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2 ** (len(self.widths) - 1)

    def check_image_size(self, height: int, width: int) -> None:
        """Raises ValueError for an image that cannot be halved once a level."""
        if height < 1 or width < 1 or height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"Image height and width ({height} x {width}) must be divisible by {self.size_multiple}: "
                f"the U-Net halves them {len(self.widths) - 1} times."
            )

    def input_shapes(self, *, image_size: int, sar_channels: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Arguments of a call with one square image, as shapes."""
        image, sar = ((1, image_size, image_size, channels) for channels in (self.out_channels, sar_channels))
        return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (image, (1,), sar))

    def encode(self, x_t: Array, t: Array, sar: Array) -> Encoded:
        """The way down and the middle.

        Args:
          x_t: image, [batch, height, width, 3], in [-1, 1] and noise.
          t: its time, [batch].
          sar: the condition, [batch, height, width, channel].

        Raises:
          ValueError: for a height or width that is not a multiple of ``size_multiple``.
        """
        self.check_image_size(*x_t.shape[1:3])
        time = self.time_embedding(t)
        x = self.conv_in(jnp.concatenate([x_t, sar], axis=-1))
        skips = [x]
        for level in self.down:
            skips.extend(level(skips[-1], time))
        return Encoded(self.middle(skips[-1], time), tuple(skips), time)

    def __call__(self, x_t: Array, t: Array, sar: Array) -> Array:
        """The prediction, [batch, height, width, out_channels] float32; arguments as of ``encode``."""
        x, skips, time = self.encode(x_t, t, sar)
        used = self.blocks_per_level + 1  # Skips a level: conv_in or the downsampling above it, and its blocks.
        for level in self.up:
            x = level(x, skips[-used:], time)
            skips = skips[:-used]
        x = self.norm_out(x)
        return self.conv_out(nn.silu(x))
