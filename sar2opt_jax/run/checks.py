"""What cannot work in a config, alone or together, before anything is written."""

import contextlib
import functools
from collections.abc import Iterator

import jax

from sar2opt_jax.description import DTYPES
from sar2opt_jax.diffusion import losses, times
from sar2opt_jax.engine import parallel, trackers
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.patchgan import PatchGAN
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.run.evaluation import check_evaluation
from sar2opt_jax.run.optimizers import DECAYS, Config
from sar2opt_jax.run.ranges import check_ranges
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
from sar2opt_jax.types import check_known

BASELINES = tuple(name for name, entry in STAGES.items() if entry.kind == "generator")


def check(config: Config) -> None:
    """Raises ValueError, with what was found and what is expected, for a config that cannot run."""
    check_order(config.stages, teacher_is_given=config.teacher.export is not None)
    check_ranges(config)
    for group in {entry.groups[0]: None for entry in STAGES.values()}:
        check_known(f"{group}.dtype", config[group].dtype, DTYPES)
        check_known(f"{group}.optimizer.decay", config[group].optimizer.decay, DECAYS)
    for group in ("adversarial", *BASELINES):
        check_known(f"{group}.loss", config[group].loss, losses.ADVERSARIAL)
    _check_adversarial(config.adversarial)
    _check_distill(config.distill)
    if config.pix2pix.adversarial_weight == 0 and config.pix2pix.l1_weight == 0:
        raise ValueError("pix2pix.adversarial_weight and pix2pix.l1_weight are both 0: nothing would be trained.")
    _check_train(config)
    check_evaluation(config)
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


def _check_train(config: Config) -> None:
    retention = TrainSettings(
        augment=config.data.augment, radar_jitter=config.data.radar_jitter, **config.train
    ).retention
    keep, save = retention.every_steps, config.train.save_every_steps
    if keep is not None and keep % save:
        raise ValueError(f"keep_every_steps ({keep}) must be a multiple of save_every_steps ({save}).")
    check_known("train.nonfinite", config.train.nonfinite, ("stop", "skip"))
    trackers.check(tuple(config.train.trackers))
    check_known("train.mapping", config.train.mapping, ("auto", *parallel.MAPPINGS))
    parallel.check_batch_size(
        config.train.batch_size, num_devices=jax.device_count(), micro_batches=config.train.micro_batches
    )


def _check_schedule(config: Config) -> None:
    noise_schedule = schedule(config).make()
    noise_schedule.check_prediction(config.model.prediction)
    input_gain(config)  # Raises for an unknown one.
    num_steps, distill, evaluation = noise_schedule.num_steps, config.distill, config.evaluation
    student = functools.partial(times.consistency, solver_steps=distill.solver_steps)
    with _of("distill.solver_steps"):
        times.solver_grid(num_steps, distill.solver_steps)
    with _of("distill.sampling_steps"):
        times.visits(num_steps, tuple(distill.sampling_steps), solver_steps=distill.solver_steps)
    for name, grid, counts in (
        ("teacher.preview_steps", times.trailing, (config.teacher.preview_steps,)),
        ("distill.preview_steps", student, (distill.preview_steps,)),
        ("evaluation.student_steps", student, evaluation.student_steps),
        ("evaluation.teacher_steps", times.trailing, evaluation.teacher_steps),
        ("evaluation.original_steps", times.trailing, (evaluation.original_steps,)),
        ("evaluation.figure_steps", times.trailing, (evaluation.figure_steps,)),
    ):
        for steps in counts:
            with _of(name):
                grid(num_steps, steps)


@contextlib.contextmanager
def _of(name: str) -> Iterator[None]:
    """Puts the name of a value before what is said of it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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
