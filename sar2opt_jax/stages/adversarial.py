"""Stage 3: consistency distillation with a discriminator (arXiv 2407.06095)."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.stages import network
from sar2opt_jax.stages.distill import Distillation, Pair
from sar2opt_jax.stages.network import Network
from sar2opt_jax.types import Array, Batch, Export, Metrics, Params

REAL = ("target", "optical")


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
      discriminator: ``discriminator(params, x_t, t, image, s, sar)``, logits [batch].
      init_discriminator: makes its parameters from a key and the teacher's parameters.
      adversarial_loss: ``non_saturating``, ``hinge`` or ``wasserstein``.
      adversarial_weight: w in L_CD + w L_G.
      real: ``target``, the EMA target's output, as in the authors' release; or ``optical``, the true image,
        which lets the student pass its teacher.
    """

    discriminator: Callable[..., Array]
    init_discriminator: Callable[[Array, Params], Params]
    adversarial_loss: str = "non_saturating"
    adversarial_weight: float = 1.0
    real: str = "target"

    def init(self, rng: Array, export: Export | None) -> AdversarialState:
        """Student and target start as copies of the teacher in ``export``, the discriminator from its encoder."""
        student, target, teacher = self.start(export)
        discriminator = Network.create(network.copy(self.init_discriminator(rng, teacher)), self.optimizer)
        return AdversarialState(jnp.int32(0), student, target, teacher, discriminator)

    def gradients(self, state: AdversarialState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of student and discriminator over one share of a batch, at one state."""
        pair = self.pair_at(state.teacher, batch, *self.draw(rng, state.step, batch))
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
        generator_loss = jnp.mean(ADVERSARIAL[self.adversarial_loss].generator(logits))
        metrics |= {"loss/generator": generator_loss}
        return loss + self.adversarial_weight * generator_loss, (x_hat, metrics)

    def discriminator_loss(
        self, discriminator: Params, batch: Batch, pair: Pair, real: Array, x_hat: Array
    ) -> tuple[Array, Metrics]:
        """The loss that the discriminator descends, with ``x_hat`` given."""
        real_logits = self.logits(discriminator, pair, real, batch.sar)
        fake_logits = self.logits(discriminator, pair, x_hat, batch.sar)
        loss = jnp.mean(ADVERSARIAL[self.adversarial_loss].discriminator(real_logits, fake_logits))
        return loss, {
            "loss/discriminator": loss,
            "logits/real": jnp.mean(real_logits),
            "logits/fake": jnp.mean(fake_logits),
        }

    def logits(self, discriminator: Params, pair: Pair, image: Array, sar: Array) -> Array:
        """Logits [batch] of an image, seen at time s beside the noisy image it was made from, seen at time t."""
        return self.discriminator(discriminator, pair.x_t, pair.t, image, pair.s, sar)

    def update(self, state: AdversarialState, grads: dict[str, Params]) -> AdversarialState:
        """One optimiser step of both networks, then one step of the EMA target."""
        student, target = self.descend(state.student, state.target, grads["student"])
        discriminator = state.discriminator.update(grads["discriminator"], self.optimizer)
        return state._replace(step=state.step + 1, student=student, target=target, discriminator=discriminator)

    def export(self, state: AdversarialState) -> Export:
        """The student (or its target), and the discriminator."""
        return self.exported(state.student, state.target) | {"discriminator": state.discriminator.params}
