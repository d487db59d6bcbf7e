"""Reads the config and puts the pieces together: the only module that sees a ``ConfigDict``."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax

from sar2opt_jax.data import pipeline
from sar2opt_jax.data.examples import Examples
from sar2opt_jax.diffusion import losses, times
from sar2opt_jax.engine import checkpoint, parallel
from sar2opt_jax.export import DTYPES, input_gain, schedule, translator, unet
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.patchgan import PatchGAN
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.run.compare import Comparison
from sar2opt_jax.run.evaluation import check_evaluation, compared, evaluation_settings
from sar2opt_jax.run.optimizers import DECAYS, Config, learning_rate
from sar2opt_jax.run.stages import DISCRIMINATORS, STAGES, critic, patchgan, trunk_discriminator
from sar2opt_jax.run.train import Experiment, StagePlan, TrainSettings
from sar2opt_jax.stages import adversarial
from sar2opt_jax.translator import KINDS
from sar2opt_jax.types import Array, Export
from tfds_builders.prepare import prepare

logger = logging.getLogger(__name__)

IDENTITY = ("data", "model", "schedule", "stages")
"""The groups of a config that a workdir belongs to; everything else may change when a run is resumed."""

ADDED = {"model": {"input_gain": "none"}, "data": {"radar_jitter": 0.0}}
"""Settings of these groups that came later, with what runs and exports did that do not have them."""

BASELINES = tuple(name for name, entry in STAGES.items() if entry.kind == "generator")


def experiment(config: Config, *, workdir: str | None = None) -> Experiment:
    """Checks a config against itself, the devices, the data and the workdir; writes nothing to the workdir.

    The embedded dataset is prepared on the spot where it is not there yet.

    Args:
      config: from a file in ``configs/``.
      workdir: where the run lives; None is ``runs/NAME-PRESET``.

    Raises:
      ValueError: for values that cannot work, alone or together.
      FileNotFoundError: where a dataset or a teacher's export is not where the config says.
    """
    check(config)
    for what, place in (("workdir", workdir), ("data.data_dir", config.data.data_dir)):
        if place is not None and "://" in place:
            raise ValueError(f"{what} ({place}) must be a folder; mount a bucket, as launch/tpu_vm.sh does.")
    directory = Path(workdir or f"runs/{config.name}-{config.preset}")
    check_workdir(config, directory)
    data = config.data
    if data.name.partition("/")[0] == "simulated":
        prepare(data.name, data_dir=data.data_dir)
    training_data = pipeline.open_split(data.name, split="train", data_dir=data.data_dir)
    evaluation_data = pipeline.open_split(data.name, split=config.evaluation.split, data_dir=data.data_dir)
    for source in (training_data, evaluation_data):
        Examples(source, num_examples=1, image_size=data.image_size)  # Raises where it is too small.
    sar_channels = pipeline.sar_channels(training_data)
    given_teacher = None if config.teacher.export is None else teacher_export(config, sar_channels=sar_channels)
    trained = [name for name in config.stages if name != "teacher" or given_teacher is None]
    plans = tuple(plan(config, name, sar_channels=sar_channels) for name in trained)
    announce(config, directory, plans)
    comparison = Comparison(
        workdir=directory,
        title=f"{config.name}:{config.preset}",
        dataset=data.name,
        config=_plain(config),
        image_size=data.image_size,
        training_data=training_data,
        evaluation_data=evaluation_data,
        places=compared(config, directory),
        settings=evaluation_settings(config),
    )
    comparison.check()
    return Experiment(
        workdir=directory,
        config=_plain(config),
        plans=plans,
        teacher_export=given_teacher,
        image_size=data.image_size,
        training_data=training_data,
        evaluation_data=evaluation_data,
        train_settings=train_settings(config),
        comparison=comparison,
    )


def plan(config: Config, name: str, *, sar_channels: int) -> StagePlan:
    """The stage ``name`` of a checked config, with how long it runs."""
    settings = config[STAGES[name].settings]
    rate = learning_rate(settings.optimizer, num_steps=settings.num_steps)
    about = description(config, name, sar_channels=sar_channels)
    sampled = translator(about, unet(config.model, dtype=settings.dtype))
    return StagePlan(
        name=name,
        objective=STAGES[name].make(config, sar_channels),
        num_steps=settings.num_steps,
        seed=config.seed + list(STAGES).index(name),  # Stages differ in data order and noise.
        learning_rate=lambda step: float(cast(Array, rate(step))),
        description=about,
        translator=sampled,
        preview=sampled.method(num_steps=settings.get("preview_steps")),
    )


def announce(config: Config, workdir: Path, plans: Sequence[StagePlan]) -> None:
    """Says what is about to run, and how to get it at the paper's size."""
    logger.info(
        "%s, preset %s: %s on %s at %d x %d, %d examples a step, on %d %s device(s); workdir %s.",
        config.name,
        config.preset,
        ", then ".join(f"{plan.num_steps} steps of stage {plan.name}" for plan in plans) or "nothing to train",
        config.data.name,
        config.data.image_size,
        config.data.image_size,
        config.train.batch_size,
        jax.device_count(),
        jax.devices()[0].device_kind,
        workdir,
    )
    if config.preset not in ("sen12", "gf3"):
        logger.info("At full size, on SEN1-2: --config=configs/%s.py:sen12 (see README.md, Data).", config.name)


def description(config: Config, name: str, *, sar_channels: int) -> dict[str, Any]:
    """What is saved beside an export of stage ``name``, so that it can be used without a config. Plain JSON."""
    student = {"solver_steps": config.distill.solver_steps, "sigma_data": config.distill.sigma_data}
    return {
        "stage": name,
        "kind": STAGES[name].kind,
        "model": _plain(config.model),
        "schedule": _plain(config.schedule),
        "consistency": student if STAGES[name].kind == "student" else None,
        "sar": {"channels": sar_channels, "scaling": "uint8 0 .. 255 to -1 .. 1"},
        "data": config.data.name,
        "image_size": config.data.image_size,
        "preset": f"{config.name}:{config.preset}",
    }


def teacher_export(config: Config, *, sar_channels: int) -> Export:
    """The export that ``config.teacher.export`` names.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: where its network, schedule or radar channels are not those of the config.
    """
    path = config.teacher.export
    export, meta, _ = checkpoint.load_export(path, stage="teacher")
    wanted = description(config, "teacher", sar_channels=sar_channels)
    for group in ("model", "schedule", "sar"):
        for key, value in wanted[group].items():
            if meta[group].get(key, ADDED.get(group, {}).get(key)) != value:
                raise ValueError(
                    f"The teacher export {path} has {group}.{key} = {meta[group].get(key)}, "
                    f"this config asks for {value}. Change the config, or train a teacher with it."
                )
    return export


def check(config: Config) -> None:
    """Raises ValueError, with what was found and what is expected, for a config that cannot run."""
    for name in config.stages:
        _choose("stage", name, STAGES)
    for group in {entry.settings: None for entry in STAGES.values()}:
        _choose(f"{group}.dtype", config[group].dtype, DTYPES)
        _choose(f"{group}.optimizer.decay", config[group].optimizer.decay, DECAYS)
        if config[group].num_steps < 1:
            raise ValueError(f"{group}.num_steps must be at least 1; got {config[group].num_steps}.")
    for group in ("adversarial", *BASELINES):
        _choose(f"{group}.loss", config[group].loss, losses.ADVERSARIAL)
    _check_adversarial(config)
    _check_distill(config.distill)
    if not 0 <= config.data.radar_jitter < 1:
        raise ValueError(f"data.radar_jitter must be at least 0 and below 1; got {config.data.radar_jitter}.")
    retention = train_settings(config).retention
    keep, save = retention.every_steps, config.train.save_every_steps
    if keep is not None and keep % max(save, 1):
        raise ValueError(f"keep_every_steps ({keep}) must be a multiple of save_every_steps ({save}).")
    _choose("train.nonfinite", config.train.nonfinite, ("stop", "skip"))
    for name in config.evaluation.teacher_samplers:
        _choose("evaluation.teacher_samplers", name, KINDS["teacher"].usual_steps)
    check_evaluation(config.evaluation)
    noise_schedule = schedule(config.schedule)
    noise_schedule.check_prediction(config.model.prediction)
    input_gain(config)  # Raises for an unknown one.
    times.solver_grid(noise_schedule.num_steps, config.distill.solver_steps)
    counts = tuple(config.distill.sampling_steps)
    times.visits(noise_schedule.num_steps, counts, solver_steps=config.distill.solver_steps)
    for steps in config.evaluation.student_steps:
        times.consistency(noise_schedule.num_steps, steps, solver_steps=config.distill.solver_steps)
    for steps in (*config.evaluation.teacher_steps, config.evaluation.original_steps, config.evaluation.figure_steps):
        times.trailing(noise_schedule.num_steps, steps)
    size = config.data.image_size
    for network in _networks(config):
        network.check_image_size(size, size)
    parallel.check_batch_size(
        config.train.batch_size, num_devices=jax.device_count(), micro_batches=config.train.micro_batches
    )
    _choose("train.mapping", config.train.mapping, ("auto", *parallel.MAPPINGS))


def _check_adversarial(config: Config) -> None:
    settings = config.adversarial
    _choose("adversarial.real", settings.real, adversarial.REAL)
    _choose("adversarial.discriminator", settings.discriminator, DISCRIMINATORS)
    _choose("adversarial.judged_at", settings.judged_at, adversarial.JUDGED_AT)
    _choose("adversarial.time_weight", settings.time_weight, adversarial.TIME_WEIGHTS)
    _choose("adversarial.optimizer.decay", settings.optimizer.decay, DECAYS)


def _check_distill(settings: Config) -> None:
    _choose("distill.loss", settings.loss, losses.CONSISTENCY)
    _choose("distill.reconstruction_loss", settings.reconstruction_loss, losses.RECONSTRUCTION)
    if not 0 <= settings.sampling_times_share <= 1:
        raise ValueError(f"distill.sampling_times_share must be 0 to 1; got {settings.sampling_times_share}.")
    if settings.reconstruction_weight < 0:
        raise ValueError(f"distill.reconstruction_weight must be at least 0; got {settings.reconstruction_weight}.")


def _networks(config: Config) -> list[UNet | Discriminator | PatchGAN]:
    """Those that the stages train on images of the config's size; making them checks the settings of all others."""
    networks: list[UNet | Discriminator | PatchGAN] = [unet(config.model, dtype="float32")]
    of_stages = {name: patchgan(config[name], dtype=config[name].dtype) for name in BASELINES}
    judges = {"unet": trunk_discriminator, "unet_patches": trunk_discriminator, "patchgan": critic}
    of_stages["adversarial"] = judges[config.adversarial.discriminator](config)
    return networks + [network for name, network in of_stages.items() if name in config.stages]


def train_settings(config: Config) -> TrainSettings:
    """What all stages share."""
    return TrainSettings(augment=config.data.augment, radar_jitter=config.data.radar_jitter, **config.train)


def check_workdir(config: Config, workdir: Path) -> None:
    """Raises ValueError where a workdir holds a run of another identity."""
    kept = workdir / "config.json"
    if not kept.exists():
        return
    before, now = (identity(found) for found in (json.loads(kept.read_text()), _plain(config)))
    for group in IDENTITY:
        if before[group] != now[group]:
            raise ValueError(
                f"The workdir {workdir} belongs to a run with {group} = {before[group]}; this config has {now[group]}. "
                "Choose another --workdir, or go back to the config it was started with."
            )


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config, given as plain JSON, that a workdir belongs to; where the data lie is not part of it."""
    found = {group: ADDED[group] | config[group] if group in ADDED else config[group] for group in IDENTITY}
    return found | {"data": {key: value for key, value in found["data"].items() if key != "data_dir"}}


def _choose(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}; known: {', '.join(known)}.")


def _plain(config: Config) -> dict[str, Any]:
    """As JSON reads it back: tuples are lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(config.to_dict())
