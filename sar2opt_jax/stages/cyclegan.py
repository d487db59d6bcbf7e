"""A baseline: translators there and back that learn from two heaps of images, never from a pair (arXiv 1703.10593)."""

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


class CycleGANState(NamedTuple):
    """Two generators, and a discriminator of the images that each makes."""

    step: Array
    generator: Network  # G, from sar to optical
    backward: Network  # F, from optical to sar
    discriminator: Network  # of optical images
    sar_discriminator: Network


NETWORKS: tuple[str, ...] = ("generator", "backward", "discriminator", "sar_discriminator")
"""Those of a state and its gradients."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleGAN:
    """L_GAN(G, D_optical) + L_GAN(F, D_sar) + lambda L_cyc(G, F) (arXiv 1703.10593, equation 3).

    L_cyc = |F(G(sar)) - sar| + |G(F(optical)) - optical|, in the mean. Every term is of a radar or of an optical image
    alone, so that the batches of pairs which all stages are given tell nothing about what belongs together.

    The paper alternates between generators and discriminators, and shows the latter a pool of images of earlier steps.
    Here all gradients are taken at one state, as in all stages, and on the images of its generators: a pool is no part
    of a small state. The identity loss of section 5.2, |G(optical) - optical|, needs as many channels on both sides and
    is left out, as it is in the objective above.

    Attributes:
      generator: G, ``generator(params, sar)``, optical images in [-1, 1].
      backward: F, ``backward(params, optical)``, radar images in [-1, 1].
      init_params: makes G's parameters from a key.
      init_backward: F's.
      discriminator: of optical and of radar images alike.
      init_discriminator: makes the optical one's parameters from a key.
      init_sar_discriminator: the other's.
      optimizer: of every network, applied to the averaged gradients.
      loss: one of ``losses.ADVERSARIAL``; ``least_squares`` is the paper's.
      cycle_weight: lambda.
    """

    generator: Generator
    backward: Generator
    init_params: Callable[[Array], Params]
    init_backward: Callable[[Array], Params]
    discriminator: PatchDiscriminator
    init_discriminator: Callable[[Array], Params]
    init_sar_discriminator: Callable[[Array], Params]
    optimizer: optax.GradientTransformation
    loss: str = "least_squares"
    cycle_weight: float = 10.0

    def init(self, rng: Array, export: Networks | None = None) -> CycleGANState:
        """Fresh parameters, whatever there is to start from: a baseline owes nothing to the other stages."""
        del export
        makers = (self.init_params, self.init_backward, self.init_discriminator, self.init_sar_discriminator)
        rngs = jax.random.split(rng, len(makers))
        networks = (Network.create(make(key), self.optimizer) for make, key in zip(makers, rngs, strict=True))
        return CycleGANState(jnp.int32(0), *networks)

    def gradients(self, state: CycleGANState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of all four networks over one share of a batch, at one state."""
        del rng  # Nothing is drawn.
        discriminators = state.discriminator.params, state.sar_discriminator.params
        # Generators, both at once: the cycles go through both.
        differentiate = jax.grad(self.generator_loss, argnums=(0, 1), has_aux=True)
        (generator, backward), ((optical, sar), metrics) = differentiate(
            state.generator.params, state.backward.params, *discriminators, batch
        )
        # Discriminators: on the very images of the generators' loss.
        differentiate = jax.grad(patches.discriminator_loss, has_aux=True)
        settings = {"discriminator": self.discriminator, "loss": self.loss}
        discriminator, optical_metrics = differentiate(discriminators[0], batch.optical, optical, **settings)
        sar_discriminator, sar_metrics = differentiate(discriminators[1], batch.sar, sar, name="sar_", **settings)
        grads = dict(zip(NETWORKS, (generator, backward, discriminator, sar_discriminator), strict=True))
        return grads, metrics | optical_metrics | sar_metrics

    def generator_loss(
        self, generator: Params, backward: Params, discriminator: Params, sar_discriminator: Params, batch: Batch
    ) -> tuple[Array, tuple[tuple[Array, Array], Metrics]]:
        """The whole objective as the generators descend it, a scalar; and G(sar), F(optical) with the metrics."""

        optical, sar = self.generator(generator, batch.sar), self.backward(backward, batch.optical)
        metrics = {
            "loss/generator": patches.generator_loss(self.discriminator(discriminator, optical), loss=self.loss),
            "loss/backward": patches.generator_loss(self.discriminator(sar_discriminator, sar), loss=self.loss),
            "loss/sar_cycle": jnp.mean(losses.absolute_error(self.backward(backward, optical), batch.sar)),
            "loss/optical_cycle": jnp.mean(losses.absolute_error(self.generator(generator, sar), batch.optical)),
        }
        adversarial = metrics["loss/generator"] + metrics["loss/backward"]
        cycle = metrics["loss/sar_cycle"] + metrics["loss/optical_cycle"]
        return adversarial + self.cycle_weight * cycle, ((optical, sar), metrics)

    def update(self, state: CycleGANState, grads: dict[str, Params]) -> CycleGANState:
        """One optimiser step of all networks."""
        updated = {name: getattr(state, name).update(grads[name], self.optimizer) for name in NETWORKS}
        return CycleGANState(step=state.step + 1, **updated)

    def export(self, state: CycleGANState) -> Networks:
        """The generator from radar to optical, the way back, and the discriminator of optical images."""
        return {
            "unet": state.generator.params,
            "backward": state.backward.params,
            "discriminator": state.discriminator.params,
        }

    def remark(self, metrics: Mapping[str, float]) -> str | None:
        """Says which discriminators ended as a coin."""
        way_out = "raise cyclegan.optimizer.learning_rate, or train longer."
        found = (verdicts.remark(metrics, way_out=way_out, name=name) for name in ("", "sar_"))
        return " ".join(remark for remark in found if remark) or None
