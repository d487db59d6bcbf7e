"""What cannot work in a config, alone or together, before anything is written."""

import jax

from sar2opt_jax.description import DTYPES
from sar2opt_jax.diffusion import losses, times
from sar2opt_jax.engine import parallel
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.run.evaluation import check_evaluation
from sar2opt_jax.run.optimizers import DECAYS, Config
from sar2opt_jax.run.stages import STAGES, check_order, patchgan, schedule, unet
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
    check_known("distill.loss", config.distill.loss, losses.CONSISTENCY)
    for group in ("adversarial", *BASELINES):
        check_known(f"{group}.loss", config[group].loss, losses.ADVERSARIAL)
    check_known("adversarial.real", config.adversarial.real, adversarial.REAL)
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


def _check_train(config: Config) -> None:
    retention = TrainSettings(augment=config.data.augment, **config.train).retention
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
    times.solver_grid(noise_schedule.num_steps, config.distill.solver_steps)
    for steps in config.evaluation.student_steps:
        times.consistency(noise_schedule.num_steps, steps, solver_steps=config.distill.solver_steps)
    for steps in (*config.evaluation.teacher_steps, config.evaluation.original_steps, config.evaluation.figure_steps):
        times.trailing(noise_schedule.num_steps, steps)


def _check_sizes(config: Config) -> None:
    size, network = config.data.image_size, unet(config).make()
    sized = Discriminator(unet=network) if "adversarial" in config.stages else network
    sized.check_image_size(size, size)
    for name in BASELINES:
        discriminator = patchgan(config[name])
        if name in config.stages:
            discriminator.check_image_size(size, size)
