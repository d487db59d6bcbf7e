"""From a config to an optimiser and its learning rate."""

from typing import Any

import optax

Config = Any
"""An ``ml_collections.ConfigDict``, whose fields no type checker knows."""


def optimizer(config: Config, *, num_steps: int) -> optax.GradientTransformation:
    """AdamW behind a clip of the global norm where there is one, with ``learning_rate``."""
    return adamw(config, learning_rate(config, num_steps=num_steps))


def adamw(config: Config, rate: optax.Schedule) -> optax.GradientTransformation:
    """AdamW behind a clip of the global norm where there is one, with a learning rate by step."""
    b1, b2 = config.betas
    return optax.chain(
        optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(rate, b1=b1, b2=b2, eps=config.eps, weight_decay=config.weight_decay),
    )


def learning_rate(config: Config, *, num_steps: int) -> optax.Schedule:
    """Linear warm-up, then one of ``DECAYS`` down to zero at ``num_steps``; config as of ``optimizer``."""
    warmup_steps = min(config.warmup_steps, num_steps // 2)  # A short run still reaches its learning rate.
    return DECAYS[config.decay](config.learning_rate, warmup_steps, num_steps)


def _cosine(peak: float, warmup_steps: int, num_steps: int) -> optax.Schedule:
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, num_steps)


def _second_half(peak: float, warmup_steps: int, num_steps: int) -> optax.Schedule:
    """Constant, from the middle on linear: arXiv 1703.10593, section 4, and the release of pix2pix."""
    middle = num_steps // 2
    warmup, decay = optax.linear_schedule(0.0, peak, warmup_steps), optax.linear_schedule(peak, 0.0, num_steps - middle)
    return optax.join_schedules([warmup, optax.constant_schedule(peak), decay], [warmup_steps, middle])


DECAYS = {"cosine": _cosine, "second_half": _second_half}
