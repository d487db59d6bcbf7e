"""Losses, per example; the stages average last."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sar2opt_jax.types import Array


def squared_error(prediction: Array, target: Array) -> Array:
    """Mean squared error over pixels and channels. Returns: [batch]."""
    return _per_example(jnp.square(prediction - target))


def absolute_error(prediction: Array, target: Array) -> Array:
    """Mean absolute error over pixels and channels, L1. Returns: [batch]."""
    return _per_example(jnp.abs(prediction - target))


def pseudo_huber(prediction: Array, target: Array, *, huber_c: float = 1e-3) -> Array:
    """Pseudo-Huber distance sqrt(e^2 + c^2) - c per element (arXiv 2310.14189, equation 7).

    Args:
      prediction: [batch, height, width, channel].
      target: like ``prediction``.
      huber_c: c, in units of the intensity.

    Returns:
      [batch], mean over pixels and channels.
    """
    # e^2 / (sqrt(e^2 + c^2) + c) is the same number without the cancellation of two close ones.
    squared = jnp.square(prediction - target)
    return _per_example(squared / (jnp.sqrt(squared + huber_c**2) + huber_c))


def min_snr_weight(snr: Array, *, gamma: float, prediction: str) -> Array:
    """Weights of the teacher's loss that never prefer an easy time (arXiv 2303.09556).

    The weight min(S, gamma) of an x_0-error, expressed in the error of the prediction: eps: min(S, gamma) / S,
    v: min(S, gamma) / (S + 1), x_0: min(S, gamma).

    Args:
      snr: S = (alpha_t / sigma_t)^2, [batch].
      gamma: where the weight stops growing; 5 in the source.
      prediction: ``eps``, ``v`` or ``x_0``.

    Returns:
      [batch].
    """
    capped = jnp.minimum(snr, gamma)
    return capped / {"eps": snr, "v": snr + 1, "x_0": jnp.ones_like(snr)}[prediction]


class AdversarialLoss(NamedTuple):
    """A pair of losses on the discriminator's logits, element by element: [batch] -> [batch], patches likewise.

    ``least_squares`` is of arXiv 1611.04076, with targets 1 and 0.
    """

    generator: Callable[[Array], Array]  # of the logits on generated images
    discriminator: Callable[[Array, Array], Array]  # of the logits on (real, generated) images
    threshold: float | None  # logits above it say real; None: only their differences mean something


ADVERSARIAL = {
    "non_saturating": AdversarialLoss(
        generator=lambda fake: jax.nn.softplus(-fake),
        discriminator=lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake),
        threshold=0.0,
    ),
    "hinge": AdversarialLoss(
        generator=lambda fake: -fake,
        discriminator=lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake),
        threshold=0.0,
    ),
    "wasserstein": AdversarialLoss(
        generator=lambda fake: -fake,
        discriminator=lambda real, fake: fake - real,
        threshold=None,
    ),
    "least_squares": AdversarialLoss(
        generator=lambda fake: jnp.square(fake - 1),
        discriminator=lambda real, fake: jnp.square(real - 1) + jnp.square(fake),
        threshold=0.5,
    ),
}

CONSISTENCY = {"pseudo_huber": pseudo_huber, "l2": squared_error}
RECONSTRUCTION = {"l1": absolute_error, "pseudo_huber": pseudo_huber}


def _per_example(elements: Array) -> Array:
    return jnp.mean(elements, axis=tuple(range(1, elements.ndim)))
