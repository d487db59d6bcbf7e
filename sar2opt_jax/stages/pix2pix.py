"""A baseline: a one-step generator that learns from pairs and from a discriminator (arXiv 1611.07004)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sar2opt_jax.diffusion import losses
from sar2opt_jax.stages import patches, verdicts
from sar2opt_jax.stages.network import Network
from sar2opt_jax.stages.patches import PatchDiscriminator
from sar2opt_jax.types import Array, Batch, Generator, Metrics, Networks, Params


class Pix2PixState(NamedTuple):
    """The generator and the discriminator of pairs."""

    step: Array
    generator: Network
    discriminator: Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pix2Pix:
    """arg min_G max_D L_cGAN(G, D) + lambda L_L1(G) (arXiv 1611.07004, equation 4).

    The paper updates D, then G against the new D. Here both gradients are taken at one state, as in all stages: the
    loop averages them over devices and micro-batches once. No noise goes into G: the paper's is dropout, which it finds
    to matter little, and this U-Net has none.

    Attributes:
      generator: ``generator(params, sar)``, images [batch, height, width, 3] in [-1, 1].
      init_params: makes its parameters from a key.
      discriminator: of images with ``concat(sar, image)`` for channels.
      init_discriminator: makes its parameters from a key.
      optimizer: of either network, applied to the averaged gradients.
      loss: one of ``losses.ADVERSARIAL``; ``non_saturating`` is the paper's.
      l1_weight: lambda.
      adversarial_weight: of L_cGAN in what G descends; 1 in the paper, 0 leaves a regression.
    """

    generator: Generator
    init_params: Callable[[Array], Params]
    discriminator: PatchDiscriminator
    init_discriminator: Callable[[Array], Params]
    optimizer: optax.GradientTransformation
    loss: str = "non_saturating"
    l1_weight: float = 100.0
    adversarial_weight: float = 1.0

    def init(self, rng: Array, export: Networks | None = None) -> Pix2PixState:
        """Fresh parameters, whatever there is to start from: a baseline owes nothing to the other stages."""
        del export
        generator_rng, discriminator_rng = jax.random.split(rng)
        return Pix2PixState(
            step=jnp.int32(0),
            generator=Network.create(self.init_params(generator_rng), self.optimizer),
            discriminator=Network.create(self.init_discriminator(discriminator_rng), self.optimizer),
        )

    def gradients(self, state: Pix2PixState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of both networks over one share of a batch, at one state."""
        del rng  # Nothing is drawn.
        # Generator: at the discriminator as it is.
        differentiate = jax.grad(self.generator_loss, has_aux=True)
        generator, (fake, metrics) = differentiate(state.generator.params, state.discriminator.params, batch)
        # Discriminator: on the very images of the generator's loss.
        real, fake = (jnp.concatenate([batch.sar, image], axis=-1) for image in (batch.optical, fake))
        differentiate = jax.grad(patches.discriminator_loss, has_aux=True)
        discriminator, more_metrics = differentiate(
            state.discriminator.params, real, fake, discriminator=self.discriminator, loss=self.loss
        )
        return {"generator": generator, "discriminator": discriminator}, metrics | more_metrics

    def generator_loss(
        self, generator: Params, discriminator: Params, batch: Batch
    ) -> tuple[Array, tuple[Array, Metrics]]:
        """w L_cGAN + lambda L_L1, a scalar; and the generated images with the metrics."""
        fake = self.generator(generator, batch.sar)
        logits = self.discriminator(discriminator, jnp.concatenate([batch.sar, fake], axis=-1))
        adversarial = patches.generator_loss(logits, loss=self.loss)
        l1 = jnp.mean(losses.absolute_error(fake, batch.optical))
        metrics = {"loss/generator": adversarial, "loss/l1": l1}
        return self.adversarial_weight * adversarial + self.l1_weight * l1, (fake, metrics)

    def update(self, state: Pix2PixState, grads: dict[str, Params]) -> Pix2PixState:
        """One optimiser step of both networks."""
        return Pix2PixState(
            step=state.step + 1,
            generator=state.generator.update(grads["generator"], self.optimizer),
            discriminator=state.discriminator.update(grads["discriminator"], self.optimizer),
        )

    def export(self, state: Pix2PixState) -> Networks:
        """The generator, and the discriminator."""
        return {"unet": state.generator.params, "discriminator": state.discriminator.params}

    def remark(self, metrics: Mapping[str, float]) -> str | None:
        """Says so where the discriminator ended as a coin, unless this is a regression."""
        if not self.adversarial_weight:
            return None
        return verdicts.remark(metrics, way_out="raise pix2pix.optimizer.learning_rate, or train longer.")
