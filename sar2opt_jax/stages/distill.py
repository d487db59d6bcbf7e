"""Stage 2: consistency distillation, from many steps to few (arXiv 2303.01469, 2310.04378)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sar2opt_jax.diffusion import losses, times
from sar2opt_jax.diffusion.consistency import consistency_function
from sar2opt_jax.diffusion.samplers import ddim_step
from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.stages import network
from sar2opt_jax.stages.network import Network
from sar2opt_jax.types import Array, Batch, Denoiser, Metrics, Model, Networks, Params

OWN_OUTPUT = 1
"""What an example's key is folded with for the draws of ``own_output_share``: all others stay as they are without."""


class Pair(NamedTuple):
    """Two neighbouring points on one trajectory of the teacher."""

    x_t: Array  # [batch, height, width, 3]
    t: Array  # [batch] int32
    x_s: Array
    s: Array  # s < t


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """What the distilling stages share: makes f(x_t, t) of the student equal to f(x_s, s) of its EMA target.

    (x_t, t) and (x_s, s) are neighbours on a trajectory of the frozen teacher. A stage adds its state and verbs.

    Attributes:
      model: the U-Net of student, target and teacher alike.
      optimizer: applied to the averaged gradients.
      schedule: the teacher's.
      prediction: the teacher's.
      solver_steps: k, how many DDIM steps the trajectory is cut into.
      loss: ``pseudo_huber`` or ``l2``.
      huber_c: c of the pseudo-Huber distance, in units of [-1, 1] intensity.
      target_decay: of the EMA target, after every step.
      sigma_data: d of the consistency function.
      export_target: export the EMA target instead of the student.
      sampling_times_share: share of the examples that are drawn at the times at which sampling with one of
        ``sampling_steps`` evaluates the network, 0 to 1; the rest are drawn evenly from all k.
      sampling_steps: numbers of steps that the student is to be sampled with.
      reconstruction_weight: of a direct term, the distance between f(x_t, t) and the optical image; 0 leaves it out.
      reconstruction_loss: ``l1`` or ``pseudo_huber``, its distance.
      own_output_share: share of the examples, 0 to 1, whose x_t is made of the student's own translation in place of
        the optical image: the states that sampling with several steps visits (backward simulation, arXiv 2405.14867).
      own_output_steps: at most so many steps of that translation are taken.
    """

    model: Model
    optimizer: optax.GradientTransformation
    schedule: Schedule
    prediction: str
    solver_steps: int = 50
    loss: str = "pseudo_huber"
    huber_c: float = 1e-3
    target_decay: float = 0.95
    sigma_data: float = 0.5
    export_target: bool = False
    sampling_times_share: float = 0.0
    sampling_steps: tuple[int, ...] = (1, 2, 4, 8)
    reconstruction_weight: float = 0.0
    reconstruction_loss: str = "l1"
    own_output_share: float = 0.0
    own_output_steps: int = 1

    def start(self, export: Networks | None) -> tuple[Network, Params, Params]:
        """Student, target and teacher before the first step: copies of the teacher in ``export``.

        Raises:
          ValueError: without an export.
        """
        if export is None:
            raise ValueError("Distillation starts from a teacher's export; got none.")
        student, target, teacher = (network.copy(export["unet"]) for _ in range(3))
        return Network.create(student, self.optimizer), target, teacher

    def draw(self, rng: Array, step: Array, batch: Batch) -> tuple[Array, Array]:
        """The solver index i, [batch] in 0 .. k - 1, and eps, shaped like the images."""
        shape = batch.optical.shape[1:]

        def draw(rng: Array) -> tuple[Array, Array]:
            i_rng, eps_rng = jax.random.split(rng)
            return self.draw_index(i_rng), jax.random.normal(eps_rng, shape, jnp.float32)

        return network.per_example(draw, rng, step, batch.index)

    def draw_index(self, rng: Array) -> Array:
        """One solver index, []; one-step sampling visits a single one of them, and would be trained by 1 / k."""
        if self.sampling_times_share == 0:
            return jax.random.randint(rng, (), 0, self.solver_steps)
        visits = times.visits(self.schedule.num_steps, self.sampling_steps, solver_steps=self.solver_steps)
        share = self.sampling_times_share
        probabilities = share * visits + (1 - share) / self.solver_steps
        return jax.random.choice(rng, self.solver_steps, p=jnp.asarray(probabilities, jnp.float32))

    def pair(self, student: Params, teacher: Params, batch: Batch, rng: Array, step: Array) -> Pair:
        """Two points on a trajectory of the teacher for every example of a step, at a time and with noise of its own.

        Outside of what is differentiated.
        """
        i, eps = self.draw(rng, step, batch)
        if self.own_output_share == 0:
            return self.pair_at(teacher, batch, i, eps)
        return self.pair_at(teacher, batch._replace(optical=self.starts(student, batch, i, rng, step)), i, eps)

    def starts(self, student: Params, batch: Batch, i: Array, rng: Array, step: Array) -> Array:
        """The images that are noised to t_i: the optical ones, and for a share of the examples the student's own.

        Those are its estimates where multistep sampling, begun from noise alone, last stood before t_i; of sampling in
        more than ``own_output_steps`` steps, after as many of them. [batch, height, width, 3].
        """
        before, ways = times.histories(self.schedule.num_steps, self.sampling_steps, solver_steps=self.solver_steps)
        before = jnp.asarray(before[:, :, : self.own_output_steps])

        def draw(rng: Array, i: Array) -> tuple[Array, Array, Array]:
            own_rng, noise_rng, way_rng = jax.random.split(jax.random.fold_in(rng, OWN_OUTPUT), 3)
            way = jax.random.choice(way_rng, ways.shape[1], p=jnp.asarray(ways, jnp.float32)[i])
            noise = jax.random.normal(noise_rng, (before.shape[2], *batch.optical.shape[1:]), jnp.float32)
            return jax.random.bernoulli(own_rng, self.own_output_share), before[i, way], noise

        is_own, t, noise = network.per_example(draw, rng, step, batch.index, i)
        f = self.consistency(student, batch.sar)
        own = f(noise[:, 0], t[:, 0])
        for n in range(1, t.shape[1]):  # Unrolled: they are few, and a convolution in a loop is slow on a CPU.
            further = f(self.schedule.add_noise(own, noise[:, n], jnp.maximum(t[:, n], 0)), t[:, n])
            own = jnp.where((t[:, n] >= 0)[:, None, None, None], further, own)
        return jnp.where(is_own[:, None, None, None], own, batch.optical)

    def pair_at(self, teacher: Params, batch: Batch, i: Array, eps: Array) -> Pair:
        """Noises the images to the grid time t_i and lets the teacher take one DDIM step to s = t_{i-1}.

        The step below the first grid time ends at s = 0 and uses alpha_bar_0. The teacher's x_0 is not clipped.
        """
        grid = times.solver_grid(self.schedule.num_steps, self.solver_steps)
        t = jnp.asarray(grid)[i]
        s = jnp.maximum(t - self.schedule.num_steps // self.solver_steps, 0)
        x_t = self.schedule.add_noise(batch.optical, eps, t)
        x_0 = self.denoiser(teacher, batch.sar)(x_t, t)
        return Pair(x_t, t, ddim_step(x_0, x_t, t, s, schedule=self.schedule), s)

    def denoiser(self, params: Params, sar: Array) -> Denoiser:
        """A network's estimate of x_0, not clipped."""
        return self.schedule.denoiser(
            lambda x_t, t: self.model(params, x_t, t, sar), prediction=self.prediction, clip=False
        )

    def consistency(self, params: Params, sar: Array) -> Denoiser:
        """f(x, t) of a network."""
        return consistency_function(self.denoiser(params, sar), sigma_data=self.sigma_data)

    def distance(self, x_hat: Array, goal: Array) -> Array:
        """The consistency loss, [batch]."""
        if self.loss == "pseudo_huber":
            return losses.pseudo_huber(x_hat, goal, huber_c=self.huber_c)
        return losses.CONSISTENCY[self.loss](x_hat, goal)

    def consistency_loss(
        self, student: Params, batch: Batch, pair: Pair, goal: Array
    ) -> tuple[Array, tuple[Array, Metrics]]:
        """L_CD, the distance between the student's f(x_t, t) and its goal; and, where it is asked for, the direct term.

        Args:
          student: its parameters.
          batch: the pairs of images.
          pair: two points on the teacher's trajectory.
          goal: the target's f(x_s, s), [batch, height, width, 3].

        Returns:
          The mean loss, a scalar, and ``(x_hat, metrics)``, x_hat being the student's f(x_t, t).
        """
        x_hat = self.consistency(student, batch.sar)(pair.x_t, pair.t)
        loss = jnp.mean(self.distance(x_hat, goal))
        metrics = {"loss/consistency": loss}
        if self.reconstruction_weight:
            reconstruction = jnp.mean(losses.RECONSTRUCTION[self.reconstruction_loss](x_hat, batch.optical))
            metrics |= {"loss/reconstruction": reconstruction}
            loss += self.reconstruction_weight * reconstruction
        return loss, (x_hat, metrics)

    def descend(self, student: Network, target: Params, grads: Params) -> tuple[Network, Params]:
        """One optimiser step of the student, then one step of its EMA target."""
        student = student.update(grads, self.optimizer)
        return student, network.moving_average(target, student.params, self.target_decay)

    def exported(self, student: Network, target: Params) -> Networks:
        """The student, or its target where the settings say so."""
        return {"unet": target if self.export_target else student.params}


class DistillState(NamedTuple):
    """The student, its EMA target, and the frozen teacher, so that a run resumes from its own directory alone."""

    step: Array
    student: Network
    target: Params
    teacher: Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(Distillation):
    """Consistency distillation alone: the student descends L_CD."""

    def init(self, rng: Array, export: Networks | None) -> DistillState:
        """Student and target start as copies of the teacher in ``export``."""
        del rng  # Nothing is drawn.
        return DistillState(jnp.int32(0), *self.start(export))

    def gradients(self, state: DistillState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of the student over one share of a batch."""
        pair = self.pair(state.student.params, state.teacher, batch, rng, state.step)
        # Outside of what is differentiated: no gradient reaches the target.
        goal = self.consistency(state.target, batch.sar)(pair.x_s, pair.s)
        grads, (_, metrics) = jax.grad(self.consistency_loss, has_aux=True)(state.student.params, batch, pair, goal)
        return {"student": grads}, metrics

    def update(self, state: DistillState, grads: dict[str, Params]) -> DistillState:
        """One optimiser step, then one step of the EMA target."""
        student, target = self.descend(state.student, state.target, grads["student"])
        return state._replace(step=state.step + 1, student=student, target=target)

    def export(self, state: DistillState) -> Networks:
        """The student, or its target where the settings say so."""
        return self.exported(state.student, state.target)
