"""What cannot work in a config, alone or together, before anything is written."""

import jax

from sar2opt_jax.description import DTYPES
from sar2opt_jax.diffusion import losses, times
from sar2opt_jax.engine import parallel
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.patchgan import PatchGAN
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.run.evaluation import check_evaluation
from sar2opt_jax.run.optimizers import DECAYS, Config
from sar2opt_jax.run.stages import (
    DISCRIMINATORS,
    STAGES,
    adversarial_patchgan,
    check_order,
    input_gain,
    patchgan,
    schedule,
    trunk_discriminator,
    unet,
)
from sar2opt_jax.run.train import TrainSettings
from sar2opt_jax.stages import adversarial
from sar2opt_jax.translator import KINDS
from sar2opt_jax.types import check_known

BASELINES = tuple(name for name, entry in STAGES.items() if entry.kind == "generator")


def check(config: Config) -> None:
    """Raises ValueError, with what was found and what is expected, for a config that cannot run."""
    check_order(config.stages, teacher_is_given=config.teacher.export is not None)
    for group in {entry.groups[0]: None for entry in STAGES.values()}:
        check_known(f"{group}.dtype", config[group].dtype, DTYPES)
        check_known(f"{group}.optimizer.decay", config[group].optimizer.decay, DECAYS)
        if config[group].num_steps < 1:
            raise ValueError(f"{group}.num_steps must be at least 1; got {config[group].num_steps}.")
    for group in ("adversarial", *BASELINES):
        check_known(f"{group}.loss", config[group].loss, losses.ADVERSARIAL)
    _check_adversarial(config.adversarial)
    _check_distill(config.distill)
    if not 0 <= config.data.radar_jitter < 1:
        raise ValueError(f"data.radar_jitter must be at least 0 and below 1; got {config.data.radar_jitter}.")
    _check_train(config)
    for name in config.evaluation.teacher_samplers:
        check_known("evaluation.teacher_samplers", name, KINDS["teacher"].usual_steps)
    check_evaluation(config.evaluation)
    _check_schedule(config)
    _check_sizes(config)


def check_without_validation(config: Config) -> None:
    """Raises ValueError where a metric of a validation is asked for, and there is no validation split."""
    if (metric := config.train.keep_best_metric or "").startswith("validation/"):
        raise ValueError(
            f"keep_best_metric is {metric!r}, but {config.data.name} has no validation split. Name a training loss."
        )


def _check_adversarial(settings: Config) -> None:
    check_known("adversarial.real", settings.real, adversarial.REAL)
    check_known("adversarial.discriminator", settings.discriminator, DISCRIMINATORS)
    check_known("adversarial.judged_at", settings.judged_at, adversarial.JUDGED_AT)
    check_known("adversarial.time_weight", settings.time_weight, adversarial.TIME_WEIGHTS)
    check_known("adversarial.optimizer.decay", settings.optimizer.decay, DECAYS)


def _check_distill(settings: Config) -> None:
    check_known("distill.loss", settings.loss, losses.CONSISTENCY)
    check_known("distill.reconstruction_loss", settings.reconstruction_loss, losses.RECONSTRUCTION)
    if not 0 <= settings.sampling_times_share <= 1:
        raise ValueError(f"distill.sampling_times_share must be 0 to 1; got {settings.sampling_times_share}.")
    if settings.reconstruction_weight < 0:
        raise ValueError(f"distill.reconstruction_weight must be at least 0; got {settings.reconstruction_weight}.")


def _check_train(config: Config) -> None:
    retention = TrainSettings(
        augment=config.data.augment, radar_jitter=config.data.radar_jitter, **config.train
    ).retention
    keep, save = retention.every_steps, config.train.save_every_steps
    if keep is not None and keep % max(save, 1):
        raise ValueError(f"keep_every_steps ({keep}) must be a multiple of save_every_steps ({save}).")
    check_known("train.nonfinite", config.train.nonfinite, ("stop", "skip"))
    check_known("train.mapping", config.train.mapping, ("auto", *parallel.MAPPINGS))
    parallel.check_batch_size(
        config.train.batch_size, num_devices=jax.device_count(), micro_batches=config.train.micro_batches
    )


def _check_schedule(config: Config) -> None:
    noise_schedule = schedule(config).make()
    noise_schedule.check_prediction(config.model.prediction)
    input_gain(config)  # Raises for an unknown one.
    times.solver_grid(noise_schedule.num_steps, config.distill.solver_steps)
    counts = tuple(config.distill.sampling_steps)
    times.visits(noise_schedule.num_steps, counts, solver_steps=config.distill.solver_steps)
    for steps in config.evaluation.student_steps:
        times.consistency(noise_schedule.num_steps, steps, solver_steps=config.distill.solver_steps)
    for steps in (*config.evaluation.teacher_steps, config.evaluation.original_steps, config.evaluation.figure_steps):
        times.trailing(noise_schedule.num_steps, steps)


def _check_sizes(config: Config) -> None:
    """Of all networks that are trained; making them checks the settings of all others."""
    size = config.data.image_size
    networks: list[UNet | Discriminator | PatchGAN] = [unet(config).make()]
    for name in BASELINES:
        discriminator = patchgan(config[name], dtype=config[name].dtype)
        if name in config.stages:
            networks.append(discriminator)
    of_patches = config.adversarial.discriminator == "patchgan"
    discriminator = adversarial_patchgan(config) if of_patches else trunk_discriminator(config)
    if "adversarial" in config.stages:
        networks.append(discriminator)
    for network in networks:
        network.check_image_size(size, size)
