"""Stage 3: consistency distillation with a discriminator (arXiv 2407.06095)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.stages import network, verdicts
from sar2opt_jax.stages.distill import Distillation, Pair
from sar2opt_jax.stages.network import Network
from sar2opt_jax.types import Array, Batch, Metrics, Networks, Params

REAL = ("target", "optical")
JUDGED_AT = ("s", "clean")
TIME_WEIGHTS: dict[str, Callable[[Array, int], Array] | None] = {
    "constant": None,
    "linear": lambda t, last: t / last,
    "noisiest": lambda t, last: (t == last).astype(jnp.float32),
}
"""Weights of both adversarial losses by time: from [batch] and the last time T - 1 to [batch] in 0 .. 1."""


class AdversarialState(NamedTuple):
    """As in distillation, and the discriminator."""

    step: Array
    student: Network
    target: Params
    teacher: Params
    discriminator: Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial(Distillation):
    """Adds a discriminator of the student's f(x_t, t) and of real images; all else is distillation.

    Both updates of a step are taken at the same state, so the discriminator sees the student before its update.

    Attributes:
      discriminator: ``discriminator(params, x_t, t, image, s, sar)``, logits [batch], or [batch, ...] of patches.
      discriminator_optimizer: None takes the student's.
      init_discriminator: makes its parameters from a key and the teacher's parameters.
      adversarial_loss: ``non_saturating``, ``hinge`` or ``wasserstein``.
      adversarial_weight: w in L_CD + w L_G.
      real: ``target``, the EMA target's output, as in the authors' release; or ``optical``, the true image,
        which lets the student pass its teacher.
      judged_at: the time that the discriminator is told of the judged image: ``s``, as in the authors' release; or
        ``clean``, time 0: at a noisy s the teacher's encoder has learned to look away from what it is shown.
      time_weight: of both adversarial losses at t, one of ``TIME_WEIGHTS``: ``constant``; ``linear``, t / (T - 1); or
        ``noisiest``, 1 at T - 1 and 0 elsewhere.
    """

    discriminator: Callable[..., Array]
    init_discriminator: Callable[[Array, Params], Params]
    discriminator_optimizer: optax.GradientTransformation | None = None
    adversarial_loss: str = "non_saturating"
    adversarial_weight: float = 1.0
    real: str = "target"
    judged_at: str = "s"
    time_weight: str = "constant"

    @property
    def critics_optimizer(self) -> optax.GradientTransformation:
        """The discriminator's own, or the student's."""
        return self.discriminator_optimizer or self.optimizer

    def init(self, rng: Array, export: Networks | None) -> AdversarialState:
        """Student and target start as copies of the teacher in ``export``, the discriminator from its encoder."""
        student, target, teacher = self.start(export)
        discriminator = Network.create(network.copy(self.init_discriminator(rng, teacher)), self.critics_optimizer)
        return AdversarialState(jnp.int32(0), student, target, teacher, discriminator)

    def gradients(self, state: AdversarialState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of student and discriminator over one share of a batch, at one state."""
        pair = self.pair(state.student.params, state.teacher, batch, rng, state.step)
        goal = self.consistency(state.target, batch.sar)(pair.x_s, pair.s)
        # Student: at the discriminator as it is.
        differentiate = jax.grad(self.student_loss, has_aux=True)
        student, (x_hat, metrics) = differentiate(state.student.params, state.discriminator.params, batch, pair, goal)
        # Discriminator: on the very output of the student's loss.
        real = {"target": goal, "optical": batch.optical}[self.real]
        differentiate = jax.grad(self.discriminator_loss, has_aux=True)
        discriminator, more_metrics = differentiate(state.discriminator.params, batch, pair, real, x_hat)
        return {"student": student, "discriminator": discriminator}, metrics | more_metrics

    def student_loss(
        self, student: Params, discriminator: Params, batch: Batch, pair: Pair, goal: Array
    ) -> tuple[Array, tuple[Array, Metrics]]:
        """L_CD + w L_G, a scalar; and the student's f(x_t, t) with the metrics."""
        loss, (x_hat, metrics) = self.consistency_loss(student, batch, pair, goal)
        logits = self.logits(discriminator, pair, x_hat, batch.sar)
        each = ADVERSARIAL[self.adversarial_loss].generator(logits)
        metrics |= {"loss/generator": jnp.mean(each)}
        return loss + self.adversarial_weight * self.mean_over_times(each, pair.t), (x_hat, metrics)

    def discriminator_loss(
        self, discriminator: Params, batch: Batch, pair: Pair, real: Array, x_hat: Array
    ) -> tuple[Array, Metrics]:
        """The loss that the discriminator descends, with ``x_hat`` given."""
        real_logits = self.logits(discriminator, pair, real, batch.sar)
        fake_logits = self.logits(discriminator, pair, x_hat, batch.sar)
        each = ADVERSARIAL[self.adversarial_loss].discriminator(real_logits, fake_logits)
        metrics = {
            "loss/discriminator": jnp.mean(each),
            "logits/real": jnp.mean(real_logits),
            "logits/fake": jnp.mean(fake_logits),
        }
        metrics |= verdicts.accuracy(real_logits, fake_logits, loss=self.adversarial_loss)
        return self.mean_over_times(each, pair.t), metrics

    def mean_over_times(self, each: Array, t: Array) -> Array:
        """The mean of losses [batch, ...], a scalar; those at the times ``t`` count by ``time_weight``."""
        weight = TIME_WEIGHTS[self.time_weight]
        if weight is None:
            return jnp.mean(each)
        per_example = each.reshape(each.shape[0], -1).mean(axis=1)
        return jnp.mean(weight(t, self.schedule.num_steps - 1) * per_example)

    def logits(self, discriminator: Params, pair: Pair, image: Array, sar: Array) -> Array:
        """Logits of an image, seen at time s or 0 beside the noisy image it was made from, seen at time t."""
        s = pair.s if self.judged_at == "s" else jnp.zeros_like(pair.s)
        return self.discriminator(discriminator, pair.x_t, pair.t, image, s, sar)

    def update(self, state: AdversarialState, grads: dict[str, Params]) -> AdversarialState:
        """One optimiser step of both networks, then one step of the EMA target."""
        student, target = self.descend(state.student, state.target, grads["student"])
        discriminator = state.discriminator.update(grads["discriminator"], self.critics_optimizer)
        return state._replace(step=state.step + 1, student=student, target=target, discriminator=discriminator)

    def export(self, state: AdversarialState) -> Networks:
        """The student (or its target), and the discriminator."""
        return self.exported(state.student, state.target) | {"discriminator": state.discriminator.params}

    def remark(self, metrics: Mapping[str, float]) -> str | None:
        """Says so where the discriminator ended as a coin; ``metrics`` are the last means."""
        return verdicts.remark(
            metrics,
            way_out="raise adversarial.optimizer.learning_rate, or choose another adversarial.discriminator "
            "(unet_patches, patchgan).",
        )
