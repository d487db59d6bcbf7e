"""What the GAN baselines share: losses on the logits of a patch discriminator."""

from collections.abc import Callable

import jax.numpy as jnp

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.stages import verdicts
from sar2opt_jax.types import Array, Metrics, Params

PatchDiscriminator = Callable[[Params, Array], Array]
"""``discriminator(params, images)``: logits [batch, any, any] of images [batch, height, width, any]."""


def generator_loss(logits: Array, *, loss: str) -> Array:
    """What a generator descends, mean over patches and batch, a scalar.

    Args:
      logits: of its images, [batch, any, any].
      loss: one of ``losses.ADVERSARIAL``.
    """
    return jnp.mean(ADVERSARIAL[loss].generator(logits))


def discriminator_loss(
    params: Params, real: Array, fake: Array, *, discriminator: PatchDiscriminator, loss: str, name: str = ""
) -> tuple[Array, Metrics]:
    """What a discriminator descends, halved to slow it down relative to the generator (arXiv 1611.07004, section 3.3).

    Args:
      params: of the discriminator.
      real: true images, with their condition where the discriminator sees it, [batch, height, width, any].
      fake: generated ones, shaped like ``real``.
      discriminator: from parameters and images to logits.
      loss: one of ``losses.ADVERSARIAL``.
      name: of the discriminator in the metrics, to tell two of them apart.

    Returns:
      The mean over patches and batch, a scalar, and metrics.
    """
    real_logits, fake_logits = discriminator(params, real), discriminator(params, fake)
    value = 0.5 * jnp.mean(ADVERSARIAL[loss].discriminator(real_logits, fake_logits))
    metrics = {
        f"loss/{name}discriminator": value,
        f"logits/{name}real": jnp.mean(real_logits),
        f"logits/{name}fake": jnp.mean(fake_logits),
    }
    return value, metrics | verdicts.accuracy(real_logits, fake_logits, loss=loss, name=name)
