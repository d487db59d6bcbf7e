"""What every stage needs: a network under training, its moving average, and randomness per example."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from sar2opt_jax.types import Array, Params, PyTree


class Network(NamedTuple):
    """Parameters and the state of their optimiser."""

    params: Params
    opt_state: Any

    @classmethod
    def create(cls, params: Params, optimizer: optax.GradientTransformation) -> "Network":
        """A network before its first step."""
        return cls(params, optimizer.init(params))

    def update(self, grads: PyTree, optimizer: optax.GradientTransformation) -> "Network":
        """One optimiser step."""
        updates, opt_state = optimizer.update(grads, self.opt_state, self.params)
        return Network(cast(Params, optax.apply_updates(self.params, updates)), opt_state)


def moving_average(average: Params, params: Params, decay: float | Array) -> Params:
    """Exponential moving average:  decay * average + (1 - decay) * params."""
    return cast(Params, optax.incremental_update(params, average, step_size=1 - decay))


def copy(params: Params) -> Params:
    """Own buffers for parameters that start equal, or donating both to one step fails."""
    return jax.tree.map(jnp.copy, params)


def per_example(draw: Callable[..., PyTree], rng: Array, step: Array, index: Array, *of_each: Array) -> PyTree:
    """Calls ``draw(rng, ...)`` with a key of its own for every example of a step.

    Args:
      draw: from one key to the draws of one example.
      rng: the run's key.
      step: optimiser steps taken.
      index: the examples' positions in the run, [batch].
      *of_each: what else ``draw`` takes, with a leading batch axis.

    Returns:
      The draws with a leading batch axis.
    """
    rng = jax.random.fold_in(rng, step)
    return jax.vmap(lambda i, *rest: draw(jax.random.fold_in(rng, i), *rest))(index, *of_each)
