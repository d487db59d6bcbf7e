"""Building blocks of the U-Net and the discriminator.

They compute in ``dtype`` and keep their parameters in float32. Names and arithmetic follow the blocks of diffusers'
``UNet2DModel``, so that weights can be exchanged; arrays are [batch, height, width, channel].
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sar2opt_jax.models.attention import attend
from sar2opt_jax.models.convolution import Conv
from sar2opt_jax.types import Array

EPSILON = 1e-5
"""Added to the variance in every GroupNorm."""
MAX_PERIOD = 10_000.0
"""The slowest wave of the time embedding has a period of 2 pi times nearly this many time steps."""


def time_waves(t: Array, *, width: int) -> Array:
    """Sinusoidal features [cos(ωt), sin(ωt)] with ω_i = 10000^(-i / (width / 2)), i = 0 .. width / 2 - 1.

    Args:
      t: times, [batch], integers or floats.
      width: number of features, even.

    Returns:
      [batch, width] float32.
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(MAX_PERIOD) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """Waves of the time through two dense layers, in float32: [batch] to [batch, 4 * width].

    Attributes:
      width: number of waves; the embedding is four times as wide.
    """

    width: int

    @nn.compact
    def __call__(self, t: Array) -> Array:
        """Embeds the times ``t``, [batch]."""
        waves = time_waves(t, width=self.width)
        hidden = nn.silu(nn.Dense(4 * self.width, name="dense1")(waves))
        return nn.Dense(4 * self.width, name="dense2")(hidden)


class GroupNorm(nn.Module):
    """Normalises each group of channels over space, with statistics in float32.

    The sums run over space first, channel by channel: on a CPU that is several times faster than reducing groups
    of channels in one go, as the channels are what lies side by side in memory.

    Attributes:
      groups: how many; divides the number of channels.
      dtype: of the result.
    """

    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises ``x``, [batch, height, width, channel]; the result has the same shape."""
        batch, _, _, channels = x.shape
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)

        def group_mean(values: Array) -> Array:  # [b, h, w, c] to [b, 1, 1, c]
            means = jnp.mean(values, axis=(1, 2)).reshape(batch, self.groups, -1).mean(axis=-1, keepdims=True)
            spread = jnp.broadcast_to(means, (batch, self.groups, channels // self.groups))
            return spread.reshape(batch, 1, 1, channels)

        x = x.astype(jnp.float32)
        x = x - group_mean(x)
        # Two passes: E[x²] - E[x]² would cancel where the mean is much larger than the deviation.
        gain = jax.lax.rsqrt(group_mean(jnp.square(x)) + EPSILON) * scale.reshape(1, 1, 1, channels)
        return (x * gain + bias.reshape(1, 1, 1, channels)).astype(self.dtype)


class ResnetBlock(nn.Module):
    """Two normalised convolutions with the time added between them, beside a shortcut.

    Attributes:
      width: channels of the result.
      groups: of the norms.
      dtype: what to compute in.
    """

    width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, time: Array) -> Array:
        """[b, h, w, any] and the embedded time [b, d] to [b, h, w, width]."""
        hidden = nn.silu(GroupNorm(self.groups, self.dtype, name="norm1")(x))
        hidden = Conv(self.width, dtype=self.dtype, name="conv1")(hidden)
        hidden += nn.Dense(self.width, dtype=self.dtype, name="time")(nn.silu(time))[:, None, None, :]
        hidden = nn.silu(GroupNorm(self.groups, self.dtype, name="norm2")(hidden))
        hidden = Conv(self.width, dtype=self.dtype, name="conv2")(hidden)
        if x.shape[-1] != self.width:
            x = Conv(self.width, kernel_size=(1, 1), padding=0, dtype=self.dtype, name="shortcut")(x)
        return x + hidden


class AttentionBlock(nn.Module):
    """Self-attention over all places of an image, added to its input; the softmax is float32.

    Attributes:
      head_width: channels of a head; divides the channels of the input.
      groups: of the norm.
      dtype: what to compute in.
    """

    head_width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[b, h, w, c] to the same shape."""
        batch, height, width, channels = x.shape
        dense = functools.partial(nn.Dense, channels, dtype=self.dtype)
        flat = GroupNorm(self.groups, self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        heads = (batch, height * width, channels // self.head_width, self.head_width)
        query, key, value = (dense(name=name)(flat).reshape(heads) for name in ("query", "key", "value"))
        attended = attend(query, key, value)
        return x + dense(name="out")(attended.reshape(flat.shape)).reshape(x.shape)


class Downsample(nn.Module):
    """Halves height and width by a convolution of stride 2, padded by one on every side.

    Attributes:
      dtype: what to compute in.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[b, 2h, 2w, c] to [b, h, w, c]."""
        return Conv(x.shape[-1], stride=2, dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Doubles height and width by repeating pixels, then a convolution.

    Attributes:
      dtype: what to compute in.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[b, h, w, c] to [b, 2h, 2w, c]."""
        batch, height, width, channels = x.shape
        x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels))
        x = x.reshape(batch, 2 * height, 2 * width, channels)
        return Conv(channels, dtype=self.dtype, name="conv")(x)
