"""From a SAR image to an optical one: a network, its schedule and a sampler, put together."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sar2opt_jax.diffusion import samplers, times
from sar2opt_jax.diffusion.consistency import consistency_function
from sar2opt_jax.diffusion.samplers import Sampler, StepGrid
from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.types import Array, Denoiser, Model, Params, as_prng_keys, check_known, look_up


class Kind(NamedTuple):
    """A kind of network.

    Attributes:
      sampler: the usual one.
      usual_steps: by sampler, the usual number of network evaluations; None is all steps of the schedule.
    """

    sampler: str
    usual_steps: Mapping[str, int | None]


KINDS = {
    "teacher": Kind("ddim", {"ddpm": None, "ddim": 50, "dpm_solver_pp": 50}),
    "student": Kind("lcm", {"lcm": 4}),
    "generator": Kind("direct", {"direct": 1}),
}
"""Kinds of network with their samplers. ``direct`` is a generator's single evaluation, without noise."""
SAMPLERS = tuple(sampler for kind in KINDS.values() for sampler in kind.usual_steps)
"""All samplers that a method may name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How to sample.

    Attributes:
      sampler: ``ddpm``, ``ddim`` or ``dpm_solver_pp`` for a teacher, ``lcm`` for a student, ``direct`` for a generator.
      num_steps: network evaluations.
      spacing: the grid of times of a teacher's sampler, see ``diffusion/times.py``; ``lcm`` has its own.
      eta: how much of its noise ``ddim`` draws anew, 0 (none) to 1 (as much as ``ddpm``).
      gamma: how much of its noise ``lcm`` draws anew, 1 (all of it) to 0 (none).
    """

    sampler: str
    num_steps: int
    spacing: str = "trailing"
    eta: float = 0.0
    gamma: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translator:
    """Translates SAR images with given parameters.

    Attributes:
      model: the U-Net.
      schedule: the one it was trained with; nothing to a generator.
      prediction: what it predicts, ``eps``, ``v`` or ``x_0``; nothing to a generator.
      solver_steps: k, the grid of times a student was distilled at; None for all others.
      sigma_data: d of the consistency function.
      is_generator: whether the network is a one-step generator (``generate``).
      usual_steps: network evaluations that it is best sampled with; None is what is usual for its kind.

    Raises:
      ValueError: at construction, for a generator with a student's grid.
    """

    model: Model
    schedule: Schedule
    prediction: str
    solver_steps: int | None = None
    sigma_data: float = 0.5
    is_generator: bool = False
    usual_steps: int | None = None

    def __post_init__(self) -> None:
        if self.is_generator and self.solver_steps is not None:
            raise ValueError(f"A generator is not distilled at a grid; got solver_steps {self.solver_steps}.")

    @property
    def is_student(self) -> bool:
        """Whether the network is a consistency function."""
        return self.solver_steps is not None

    @property
    def kind(self) -> str:
        """What the network is, one of ``KINDS``."""
        if self.is_generator:
            return "generator"
        return "student" if self.is_student else "teacher"

    def method(self, *, sampler: str | None = None, num_steps: int | None = None) -> Method:
        """A method of which some is given, the rest being what is usual for this network or its kind.

        Args:
          sampler: None for the usual one.
          num_steps: None for the usual number, or all steps of a schedule that has fewer.

        Raises:
          ValueError: for a sampler or a number of steps that the network does not have.
        """
        kind = KINDS[self.kind]
        own = self.usual_steps if sampler in (None, kind.sampler) else None
        sampler = sampler or kind.sampler
        if num_steps is None:
            most = self.solver_steps or self.schedule.num_steps
            num_steps = min(own or kind.usual_steps.get(sampler) or most, most)
        method = Method(sampler=sampler, num_steps=num_steps)
        self.timesteps(method)
        return method

    def timesteps(self, method: Method) -> times.Timesteps:
        """The grid of ``method``.

        Raises:
          ValueError: for an unknown sampler or spacing, a number of steps that does not fit, an eta or gamma outside
            of 0 .. 1 or with another sampler than theirs, or a sampler of another kind of network.
        """
        check_known("sampler", method.sampler, SAMPLERS)
        if not 0 <= method.eta <= 1 or (method.eta and method.sampler != "ddim"):
            raise ValueError(f"eta is 0 to 1, and 0 but for ddim; got {method.eta} with {method.sampler}.")
        if not 0 <= method.gamma <= 1 or (method.gamma != 1 and method.sampler != "lcm"):
            raise ValueError(f"gamma is 0 to 1, and 1 but for lcm; got {method.gamma} with {method.sampler}.")
        if method.sampler not in (fitting := KINDS[self.kind].usual_steps):
            *others, last = fitting
            names = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"This model is a {self.kind}: sample it with {names}, not with {method.sampler!r}.")
        if self.is_generator:
            return times.direct(method.num_steps)
        if self.solver_steps is not None:
            return times.consistency(self.schedule.num_steps, method.num_steps, solver_steps=self.solver_steps)
        return look_up("spacing", method.spacing, times.GRIDS)(self.schedule.num_steps, method.num_steps)

    def __call__(
        self, params: Params, sar: Array, rngs: Array, *, method: Method, grid: StepGrid | None = None
    ) -> Array:
        """Translates a batch.

        Args:
          params: of the U-Net.
          sar: [batch, height, width, channel] in [-1, 1].
          rngs: one key per example, [batch], of any generator of JAX; unused by a one-step generator.
          method: how to sample.
          grid: of ``grid``, where it is an argument of a compiled program, which then serves all methods that differ
            in it alone; None takes that of ``method``.

        Returns:
          [batch, height, width, 3], optical images in [-1, 1] up to the sampler's overshoot.
        """
        shape = (*sar.shape[1:3], 3)
        start_rngs, step_rngs = jax.vmap(jax.random.split, out_axes=1)(as_prng_keys(rngs))
        x_T = jax.vmap(lambda rng: jax.random.normal(rng, shape, jnp.float32))(start_rngs)
        noise = samplers.gaussian_noise(step_rngs, shape)
        grid, denoise = grid or self.grid(method), self.denoiser(params, sar)
        return self.sampler(method).along(grid, denoise, x_T, noise, schedule=self.schedule)

    def grid(self, method: Method) -> StepGrid:
        """What a sampling along the times of ``method`` is told; errors as of ``timesteps``."""
        return self.sampler(method).grid(self.schedule, self.timesteps(method))

    def denoiser(self, params: Params, sar: Array) -> Denoiser:
        """What a sampler sees of the network with given parameters and condition.

        Teachers are sampled with clipping; the consistency function is used as it was distilled, without. A generator
        sees neither image nor time.
        """
        if self.is_generator:
            return lambda x_t, t: generate(self.model, params, sar)
        denoise = self.schedule.denoiser(
            lambda x_t, t: self.model(params, x_t, t, sar), prediction=self.prediction, clip=not self.is_student
        )
        return consistency_function(denoise, sigma_data=self.sigma_data) if self.is_student else denoise

    def sampler(self, method: Method) -> Sampler:
        """The sampler of ``method``, with its eta or gamma."""
        if self.is_generator:
            return samplers.direct
        options = {"ddim": {"eta": method.eta}, "lcm": {"gamma": method.gamma}}.get(method.sampler, {})
        return dataclasses.replace(samplers.SAMPLERS[method.sampler], options=options)

    def advance(
        self, x_t: Array, x_0: Array, noise: Array, *, x_0_before: Array | None, method: Method, step: int
    ) -> Array:
        """One step of the sampler, for an estimate of x_0 that is known: what ``__call__`` does after ``denoise``.

        All arithmetic of a sampler but that of ``denoise`` is pixel by pixel, so parts of an image can be advanced
        one by one.

        Args:
          x_t: [batch, height, width, 3], where the step starts.
          x_0: the estimate at ``x_t``.
          noise: of this step, shaped like ``x_t``.
          x_0_before: the estimate of the step before, which a multistep sampler extrapolates from; None at step 0.
          method: how to sample.
          step: its number, from 0.

        Returns:
          x at the time of the next step, shaped like ``x_t``; after the last one, the image.
        """
        before = jnp.zeros_like(x_0) if x_0_before is None else x_0_before
        x_next, _ = self.sampler(method).advance(
            step, self.grid(method), lambda x, t: x_0, lambda i: noise, x_t, before, schedule=self.schedule
        )
        return x_next


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
