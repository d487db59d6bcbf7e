"""Our side of a comparison of a distillation step, and what both sides are given. Needs neither torch nor diffusers."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from our_networks import DISCRIMINATOR, UNET, filled

from sar2opt_jax.diffusion.schedule import PREDICTIONS, make_schedule
from sar2opt_jax.stages.adversarial import REAL, Adversarial, AdversarialState
from sar2opt_jax.stages.network import Network
from sar2opt_jax.types import Array, Batch, Metrics, Model, Params

NETWORKS = ("teacher", "student", "target", "discriminator")
SOLVER_INDICES = (0, 1, 25, 49)  # The step to s = 0, the one above it, the middle, the noisiest.


class Variant(NamedTuple):
    """What of a step can be chosen."""

    prediction: str
    adversarial_loss: str
    real: str
    loss: str = "pseudo_huber"
    adversarial_weight: float = 0.7

    @property
    def name(self) -> str:
        """For test ids and in the file of references."""
        return "-".join(map(str, self))


LOSSES = ("non_saturating", "hinge", "wasserstein")  # Those of the release; least squares are the baselines'.
VARIANTS = [Variant(*choice) for choice in itertools.product(PREDICTIONS, LOSSES, REAL)]
VARIANTS.append(Variant("v", "non_saturating", "optical", loss="l2"))


def pixelwise(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
    """A network that is two dense layers on every pixel, and needs no time to compile."""
    hidden = jnp.tanh(jnp.concatenate([x_t, sar], axis=-1) @ params["first"])
    return hidden @ params["second"] + jnp.einsum("b,c->bc", t / 1000, params["time"])[:, None, None, :]


def pixelwise_discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
    """A discriminator of the same kind, [batch]."""
    hidden = jnp.tanh(jnp.concatenate([x_t, image, sar], axis=-1) @ params["first"])
    return (hidden @ params["second"]).mean(axis=(1, 2, 3)) + jnp.stack([t, s], axis=-1) / 1000 @ params["time"]


def pixelwise_parameters() -> dict[str, Params]:
    """Of teacher, student, target and discriminator, all different, as in the middle of a run."""
    generator = np.random.default_rng(6)

    def draw(name: str) -> Params:
        inputs, outputs, times = (7, 1, 2) if name == "discriminator" else (4, 3, 3)
        shapes = {"first": (inputs, 8), "second": (8, outputs), "time": (times,)}
        return {name: generator.normal(size=shape).astype(np.float32) / 2 for name, shape in shapes.items()}

    return {name: draw(name) for name in NETWORKS}


def unet_parameters() -> dict[str, Params]:
    """The same for ``UNET`` and its discriminator."""
    return {
        name: filled(DISCRIMINATOR if name == "discriminator" else UNET, seed=seed)
        for seed, name in enumerate(NETWORKS)
    }


def batch() -> Batch:
    """Images of 8 x 12."""
    generator = np.random.default_rng(4)
    count = len(SOLVER_INDICES)
    optical, sar = (generator.uniform(-1, 1, (count, 8, 12, channels)).astype(np.float32) for channels in (3, 1))
    return Batch(jnp.asarray(optical), jnp.asarray(sar), jnp.arange(count, dtype=jnp.int32))


def draws() -> tuple[np.ndarray, np.ndarray]:
    """What a step draws: solver indices and noise."""
    eps = np.random.default_rng(5).standard_normal((len(SOLVER_INDICES), 8, 12, 3), np.float32)
    return np.array(SOLVER_INDICES, np.int32), eps


class WithGivenDraws(Adversarial):
    """The stage under test, but for its random numbers."""

    def draw(self, rng: Array, step: Array, batch: Batch) -> tuple[Array, Array]:
        """Those of ``draws``."""
        i, eps = draws()
        return jnp.asarray(i), jnp.asarray(eps)


def stage(variant: Variant, *, model: Model = pixelwise, discriminator: Any = pixelwise_discriminator) -> Adversarial:
    """The stage under test."""
    return WithGivenDraws(
        model=model,
        optimizer=optax.identity(),
        schedule=make_schedule("scaled_linear"),
        discriminator=discriminator,
        init_discriminator=lambda rng, teacher: {},
        **variant._asdict(),
    )


def unet_stage(variant: Variant) -> Adversarial:
    """The same with ``UNET`` and its discriminator."""
    return stage(
        variant,
        model=lambda params, *inputs: UNET.apply({"params": params}, *inputs),
        discriminator=lambda params, *inputs: DISCRIMINATOR.apply({"params": params}, *inputs),
    )


def gradients(adversarial: Adversarial, params: dict[str, Params]) -> tuple[dict, Metrics]:
    """Of the stage, on ``batch``, for a state that holds ``params``."""
    params = jax.tree.map(jnp.asarray, params)
    student, discriminator = (Network(params[name], ()) for name in ("student", "discriminator"))
    state = AdversarialState(jnp.int32(0), student, params["target"], params["teacher"], discriminator)
    return adversarial.gradients(state, batch(), jax.random.key(0))
