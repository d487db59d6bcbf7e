"""What a noisy image is multiplied by before a network sees it.

The U-Net adds its time embedding inside of its residual blocks, so that its first convolution cannot tell an image from
noise: a small network spends its budget on shutting the noise out. A gain does it beforehand. It is an option of the
network as training, distillation, sampling and the discriminator call it (``model.input_gain`` of a config, and of the
description of an export): parameters that were trained with one gain mean nothing with another.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from sar2opt_jax.diffusion.schedule import Schedule, over_image
from sar2opt_jax.types import Array, Model, Params, look_up

InputGain = Callable[[Array, Array], Array]
"""``gain(x_t, t)``: what the network is shown in place of ``x_t``, shaped like it."""

SIGMA_DATA = 0.5
"""d, the standard deviation of an image's intensities, in units of [-1, 1] intensity."""


def wiener_weights(schedule: Schedule, *, sigma_data: float = SIGMA_DATA) -> np.ndarray:
    """The Wiener filter's gain of every time, alpha d^2 / (alpha^2 d^2 + sigma^2), divided by the largest.

    The best linear estimate of x_0 ~ N(0, d^2) multiplies x_t by it (c_skip of arXiv 2206.00364, table 1, in the
    variance-preserving form). It is 0 where nothing of the image is left.

    Returns:
      [num_steps] float64 in [0, 1].
    """
    signal = schedule.alphas_bar * sigma_data**2
    weights = np.sqrt(schedule.alphas_bar) * sigma_data**2 / (signal + 1 - schedule.alphas_bar)
    return weights / weights.max()


def _none(schedule: Schedule) -> InputGain:
    del schedule  # Every noisy image is shown as it is.
    return lambda x_t, t: x_t


def _wiener(schedule: Schedule) -> InputGain:
    weights = wiener_weights(schedule)

    def gain(x_t: Array, t: Array) -> Array:
        return over_image(jnp.asarray(weights, jnp.float32)[t], x_t) * x_t

    return gain


INPUT_GAINS: dict[str, Callable[[Schedule], InputGain]] = {"none": _none, "wiener": _wiener}


def make_input_gain(name: str, schedule: Schedule) -> InputGain:
    """The gain ``name`` on a schedule; raises ValueError for an unknown name."""
    return look_up("model.input_gain", name, INPUT_GAINS)(schedule)


def with_input_gain(model: Model, gain: InputGain) -> Model:
    """A network that is shown ``gain(x_t, t)`` for ``x_t``."""

    def gained(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
        return model(params, gain(x_t, t), t, sar)

    return gained
