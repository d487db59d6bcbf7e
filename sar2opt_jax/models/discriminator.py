"""The discriminator of arXiv 2407.06095: the encoder of the teacher's U-Net, all of it trainable, and a small head.

As a choice of ours, a head a level, which scores position by position.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sar2opt_jax.models.convolution import Conv
from sar2opt_jax.models.layers import GroupNorm
from sar2opt_jax.models.unet import Encoded, UNet
from sar2opt_jax.types import Array, Params


class Head(nn.Module):
    """From two feature maps side by side to one logit.

    Attributes:
      width: channels of its convolutions.
      groups: of the norms.
      dtype: what the convolutions compute in; norms and the logit are float32.
    """

    width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """[b, h, w, any] with h, w of at least 2, to logits [b] float32."""
        x = Conv(self.width, dtype=self.dtype, name="conv1")(features)
        x = nn.silu(GroupNorm(self.groups, self.dtype, name="norm1")(x))
        x = Conv(self.width, (4, 4), stride=2, dtype=self.dtype, name="conv2")(x)
        x = nn.silu(GroupNorm(self.groups, jnp.float32, name="norm2")(x))
        return nn.Dense(1, dtype=jnp.float32, name="logit")(x.mean(axis=(1, 2)))[:, 0]


class PatchHead(nn.Module):
    """From two feature maps side by side to a logit at each position; attributes as of ``Head``."""

    width: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """[b, h, w, any] to logits [b, h * w] float32."""
        x = Conv(self.width, dtype=self.dtype, name="conv1")(features)
        x = nn.silu(GroupNorm(self.groups, jnp.float32, name="norm1")(x))
        logits = Conv(1, (1, 1), padding=0, dtype=jnp.float32, name="logit")(x)
        return logits.reshape(logits.shape[0], -1)


class Discriminator(nn.Module):
    """Scores an image beside the noisy image it was made from.

    One trunk, the encoder and middle of ``unet``, sees both: ``concat(x_t, sar)`` at time t and
    ``concat(x_hat, sar)`` at time s. Its parameters stand under ``unet`` with the names they have in the U-Net.

    Attributes:
      unet: the U-Net whose encoder this is; the head is twice as wide as its last level.
      patches: score position by position, by a head a level, instead of the paper's single logit: nearer to the
        pixels, a discriminator learns within hundreds of steps.
    """

    unet: UNet
    patches: bool = False

    def setup(self) -> None:
        """Names the heads."""
        if self.patches:
            self.heads = [PatchHead(2 * width, self.unet.norm_groups, self.unet.dtype) for width in self.unet.widths]
        else:
            self.head = Head(2 * self.unet.widths[-1], self.unet.norm_groups, self.unet.dtype)

    def check_image_size(self, height: int, width: int) -> None:
        """Raises ValueError for an image that the U-Net refuses, or that it shrinks to less than the head needs."""
        self.unet.check_image_size(height, width)
        smallest = (1 if self.patches else 2) * self.unet.size_multiple
        if min(height, width) < smallest:
            raise ValueError(
                f"Image height and width ({height} x {width}) must be at least {smallest} for the discriminator: "
                f"its head needs 2 x 2 features, and the U-Net divides by {self.unet.size_multiple}."
            )

    def input_shapes(self, *, image_size: int, sar_channels: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Arguments of a call with one square image, as shapes."""
        x_t, t, sar = self.unet.input_shapes(image_size=image_size, sar_channels=sar_channels)
        return x_t, t, x_t, t, sar

    def __call__(self, x_t: Array, t: Array, x_hat: Array, s: Array, sar: Array) -> Array:
        """How real ``x_hat`` looks.

        Args:
          x_t: noisy image, [batch, height, width, 3].
          t: its time, [batch].
          x_hat: the image to score, like ``x_t``.
          s: the time to show it at, [batch].
          sar: the condition of both, [batch, height, width, channel].

        Returns:
          Logits, [batch] float32, of patches [batch, any]; larger is more real.

        Raises:
          ValueError: for an image size that does not fit.
        """
        self.check_image_size(*x_t.shape[1:3])
        # Two passes, not one with both along the batch: a step scores two images beside the same x_t, and the
        # compiler then computes the features of x_t, and those of an image that is scored twice, once.
        noisy, scored = self.unet.encode(x_t, t, sar), self.unet.encode(x_hat, s, sar)
        if not self.patches:
            return self.head(jnp.concatenate([noisy.features, scored.features], axis=-1))
        levels = zip(self.heads, self.level_features(noisy), self.level_features(scored), strict=True)
        return jnp.concatenate([head(jnp.concatenate(pair, axis=-1)) for head, *pair in levels], axis=-1)

    def level_features(self, encoded: Encoded) -> tuple[Array, ...]:
        """What the last block of each level put out, finest first; of the last level, the middle."""
        a_level = self.unet.blocks_per_level + 1  # conv_in or the downsampling above it, and its blocks.
        return (*encoded.skips[a_level - 1 : -1 : a_level], encoded.features)


def from_unet(unet_params: Params, discriminator_params: Params) -> Params:
    """A discriminator whose trunk starts as a copy of a U-Net's encoder and middle; its head stays.

    Args:
      unet_params: of the teacher.
      discriminator_params: freshly made.

    Returns:
      Parameters like ``discriminator_params``; the trunk in buffers of its own.

    Raises:
      ValueError: where the U-Net lacks a parameter of the trunk, or has it in another shape.
    """
    trunk = discriminator_params["unet"]
    found = _shapes(unet_params)
    for name, wanted in _shapes(trunk).items():
        if name not in found:
            raise ValueError(f"The U-Net has no {name}, which the discriminator's trunk has: their settings differ.")
        if found[name] != wanted:
            raise ValueError(
                f"{name} is {found[name]} in the U-Net and {wanted} in the discriminator's trunk: "
                "their settings differ."
            )
    copied = jax.tree.map(lambda _, teacher: jnp.copy(teacher), trunk, {name: unet_params[name] for name in trunk})
    return {**discriminator_params, "unet": copied}


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}
