"""Stage 1: the conditional diffusion model that is distilled later."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sar2opt_jax.diffusion import losses
from sar2opt_jax.diffusion.schedule import Schedule
from sar2opt_jax.stages import network
from sar2opt_jax.stages.network import Network
from sar2opt_jax.types import Array, Batch, Metrics, Model, Networks, Params


class TeacherState(NamedTuple):
    """A network and its moving average, which is what is exported."""

    step: Array
    unet: Network
    ema: Params


class Draws(NamedTuple):
    """All randomness of one step."""

    t: Array  # [batch] int32, uniform in 0 .. T - 1
    eps: Array  # [batch, height, width, 3]
    perturbation: Array  # like eps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher:
    """Regression of the noise (or of v or x_0) at a uniform time (arXiv 2006.11239, equation 14).

    Attributes:
      model: the U-Net.
      init_params: makes its parameters from a key.
      optimizer: applied to the averaged gradients.
      schedule: shared by training, distillation and sampling.
      prediction: ``eps``, ``v`` or ``x_0``.
      min_snr_gamma: weigh the loss by ``losses.min_snr_weight``; None weighs all times alike.
      noise_offset: standard deviation of a constant added to the noise of each channel, so that the network
        learns to change an image's mean.
      input_perturbation: the network sees eps + this * eps', its target stays eps (arXiv 2301.11706).
      max_ema_decay: the moving average decays by min(max_ema_decay, (1 + n) / (10 + n)) at step n.
    """

    model: Model
    init_params: Callable[[Array], Params]
    optimizer: optax.GradientTransformation
    schedule: Schedule
    prediction: str
    min_snr_gamma: float | None = None
    noise_offset: float = 0.0
    input_perturbation: float = 0.0
    max_ema_decay: float = 0.9999

    def init(self, rng: Array, export: Networks | None = None) -> TeacherState:
        """Fresh parameters, or those of ``export`` to go on from."""
        params = self.init_params(rng) if export is None else network.copy(export["unet"])
        unet = Network.create(params, self.optimizer)
        return TeacherState(step=jnp.int32(0), unet=unet, ema=network.copy(params))

    def draw(self, rng: Array, step: Array, batch: Batch) -> Draws:
        """The times and noise of a step; the same for any spread of the batch over devices."""
        shape = batch.optical.shape[1:]

        def draw(rng: Array) -> Draws:
            t_rng, eps_rng, offset_rng, perturbation_rng = jax.random.split(rng, 4)
            offset = self.noise_offset * jax.random.normal(offset_rng, (1, 1, shape[-1]), jnp.float32)
            return Draws(
                t=jax.random.randint(t_rng, (), 0, self.schedule.num_steps, jnp.int32),
                eps=jax.random.normal(eps_rng, shape, jnp.float32) + offset,
                perturbation=self.input_perturbation * jax.random.normal(perturbation_rng, shape, jnp.float32),
            )

        return network.per_example(draw, rng, step, batch.index)

    def loss(self, params: Params, batch: Batch, draws: Draws) -> Array:
        """Mean over the batch of the weighted squared error, a scalar."""
        t, eps = draws.t, draws.eps
        x_t = self.schedule.add_noise(batch.optical, eps + draws.perturbation, t)
        output = self.model(params, x_t, t, batch.sar)
        target = self.schedule.target(batch.optical, eps, t, prediction=self.prediction)
        loss = losses.squared_error(output, target)
        if self.min_snr_gamma is not None:
            snr = self.schedule.snr(t)
            loss *= losses.min_snr_weight(snr, gamma=self.min_snr_gamma, prediction=self.prediction)
        return jnp.mean(loss)

    def gradients(self, state: TeacherState, batch: Batch, rng: Array) -> tuple[dict[str, Params], Metrics]:
        """Gradients of the U-Net over one share of a batch."""
        draws = self.draw(rng, state.step, batch)
        loss, grads = jax.value_and_grad(self.loss)(state.unet.params, batch, draws)
        return {"unet": grads}, {"loss/teacher": loss}

    def update(self, state: TeacherState, grads: dict[str, Params]) -> TeacherState:
        """One optimiser step and one step of the moving average."""
        unet = state.unet.update(grads["unet"], self.optimizer)
        n = state.step.astype(jnp.float32)
        decay = jnp.minimum(self.max_ema_decay, (1 + n) / (10 + n))
        ema = network.moving_average(state.ema, unet.params, decay)
        return TeacherState(step=state.step + 1, unet=unet, ema=ema)

    def export(self, state: TeacherState) -> Networks:
        """The moving average."""
        return {"unet": state.ema}
