"""From a config to a run: reads the config, checks it against itself, the devices, the data and the workdir."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import jax

from sar2opt_jax import paths
from sar2opt_jax.data.examples import Examples
from sar2opt_jax.data.pipeline import check_size
from sar2opt_jax.data.prepared import Prepared, Source
from sar2opt_jax.description import Consistency, Dataset, Description, ImageFormat
from sar2opt_jax.export import Export
from sar2opt_jax.interop import anywhere
from sar2opt_jax.run import checks, lineage
from sar2opt_jax.run.compare import Comparison
from sar2opt_jax.run.evaluation import compared, evaluation_settings
from sar2opt_jax.run.optimizers import Config, learning_rate
from sar2opt_jax.run.stages import STAGES, plain, schedule, shaping_settings, unet
from sar2opt_jax.run.train import Experiment, StagePlan, TrainSettings
from sar2opt_jax.run.validation import Validation
from sar2opt_jax.types import Array

logger = logging.getLogger(__name__)

VALIDATION_EXAMPLES = 8
"""Images that previews show and validation measures."""


def experiment(
    config: Config, *, workdir: str | None = None, preset: Config | None = None, command: str | None = None
) -> Experiment:
    """Checks a config against itself, the devices, the data and the workdir; writes nothing to the workdir.

    The embedded dataset is prepared on the spot where it is not there yet.

    Args:
      config: from a file in ``configs/``.
      workdir: where the run lives; None is ``runs/NAME-PRESET``.
      preset: the config before any override, for the report.
      command: what was typed, for the report.

    Raises:
      ValueError: for values that cannot work, alone or together, or a workdir of another run.
      FileNotFoundError: where a dataset or a teacher's export is not where the config says.
    """
    checks.check(config)
    directory = paths.local_path(workdir or f"runs/{config.name}-{config.preset}", "--workdir")
    lineage.check_stages(directory, tuple(config.stages))
    dataset = open_dataset(config)
    teacher = None if config.teacher.export is None else given_teacher(config, dataset)
    plans = plan_stages(config, dataset, teacher)
    stands = {plan.name: lineage.stand(directory, plan.description) for plan in plans}
    announce(config, directory, plans)
    for name, stand in stands.items():
        if stand.status is lineage.Status.STALE:
            logger.warning(
                "Stage %s in %s (step %d) is stale: %s. Training renames its directory and trains it again.",
                name, directory, stand.step, stand.reason,
            )  # fmt: skip
    comparison = Comparison(
        workdir=directory,
        title=f"{config.name}:{config.preset}",
        dataset=dataset,
        config=plain(config),
        preset=None if preset is None else plain(preset),
        command=command,
        image_size=config.data.image_size,
        models=compared(config, directory),
        settings=evaluation_settings(config),
    )
    comparison.check()
    return Experiment(
        workdir=directory,
        config=plain(config),
        plans=plans,
        teacher=teacher,
        image_size=config.data.image_size,
        training_data=dataset.split("train"),
        validation=validation(config, dataset, comparison),
        train_settings=train_settings(config),
        comparison=comparison,
    )


def open_dataset(config: Config) -> Prepared:
    """The dataset of a config, whose splits for training and evaluation exist and are large enough.

    The evaluation's split is not read.
    """
    data = config.data
    if data.name.partition("/")[0] == "simulated":
        from tfds_builders.preparation import prepare  # Late: GDAL, which it reads files with, takes a while to import.

        prepare(data.name, data_dir=data.data_dir, waiting=logger.info)
    dataset = Prepared(data.name, data_dir=data.data_dir)
    for split in ("train", config.evaluation.split):
        dataset.split(split)
    Examples(dataset.split("train"), num_examples=1, image_size=data.image_size)  # Raises where it is too small.
    check_size(*dataset.image_size, image_size=data.image_size)
    return dataset


def train_settings(config: Config) -> TrainSettings:
    """The group ``train``."""
    return TrainSettings(augment=config.data.augment, radar_jitter=config.data.radar_jitter, **config.train)


def validation(config: Config, dataset: Prepared, comparison: Comparison) -> Validation:
    """What is looked at and measured while a stage is trained: never a split that the evaluation uses."""
    split = "validation" if dataset.sizes.get("validation") else "train"
    if split == "train":
        logger.warning("%s has no validation split: previews show training images, nothing is validated.", dataset.name)
        checks.check_without_validation(config)
    source: Source = dataset.split(split)
    return Validation(
        examples=Examples(source, num_examples=VALIDATION_EXAMPLES, image_size=config.data.image_size),
        measures=comparison.settings.measures if split == "validation" else None,
    )


def plan_stages(config: Config, dataset: Prepared, teacher: Export | None) -> tuple[StagePlan, ...]:
    """The stages that are trained, in order, each with the description of what it will export."""
    parent = teacher and teacher.description.fingerprint
    plans = []
    for name in config.stages:
        if name == "teacher" and teacher is not None:
            continue
        plans.append(plan_stage(config, name, dataset, parent=parent if STAGES[name].starts_from else None))
        parent = plans[-1].description.fingerprint
    return tuple(plans)


def plan_stage(config: Config, name: str, dataset: Prepared, *, parent: str | None) -> StagePlan:
    """The stage ``name`` of a checked config, started from the export with the fingerprint ``parent``."""
    settings = config[STAGES[name].groups[0]]
    rate = learning_rate(settings.optimizer, num_steps=settings.num_steps)
    about = description(config, name, dataset, parent=parent)
    translator = about.translator(dtype=settings.dtype)
    return StagePlan(
        name=name,
        objective=STAGES[name].make(config, len(about.radar.bands)),
        num_steps=settings.num_steps,
        seed=stage_seed(config.seed, name),
        dtype=settings.dtype,
        learning_rate=lambda step: float(cast(Array, rate(step))),
        description=about,
        translator=translator,
        preview=translator.method(num_steps=settings.get("preview_steps")),
    )


def stage_seed(seed: int, name: str) -> int:
    """The seed of stage ``name`` in a run with ``seed``, below 2^31.

    Stages differ in data order and noise. A digest, because sums of seed and position would give a stage of one run
    what another stage of a run with another seed had.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4]) >> 1


def description(config: Config, name: str, dataset: Prepared, *, parent: str | None = None) -> Description:
    """What stage ``name`` of a config exports after its last step."""
    entry, distill = STAGES[name], config.distill
    consistency = Consistency(solver_steps=distill.solver_steps, sigma_data=distill.sigma_data)
    return Description(
        stage=name,
        kind=entry.kind,
        rank=entry.rank,
        unet=unet(config),
        prediction=config.model.prediction,
        input_gain=config.model.input_gain,
        schedule=schedule(config),
        consistency=consistency if entry.kind == "student" else None,
        radar=ImageFormat.from_json(dataset.image_format("sar")),
        optical=ImageFormat.from_json(dataset.image_format("optical")),
        image_size=config.data.image_size,
        ground_sampling_m=dataset.ground_sampling_m,
        dataset=Dataset(name=config.data.name, version=dataset.version, fingerprint=dataset.fingerprint),
        settings=shaping_settings(config, name),
        parent=parent,
        preset=f"{config.name}:{config.preset}",
        step=config[entry.groups[0]].num_steps,
    )


def given_teacher(config: Config, dataset: Prepared) -> Export:
    """The export that ``config.teacher.export`` names.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: where its network, schedule or radar images are not those of the config.
    """
    path = config.teacher.export
    teacher = anywhere.read(path, stage="teacher")
    wanted = description(config, "teacher", dataset)
    its, asked = lineage.architecture(teacher.description), lineage.architecture(wanted)
    for name, value in asked.items():
        if its.get(name) != value:
            raise ValueError(
                f"The teacher export {path} has {name} = {its.get(name)}, this config asks for {value}. Change the "
                "config, or train a teacher with it."
            )
    if (radar := teacher.description.radar.difference(wanted.radar)) is not None:
        name, its, other = radar
        raise ValueError(
            f"The teacher export {path} takes radar images with {name} = {its}; those of {config.data.name} have "
            f"{other}. Prepare the dataset as the teacher's was, or train a teacher on it."
        )
    return teacher


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
        logger.info("At full size, on SEN1-2: --config=%s:sen12 (see README.md, Data).", config.name)
