"""From a config to a stage: which networks, which optimiser, which settings."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from sar2opt_jax.description import DTYPES, ScheduleSettings, UNetSettings, as_model
from sar2opt_jax.diffusion.input_gain import InputGain, make_input_gain, with_input_gain
from sar2opt_jax.models.discriminator import Discriminator, from_unet
from sar2opt_jax.models.init import fresh_params, init_params
from sar2opt_jax.models.patchgan import PatchGAN
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.run.optimizers import Config, optimizer
from sar2opt_jax.stages.adversarial import Adversarial
from sar2opt_jax.stages.cyclegan import CycleGAN
from sar2opt_jax.stages.distill import Distill
from sar2opt_jax.stages.patches import PatchDiscriminator
from sar2opt_jax.stages.pix2pix import Pix2Pix
from sar2opt_jax.stages.teacher import Teacher
from sar2opt_jax.translator import generate
from sar2opt_jax.types import Array, Model, Params, Stage, look_up


def _teacher(config: Config, sar_channels: int) -> Teacher:
    settings = config.teacher
    model, init_network = _network(config, settings.dtype, sar_channels=sar_channels)
    return Teacher(
        model=model,
        init_params=init_network,
        optimizer=optimizer(settings.optimizer, num_steps=settings.num_steps),
        schedule=schedule(config).make(),
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


AdversarialDiscriminator = tuple[Callable[..., Array], Callable[[Array, Params], Params]]
"""A discriminator of the adversarial stage, and what makes its parameters from a key and the teacher's."""


def _encoder_discriminator(config: Config, sar_channels: int) -> AdversarialDiscriminator:
    """The teacher's encoder; it is shown the noisy image as the teacher is."""
    module, gain = trunk_discriminator(config), input_gain(config)

    def discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
        return cast(Array, module.apply({"params": params}, gain(x_t, t), t, image, s, sar))

    def init(rng: Array, teacher: Params) -> Params:
        fresh = init_params(module, rng, image_size=config.data.image_size, sar_channels=sar_channels)
        return from_unet(teacher, fresh)

    return discriminator, init


def _patches_discriminator(config: Config, sar_channels: int) -> AdversarialDiscriminator:
    """The baselines' discriminator, from scratch, of radar and judged image and, where asked, the noisy one."""
    shows_noisy, gain = config.adversarial.shows_noisy, input_gain(config)
    channels = sar_channels + (6 if shows_noisy else 3)
    patches, init = _patch_discriminator(config, adversarial_patchgan(config), channels=channels)

    def discriminator(params: Params, x_t: Array, t: Array, image: Array, s: Array, sar: Array) -> Array:
        del s  # It is told of no time; how noisy x_t is can be seen.
        shown = (sar, image, gain(x_t, t)) if shows_noisy else (sar, image)
        return patches(params, jnp.concatenate(shown, axis=-1))

    return discriminator, lambda rng, teacher: init(rng)


DISCRIMINATORS: dict[str, Callable[[Config, int], AdversarialDiscriminator]] = {
    "unet": _encoder_discriminator,
    "unet_patches": _encoder_discriminator,
    "patchgan": _patches_discriminator,
}
"""Of the adversarial stage, by ``adversarial.discriminator``."""


def trunk_discriminator(config: Config) -> Discriminator:
    """The discriminator made of the teacher's encoder, with the head that the config asks for."""
    patches = config.adversarial.discriminator == "unet_patches"
    return Discriminator(unet=unet(config).make(dtype=config.distill.dtype, remat=config.train.remat), patches=patches)


def adversarial_patchgan(config: Config) -> PatchGAN:
    """The patch discriminator of the adversarial stage."""
    return patchgan(config.adversarial, dtype=config.distill.dtype)


def _distill_settings(config: Config) -> dict[str, Any]:
    settings = config.distill
    return {
        "model": _model(config, unet(config).make(dtype=settings.dtype, remat=config.train.remat)),
        "optimizer": optimizer(settings.optimizer, num_steps=settings.num_steps),
        "schedule": schedule(config).make(),
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
        "own_output_share": settings.own_output_share,
        "own_output_steps": settings.own_output_steps,
    }


def _pix2pix(config: Config, sar_channels: int) -> Pix2Pix:
    settings = config.pix2pix
    model, init_generator = _network(config, settings.dtype, sar_channels=sar_channels)
    module = patchgan(settings, dtype=settings.dtype)
    discriminator, init_discriminator = _patch_discriminator(config, module, channels=sar_channels + 3)
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
    module = patchgan(settings, dtype=settings.dtype)
    discriminator, init_discriminator = _patch_discriminator(config, module, channels=3)
    _, init_sar_discriminator = _patch_discriminator(config, module, channels=sar_channels)
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
    network = unet(config).make(dtype=dtype, out_channels=out_channels, remat=config.train.remat)
    size = config.data.image_size
    init = functools.partial(init_params, network, image_size=size, sar_channels=sar_channels)
    return _model(config, network), init


def _model(config: Config, network: UNet) -> Model:
    """A network of a config as a pure function, with its input gain."""
    return with_input_gain(as_model(network), input_gain(config))


def _patch_discriminator(
    config: Config, module: PatchGAN, *, channels: int
) -> tuple[PatchDiscriminator, Callable[[Array], Params]]:
    """A patch discriminator as a function, and what makes its parameters."""
    size = config.data.image_size
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)

    def discriminator(params: Params, images: Array) -> Array:
        return cast(Array, module.apply({"params": params}, images))

    return discriminator, lambda rng: fresh_params(module, rng, images)


def unet(config: Config) -> UNetSettings:
    """The network of the group ``model`` of a config."""
    model = config.model
    return UNetSettings(
        widths=tuple(model.widths),
        blocks_per_level=model.blocks_per_level,
        attention=tuple(model.attention),
        head_width=model.head_width,
        norm_groups=model.norm_groups,
    )


def schedule(config: Config) -> ScheduleSettings:
    """The group ``schedule`` of a config."""
    return ScheduleSettings(**plain(config.schedule))


def input_gain(config: Config) -> InputGain:
    """What the network is shown in place of x_t. Raises ValueError for an unknown gain."""
    return make_input_gain(config.model.input_gain, schedule(config).make())


def patchgan(settings: Config, *, dtype: str) -> PatchGAN:
    """The patch discriminator of a group of a config."""
    return PatchGAN(widths=tuple(settings.discriminator_widths), dtype=DTYPES[dtype])


class Entry(NamedTuple):
    """A stage, as a config knows it.

    Attributes:
      make: from the config and the number of SAR channels.
      groups: of the config that shape it; the first has its ``num_steps``, ``dtype`` and ``optimizer``.
      kind: of what it exports, see ``translator.KINDS``.
      rank: see ``Description.rank``.
      starts_from: the kind of export that it is started from; None for fresh parameters.
    """

    make: Callable[[Config, int], Stage]
    groups: tuple[str, ...]
    kind: str
    rank: int
    starts_from: str | None = None


STAGES = {
    "teacher": Entry(_teacher, ("teacher",), "teacher", rank=2),
    "distill": Entry(_distill, ("distill",), "student", rank=3, starts_from="teacher"),
    "adversarial": Entry(_adversarial, ("distill", "adversarial"), "student", rank=4, starts_from="teacher"),
    "pix2pix": Entry(_pix2pix, ("pix2pix",), "generator", rank=1),
    "cyclegan": Entry(_cyclegan, ("cyclegan",), "generator", rank=0),
}
"""Stages by name. The position of a stage is part of its seed: append."""

NOT_SHAPING = ("num_steps", "preview_steps", "export")
"""Settings of a stage's groups that do not shape what it learns in a step."""


def shaping_settings(config: Config, name: str) -> dict[str, Any]:
    """The settings that shape an export of stage ``name``, besides its network and its data, as plain JSON."""
    groups = {group: plain(config[group]) for group in STAGES[name].groups}
    for values in groups.values():
        for key in NOT_SHAPING:
            values.pop(key, None)
    data = plain(config.data)
    for key in ("name", "data_dir", "image_size"):
        del data[key]
    return {"seed": config.seed, "train": {"batch_size": config.train.batch_size}, "data": data, **groups}


def plain(config: Config) -> dict[str, Any]:
    """A config, or a group of one, as JSON reads it back: tuples are lists."""
    return json.loads(config.to_json())


def check_order(stages: Sequence[str], *, teacher_is_given: bool) -> None:
    """Raises ValueError for stages that cannot be trained one after the other, each from the export before it."""
    if not stages:
        raise ValueError(f"stages is empty; give at least one of {', '.join(STAGES)}.")
    before: str | None = None
    for position, name in enumerate(stages):
        entry = look_up("stage", name, STAGES)
        if name == "teacher" and position == 0 and teacher_is_given:
            before = entry.kind
            continue
        available = "teacher" if position == 0 and teacher_is_given else before
        if entry.starts_from is None and position > 0:
            raise ValueError(f"stages = {list(stages)}: stage {name} starts from fresh parameters and must come first.")
        if entry.starts_from is not None and available != entry.starts_from:
            found = (
                f"stage {stages[position - 1]}, a {before}, comes before it" if before else "nothing comes before it"
            )
            raise ValueError(
                f"stages = {list(stages)}: stage {name} starts from a {entry.starts_from}, but {found}. Put stage "
                f"{entry.starts_from} before it, or name an export in {entry.starts_from}.export."
            )
        before = entry.kind
