"""The U-Net as a one-step generator, for the baselines that know of no noise."""

import jax.numpy as jnp

from sar2opt_jax.types import Array, Model, Params


def generate(model: Model, params: Params, condition: Array, *, channels: int = 3) -> Array:
    """G(c) = tanh(network(0, 0, c)): the network of the diffusion model where there is nothing to denoise.

    The noisy image is zero and the time is 0 always, so that generator, teacher and student are one network of one
    size. tanh ends the generators of arXiv 1611.07004 and 1703.10593. Training, previews and ``Translator`` all come
    here.

    Args:
      model: the U-Net.
      params: its parameters.
      condition: what to translate, [batch, height, width, any] in [-1, 1].
      channels: of the translation.

    Returns:
      [batch, height, width, channels] in [-1, 1].
    """
    x_t = jnp.zeros((*condition.shape[:3], channels), jnp.float32)
    t = jnp.zeros(condition.shape[:1], jnp.int32)
    return jnp.tanh(model(params, x_t, t, condition))
