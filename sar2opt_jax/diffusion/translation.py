"""From a SAR image to an optical one: a network, its schedule and a sampler, put together."""

import dataclasses
import functools

import jax

from sar2opt_jax.diffusion import samplers, times
from sar2opt_jax.diffusion.consistency import consistency_function
from sar2opt_jax.diffusion.generator import generate
from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.types import Array, Model, Params

KINDS = {"teacher": ("ddpm", "ddim", "dpm_solver_pp"), "student": ("lcm",), "generator": ("direct",)}
"""Kinds of network, and the samplers of each. ``direct`` is a generator's single evaluation, without noise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How to sample.

    Attributes:
      sampler: ``ddpm``, ``ddim`` or ``dpm_solver_pp`` for a teacher, ``lcm`` for a student, ``direct`` for a generator.
      num_steps: network evaluations.
      spacing: the grid of times of a teacher's sampler, see ``diffusion/times.py``; ``lcm`` has its own.
      eta: how much of its noise ``ddim`` draws anew, 0 (none) to 1 (as much as ``ddpm``).
    """

    sampler: str
    num_steps: int
    spacing: str = "trailing"
    eta: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translator:
    """Translates SAR images with given parameters.

    Attributes:
      model: the U-Net.
      schedule: the one it was trained with; nothing to a generator.
      prediction: what it predicts, ``eps``, ``v`` or ``x_0``; nothing to a generator.
      solver_steps: k, the grid of times a student was distilled at; None for all others.
      sigma_data: d of the consistency function.
      is_generator: whether the network is a one-step generator (``diffusion/generator.py``).

    Raises:
      ValueError: at construction, for a generator with a student's grid.
    """

    model: Model
    schedule: Schedule
    prediction: str
    solver_steps: int | None = None
    sigma_data: float = 0.5
    is_generator: bool = False

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

    def timesteps(self, method: Method) -> times.Timesteps:
        """The grid of ``method``.

        Raises:
          ValueError: for an unknown sampler or spacing, a number of steps that does not fit, an eta outside of 0 .. 1
            or with another sampler than ``ddim``, or a sampler of another kind of network.
        """
        _look_up("sampler", method.sampler, {name: kind for kind, names in KINDS.items() for name in names})
        if not 0 <= method.eta <= 1 or (method.eta and method.sampler != "ddim"):
            raise ValueError(f"eta is 0 to 1, and 0 but for ddim; got {method.eta} with {method.sampler}.")
        if method.sampler not in KINDS[self.kind]:
            *others, last = KINDS[self.kind]
            fitting = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"This model is a {self.kind}: sample it with {fitting}, not with {method.sampler!r}.")
        if self.is_generator:
            return times.direct(method.num_steps)
        if self.solver_steps is not None:
            return times.consistency(self.schedule.num_steps, method.num_steps, solver_steps=self.solver_steps)
        return _look_up("spacing", method.spacing, times.GRIDS)(self.schedule.num_steps, method.num_steps)

    def __call__(self, params: Params, sar: Array, rngs: Array, *, method: Method) -> Array:
        """Translates a batch.

        Args:
          params: of the U-Net.
          sar: [batch, height, width, channel] in [-1, 1].
          rngs: one key per example, [batch]; unused by a generator.
          method: how to sample.

        Returns:
          [batch, height, width, 3], optical images in [-1, 1] up to the sampler's overshoot.
        """
        timesteps = self.timesteps(method)
        if self.is_generator:
            return generate(self.model, params, sar)
        # Teachers are sampled with clipping; the consistency function is used as it was distilled, without.
        denoise = self.schedule.denoiser(
            lambda x_t, t: self.model(params, x_t, t, sar), prediction=self.prediction, clip=not self.is_student
        )
        if self.is_student:
            denoise = consistency_function(denoise, sigma_data=self.sigma_data)
        shape = (*sar.shape[1:3], 3)
        start_rngs, step_rngs = jax.vmap(jax.random.split, out_axes=1)(rngs)
        x_T = jax.vmap(lambda rng: jax.random.normal(rng, shape))(start_rngs)
        noise = samplers.gaussian_noise(step_rngs, shape)
        sampler = samplers.SAMPLERS[method.sampler]
        if method.sampler == "ddim":
            sampler = functools.partial(samplers.ddim, eta=method.eta)
        return sampler(denoise, x_T, noise, schedule=self.schedule, timesteps=timesteps)


def _look_up(what: str, name: str, table: dict):
    if name not in table:
        raise ValueError(f"Unknown {what} {name!r}; known: {', '.join(table)}.")
    return table[name]
