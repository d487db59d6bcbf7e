"""The notation of the whole package, and the protocols between its packages.

Arrays are ``[batch, height, width, channel]``, images in [-1, 1]:

=========  ==========================================================================
``x_0``    clean optical image
``x_t``    noisy image at time ``t``:  x_t = alpha_t x_0 + sigma_t eps
``x_s``    the same at the cleaner time ``s < t``
``t, s``   integer times 0 .. T - 1, shape [batch]; larger is noisier; -1 means clean
``eps``    standard normal noise
``sar``    the condition, the radar image
``alpha``  sqrt(alpha_bar)
``sigma``  sqrt(1 - alpha_bar)
=========  ==========================================================================
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp

Array = jax.Array
PyTree = Any
Params = Mapping[str, Any]
"""Parameters of one network: a nested mapping of arrays."""
Networks = dict[str, Params]
"""What a stage hands on: ``{"unet": ...}``, an adversarial stage adds ``"discriminator"``."""

Metrics = dict[str, Array]
"""Scalars by name, such as ``loss/generator``."""


class Batch(NamedTuple):
    """Pairs of images and where in the run they stand.

    ``index`` is the example's global position in the run, not in the batch: noise and times are drawn from it,
    so a step does not depend on how a batch is spread over devices, hosts or micro-batches.
    """

    optical: Array  # [batch, height, width, 3] float32 in [-1, 1]
    sar: Array  # [batch, height, width, channel] float32 in [-1, 1]
    index: Array  # [batch] int32  # pyright: ignore[reportIncompatibleMethodOverride]: hides tuple.index, unused here


Model = Callable[[Params, Array, Array, Array], Array]
"""``model(params, x_t, t, sar)``: the raw output of the U-Net, shaped like ``x_t``, float32."""
Generator = Callable[[Params, Array], Array]
"""``generator(params, condition)``: images in [-1, 1] in one evaluation, without noise."""
Denoiser = Callable[[Array, Array], Array]
"""``denoise(x_t, t)``: an estimate of ``x_0``; all that a sampler sees of a network and its condition."""
Noise = Callable[[Array], Array]
"""``noise(i)``: the noise of sampling step ``i`` (an int32 scalar), shaped like ``x_T``."""


StateT = TypeVar("StateT")


class Stage(Protocol[StateT]):
    """One training objective: frozen settings; its state is a pytree with an int32 ``step``; every method is pure.

    ``gradients`` and ``update`` are two, so that averaging over devices, accumulation over micro-batches and the
    check for non-finite gradients stand between them once, for all stages (``engine/parallel.py``).
    """

    def init(self, rng: Array, export: Networks | None) -> StateT:
        """The state before the first step, started from the export of the stage before."""
        ...

    def gradients(self, state: StateT, batch: Batch, rng: Array) -> tuple[PyTree, Metrics]:
        """Mean gradients and metrics over one device's share of a batch."""
        ...

    def update(self, state: StateT, grads: PyTree) -> StateT:
        """One optimiser step, with gradients averaged over the whole batch."""
        ...

    def export(self, state: StateT) -> Networks:
        """What the next stage, evaluation and translation load."""
        ...


PRNG = "threefry2x32"
"""The generator of all random numbers, whatever ``JAX_DEFAULT_PRNG_IMPL`` says: under ``vmap`` others, such as ``rbg``,
draw a whole batch from its first key, so that results depend on the batch size."""


def make_key(seed: int | Array) -> Array:
    """The key of a seed, an integer or a scalar array of one, for ``PRNG``."""
    return jax.random.key(seed, impl=PRNG)


def as_prng_keys(rngs: Array) -> Array:
    """Keys for ``PRNG`` made of keys for any generator, [n] each; those for ``PRNG`` stay as they are."""
    if jax.random.key_impl(rngs) == PRNG:
        return rngs
    first, second, *rest = jax.random.key_data(rngs).T
    keys = jax.random.wrap_key_data(jnp.stack([first, second], axis=-1), impl=PRNG)
    for word in rest:
        keys = jax.vmap(jax.random.fold_in)(keys, word)
    return keys


@runtime_checkable
class Remarks(Protocol):
    """A stage that has something to say of how its training ended."""

    def remark(self, metrics: Mapping[str, float]) -> str | None:
        """What a person should know of the last logged means of its metrics; None: nothing."""
        ...


T = TypeVar("T")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raises ValueError for a name that is none of the known ones, and lists these."""
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}; known: {', '.join(known)}.")


def look_up(what: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of a table of choices. Raises ValueError for an unknown name."""
    check_known(what, name, table)
    return table[name]
