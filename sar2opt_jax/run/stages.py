"""From a config to a stage: which networks, which optimiser, which settings."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from sar2opt_jax.export import DTYPES, as_model, input_gain, schedule, unet
from sar2opt_jax.models.discriminator import Discriminator, from_unet
from sar2opt_jax.models.init import fresh_params, init_params
from sar2opt_jax.models.patchgan import PatchGAN
from sar2opt_jax.run.optimizers import Config, optimizer
from sar2opt_jax.stages.adversarial import Adversarial
from sar2opt_jax.stages.cyclegan import CycleGAN
from sar2opt_jax.stages.distill import Distill
from sar2opt_jax.stages.patches import PatchDiscriminator
from sar2opt_jax.stages.pix2pix import Pix2Pix
from sar2opt_jax.stages.teacher import Teacher
from sar2opt_jax.translator import generate
from sar2opt_jax.types import Array, Model, Params, Stage


def _teacher(config: Config, sar_channels: int) -> Teacher:
    settings = config.teacher
    model, init_network = _network(config, settings.dtype, sar_channels=sar_channels)
    return Teacher(
        model=model,
        init_params=init_network,
        optimizer=optimizer(settings.optimizer, num_steps=settings.num_steps),
        schedule=schedule(config.schedule),
        prediction=config.model.prediction,
        min_snr_gamma=settings.min_snr_gamma,
        noise_offset=settings.noise_offset,
        input_perturbation=settings.input_perturbation,
        max_ema_decay=settings.max_ema_decay,
    )


def _distill(config: Config, sar_channels: int) -> Distill:
    del sar_channels  # The teacher's parameters know.
    return Distill(**_distill_settings(config))


def _adversarial(config: Config, sar_channels: int) -> Adversarial:
    settings = config.adversarial
    discriminator, init_discriminator = DISCRIMINATORS[settings.discriminator](config, sar_channels)
    return Adversarial(
        **_distill_settings(config),
        discriminator=discriminator,
        init_discriminator=init_discriminator,
        discriminator_optimizer=optimizer(settings.optimizer, num_steps=config.distill.num_steps),
        adversarial_loss=settings.loss,
        adversarial_weight=settings.weight,
        real=settings.real,
        judged_at=settings.judged_at,
        time_weight=settings.time_weight,
    )


Judge = tuple[Callable[..., Array], Callable[[Array, Params], Params]]
"""A discriminator of the adversarial stage, and what makes its parameters from a key and the teacher's."""


def _encoder_judge(config: Config, sar_channels: int) -> Judge:
    """The teacher's encoder; it is shown the noisy image as the teacher is."""
    module, gain = trunk_discriminator(config), input_gain(config)

    def discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
        return cast(Array, module.apply({"params": params}, gain(x_t, t), t, image, s, sar))

    def init(rng: Array, teacher: Params) -> Params:
        fresh = init_params(module, rng, image_size=config.data.image_size, sar_channels=sar_channels)
        return from_unet(teacher, fresh)

    return discriminator, init


def _patch_judge(config: Config, sar_channels: int) -> Judge:
    """The baselines' discriminator, from scratch, of radar and judged image and, where asked, the noisy one."""
    shows_noisy, gain = config.adversarial.shows_noisy, input_gain(config)
    channels = sar_channels + (6 if shows_noisy else 3)
    patches, init = _patch_discriminator(config, critic(config), channels=channels)

    def discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
        del s  # It is told of no time; how noisy x_t is can be seen.
        shown = (sar, image, gain(x_t, t)) if shows_noisy else (sar, image)
        return patches(params, jnp.concatenate(shown, axis=-1))

    return discriminator, lambda rng, teacher: init(rng)


DISCRIMINATORS: dict[str, Callable[[Config, int], Judge]] = {
    "unet": _encoder_judge,
    "unet_patches": _encoder_judge,
    "patchgan": _patch_judge,
}
"""Of the adversarial stage, by ``adversarial.discriminator``."""


def trunk_discriminator(config: Config) -> Discriminator:
    """The discriminator made of the teacher's encoder, with the head that the config asks for."""
    patches = config.adversarial.discriminator == "unet_patches"
    return Discriminator(unet=unet(config.model, dtype=config.distill.dtype), patches=patches)


def critic(config: Config) -> PatchGAN:
    """The patch discriminator of the adversarial stage."""
    return patchgan(config.adversarial, dtype=config.distill.dtype)


def _distill_settings(config: Config) -> dict[str, Any]:
    settings = config.distill
    return {
        "model": as_model(unet(config.model, dtype=settings.dtype), config),
        "optimizer": optimizer(settings.optimizer, num_steps=settings.num_steps),
        "schedule": schedule(config.schedule),
        "prediction": config.model.prediction,
        "solver_steps": settings.solver_steps,
        "loss": settings.loss,
        "huber_c": settings.huber_c,
        "target_decay": settings.target_decay,
        "sigma_data": settings.sigma_data,
        "export_target": settings.export_target,
        "sampling_times_share": settings.sampling_times_share,
        "sampling_steps": tuple(settings.sampling_steps),
        "reconstruction_weight": settings.reconstruction_weight,
        "reconstruction_loss": settings.reconstruction_loss,
    }


def _pix2pix(config: Config, sar_channels: int) -> Pix2Pix:
    settings = config.pix2pix
    model, init_generator = _network(config, settings.dtype, sar_channels=sar_channels)
    judge = patchgan(settings, dtype=settings.dtype)
    discriminator, init_discriminator = _patch_discriminator(config, judge, channels=sar_channels + 3)
    return Pix2Pix(
        generator=functools.partial(generate, model),
        init_params=init_generator,
        discriminator=discriminator,
        init_discriminator=init_discriminator,
        optimizer=optimizer(settings.optimizer, num_steps=settings.num_steps),
        loss=settings.loss,
        l1_weight=settings.l1_weight,
        adversarial_weight=settings.adversarial_weight,
    )


def _cyclegan(config: Config, sar_channels: int) -> CycleGAN:
    settings = config.cyclegan
    model, init_generator = _network(config, settings.dtype, sar_channels=sar_channels)
    # The way back: the optical image is the condition, what comes out has the channels of a radar image.
    backward_model, init_backward = _network(config, settings.dtype, sar_channels=3, out_channels=sar_channels)
    judge = patchgan(settings, dtype=settings.dtype)
    discriminator, init_discriminator = _patch_discriminator(config, judge, channels=3)
    _, init_sar_discriminator = _patch_discriminator(config, judge, channels=sar_channels)
    return CycleGAN(
        generator=functools.partial(generate, model),
        backward=functools.partial(generate, backward_model, channels=sar_channels),
        init_params=init_generator,
        init_backward=init_backward,
        discriminator=discriminator,
        init_discriminator=init_discriminator,
        init_sar_discriminator=init_sar_discriminator,
        optimizer=optimizer(settings.optimizer, num_steps=settings.num_steps),
        loss=settings.loss,
        cycle_weight=settings.cycle_weight,
    )


def _network(
    config: Config, dtype: str, *, sar_channels: int, out_channels: int = 3
) -> tuple[Model, Callable[[Array], Params]]:
    """The U-Net as a function, and what makes its parameters."""
    network = unet(config.model, dtype=dtype, out_channels=out_channels)
    size = config.data.image_size
    init = functools.partial(init_params, network, image_size=size, sar_channels=sar_channels)
    return as_model(network, config), init


def _patch_discriminator(
    config: Config, module: PatchGAN, *, channels: int
) -> tuple[PatchDiscriminator, Callable[[Array], Params]]:
    """A patch discriminator as a function, and what makes its parameters."""
    size = config.data.image_size
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)

    def discriminator(params: Params, images: Array) -> Array:
        return cast(Array, module.apply({"params": params}, images))

    return discriminator, lambda rng: fresh_params(module, rng, images)


def patchgan(settings: Config, *, dtype: str) -> PatchGAN:
    """The patch discriminator of a group of a config."""
    return PatchGAN(widths=tuple(settings.discriminator_widths), dtype=DTYPES[dtype])


class Entry(NamedTuple):
    """A stage, as a config knows it."""

    make: Callable[[Config, int], Stage]  # from the config and the number of SAR channels
    settings: str  # the group with its num_steps, dtype and optimizer
    kind: str  # of what it exports, see translation.KINDS


STAGES = {
    "teacher": Entry(_teacher, "teacher", "teacher"),
    "distill": Entry(_distill, "distill", "student"),
    "adversarial": Entry(_adversarial, "distill", "student"),
    "pix2pix": Entry(_pix2pix, "pix2pix", "generator"),
    "cyclegan": Entry(_cyclegan, "cyclegan", "generator"),
}
"""A stage's place is part of its seed: append."""
