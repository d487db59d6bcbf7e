"""How often a discriminator is right: whether there is an adversary at all."""

from collections.abc import Mapping

import jax.numpy as jnp

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.types import Array, Metrics

COIN = 0.55
"""Up to this share of right verdicts, over real and generated images alike, a discriminator says next to nothing."""


def accuracy(real_logits: Array, fake_logits: Array, *, loss: str, name: str = "") -> Metrics:
    """The shares of real and of generated images, or patches, that a discriminator takes for what they are.

    Args:
      real_logits: on real images, of any shape.
      fake_logits: on generated ones.
      loss: one of ``losses.ADVERSARIAL``.
      name: of the discriminator in the metrics, to tell two of them apart.

    Returns:
      ``accuracy/{name}real`` and ``accuracy/{name}fake``, scalars; nothing for a loss whose logits have no threshold.
    """
    threshold = ADVERSARIAL[loss].threshold
    if threshold is None:
        return {}
    return {
        f"accuracy/{name}real": jnp.mean((real_logits > threshold).astype(jnp.float32)),
        f"accuracy/{name}fake": jnp.mean((fake_logits < threshold).astype(jnp.float32)),
    }


def remark(metrics: Mapping[str, float], *, way_out: str, name: str = "") -> str | None:
    """Says so where a discriminator ended as a coin.

    Args:
      metrics: means of a stage's metrics.
      way_out: what to change, the end of the sentence.
      name: of the discriminator, as in ``accuracy``.
    """
    found = [metrics[key] for end in ("real", "fake") if (key := f"accuracy/{name}{end}") in metrics]
    if not found or (mean := sum(found) / len(found)) > COIN:
        return None
    return (
        f"the {name.replace('_', ' ')}discriminator ended as a coin: right for {mean:.0%} of the images (50 % is a "
        f"guess), so that it taught next to nothing; {way_out}"
    )
