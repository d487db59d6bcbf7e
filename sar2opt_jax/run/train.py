"""One run from its first stage to its report, in one workdir.

WORKDIR/.lock                  held by the run that is at work
WORKDIR/config.json            what it was last started with
WORKDIR/metrics.jsonl          one line a logged step, with stage and step
WORKDIR/events/STAGE/          the same for TensorBoard
WORKDIR/previews/STAGE_STEP.png
WORKDIR/STAGE/checkpoints/STEP/{state,data,export,meta}
WORKDIR/STAGE.stale-N/         the same of a stage whose parent was trained on after it
WORKDIR/report/                figures and tables of the evaluation, and translations/METHOD/ID.png
WORKDIR/replay/STAGE_STEP.*    what a repeated step did
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from clu import parameter_overview
from jax.experimental import multihost_utils
from PIL import Image

from sar2opt_jax import export, paths
from sar2opt_jax.data import pipeline
from sar2opt_jax.data.prepared import Source
from sar2opt_jax.description import Description
from sar2opt_jax.engine import agreement, lock, loop, trackers
from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.replay import replay
from sar2opt_jax.engine.retention import Retention
from sar2opt_jax.engine.writer import Writer, make_writer
from sar2opt_jax.evaluation.figures import grid
from sar2opt_jax.evaluation.translations import Contender
from sar2opt_jax.export import Export
from sar2opt_jax.run import lineage
from sar2opt_jax.run.changes import changes
from sar2opt_jax.run.compare import Comparison
from sar2opt_jax.run.validation import StageValidation, Validation, is_higher_better
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, Batch, Networks, PyTree, Stage, make_key

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage of a run.

    Attributes:
      name: one of ``stages.STAGES``; the name of its directory.
      objective: the stage.
      num_steps: optimiser steps.
      seed: of its parameters, its noise and its data order.
      learning_rate: at a number of steps taken.
      description: of what it exports after its last step.
      translator: samples the export, for previews.
      preview: how previews are sampled.
    """

    name: str
    objective: Stage
    num_steps: int
    seed: int
    learning_rate: Callable[[int], float]
    description: Description
    translator: Translator
    preview: Method

    def translate(self, networks: Networks, sar: Array, rng: Array) -> Array:
        """Translations of ``sar``, [batch, height, width, 3] in [-1, 1], for a person to look at."""
        return self.translator(networks["unet"], sar, jax.random.split(rng, sar.shape[0]), method=self.preview)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What all stages of a run share; see ``configs/base.py``, group ``train``, for the meaning of each."""

    batch_size: int
    micro_batches: int
    mapping: str
    nonfinite: str
    log_every_steps: int
    preview_every_steps: int
    validate_every_steps: int
    save_every_steps: int
    keep_checkpoints: int
    keep_every_steps: int | None
    keep_best_metric: str | None
    keep_best_checkpoints: int
    loader_threads: int
    trackers: tuple[str, ...]
    augment: bool
    radar_jitter: float

    @property
    def retention(self) -> Retention:
        """Which checkpoints stay. Raises ValueError where none would."""
        return Retention(
            newest=self.keep_checkpoints,
            every_steps=self.keep_every_steps,
            best_metric=self.keep_best_metric,
            best_is_highest=self.keep_best_metric is not None and is_higher_better(self.keep_best_metric),
            best=self.keep_best_checkpoints,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A checked run: nothing is written to its workdir before ``train`` or ``evaluate``.

    Attributes:
      workdir: where everything goes.
      config: the whole config as plain JSON, kept beside the results.
      plans: the stages in order.
      teacher: a given one, which then is not trained; or None.
      image_size: side of the images in pixels.
      training_data: the training split.
      validation: what previews show and validation measures.
      train_settings: for all stages.
      comparison: its evaluation.
    """

    workdir: Path
    config: Mapping[str, Any]
    plans: tuple[StagePlan, ...]
    teacher: Export | None
    image_size: int
    training_data: Source
    validation: Validation
    train_settings: TrainSettings
    comparison: Comparison

    def train(self) -> None:
        """Runs the stages that are not finished yet, one after the other, then evaluates.

        Raises:
          lock.WorkdirError: where another run is at work in the workdir, or it cannot be written to.
          ValueError: where checkpoints in the workdir were trained with other settings, data or parents.
        """
        for plan in self.plans:
            lineage.stand(self.workdir, plan.description)
        with lock.hold(self.workdir):
            if jax.process_index() == 0:
                self._say_what_changed()
                paths.write_json(self.workdir / "config.json", self.config)
            networks = self.teacher and self.teacher.networks
            for plan in self.plans:
                self._set_aside_if_stale(plan)
                networks = self._train_stage(plan, networks)
            contenders = self.comparison.contenders()
            if not self.comparison.is_done(contenders):
                self._evaluate(contenders)

    def _set_aside_if_stale(self, plan: StagePlan) -> None:
        found = lineage.stand(self.workdir, plan.description)
        is_stale = agreement.first_says(str(int(found.status is lineage.Status.STALE))) == "1"
        if is_stale:
            target = lineage.set_aside(self.workdir, plan.name)
            multihost_utils.sync_global_devices("a stale stage is renamed")
            logger.warning("Stage %s was stale: %s. It is kept as %s.", plan.name, found.reason, target)

    def _evaluate(self, contenders: list[Contender]) -> None:
        try:
            self.comparison.run(contenders)
        except lock.WorkdirError as error:
            raise lock.WorkdirError(
                f"All stages are trained; only the report is missing: {error} Then run the same command again."
            ) from error

    def _say_what_changed(self) -> None:
        kept = self.workdir / "config.json"
        for change in changes(json.loads(kept.read_text()), self.config) if kept.exists() else ():
            logger.info("Since the last start %s", change)

    def _train_stage(self, plan: StagePlan, networks: Networks | None) -> Networks:
        settings = self.train_settings
        parts = self._parts(plan, networks)
        with (
            self._checkpoints(plan) as checkpoints,
            make_writer(self.workdir, stage=plan.name, more=lambda: self._trackers(plan)) as writer,
        ):
            return loop.train(
                plan.objective,
                name=plan.name,
                num_steps=plan.num_steps,
                parallel=parts.parallel,
                batches=parts.batches,
                checkpoints=checkpoints,
                writer=writer,
                rng=parts.rng,
                initial=parts.initial,
                preview=parts.validation.picture,
                validate=parts.validation.metrics,
                explain=lambda step: self._explain(plan, step),
                log_every_steps=settings.log_every_steps,
                preview_every_steps=settings.preview_every_steps,
                validate_every_steps=settings.validate_every_steps,
                save_every_steps=settings.save_every_steps,
                nonfinite=settings.nonfinite,
            )

    def _trackers(self, plan: StagePlan) -> list[Writer]:
        return trackers.make(self.train_settings.trackers, self.workdir, stage=plan.name, config=self.config)

    def _checkpoints(self, plan: StagePlan) -> Checkpoints:
        directory = self.workdir / plan.name / "checkpoints"
        return Checkpoints(directory, keep=self.train_settings.retention, meta=export.metadata(plan.description))

    def _parts(self, plan: StagePlan, networks: Networks | None) -> "_Parts":
        """What a stage is run with, from the networks of the one before."""
        settings = self.train_settings
        init_rng, train_rng, preview_rng = jax.random.split(make_key(plan.seed), 3)
        batches = pipeline.training_batches(
            self.training_data,
            image_size=self.image_size,
            batch_size=settings.batch_size,
            seed=plan.seed,
            augment=settings.augment,
            radar_jitter=settings.radar_jitter,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
            num_threads=settings.loader_threads,
        )

        def initial() -> PyTree:
            state = plan.objective.init(init_rng, networks)
            size = parameter_overview.count_parameters(plan.objective.export(state)["unet"])
            logger.info("Stage %s: a U-Net of %s parameters.", plan.name, f"{size:,}")
            return state

        return _Parts(
            parallel=DataParallel(plan.objective, mapping=settings.mapping, micro_batches=settings.micro_batches),
            batches=batches,
            rng=train_rng,
            initial=initial,
            validation=self.validation.of(plan.objective, plan.translate, preview_rng),
        )

    def _ids(self, plan: StagePlan, step: int) -> list[str]:
        return pipeline.ids_of_step(
            self.training_data, step=step, batch_size=self.train_settings.batch_size, seed=plan.seed
        )

    def _explain(self, plan: StagePlan, step: int) -> str:
        rate, ids = plan.learning_rate(step - 1), ", ".join(self._ids(plan, step))
        return (
            f"Learning rate {rate:.3g}; examples {ids}. To look at the step again, run the same command with "
            f"--mode=replay --replay={plan.name}:{step}."
        )

    def replay(self, stage: str, step: int) -> None:
        """Repeats a step of this run and writes what each of its examples did to ``replay/STAGE_STEP.json`` and .png.

        Raises:
          ValueError: for a stage that the run has not, or a step out of its range.
          FileNotFoundError: where the stage before it has no checkpoint.
        """
        names = [plan.name for plan in self.plans]
        if stage not in names:
            raise ValueError(f"This run trains no stage {stage!r}; its stages: {', '.join(names)}.")
        position = names.index(stage)
        plan = self.plans[position]
        if not 1 <= step <= plan.num_steps:
            raise ValueError(f"Stage {stage} has the steps 1 to {plan.num_steps}; got {step}.")
        networks = self.teacher and self.teacher.networks
        if position > 0:
            networks = export.load(self.workdir, stage=names[position - 1]).networks
        parts = self._parts(plan, networks)
        with lock.hold(self.workdir), self._checkpoints(plan) as checkpoints:
            replayed = replay(
                plan.objective,
                step=step,
                parallel=parts.parallel,
                batches=parts.batches,
                checkpoints=checkpoints,
                rng=parts.rng,
                initial=parts.initial,
            )
        ids = self._ids(plan, step)
        for i, (name, values) in enumerate(zip(ids, replayed.examples, strict=True)):
            shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            logger.info("%s %s: %s", "NOT FINITE" if i in replayed.suspects else "finite", name, shown)
        directory = self.workdir / "replay"
        batch = replayed.batch
        translated = jax.jit(plan.translate)(replayed.export, batch.sar, parts.rng)
        path = directory / f"{stage}_{step:07d}"
        with paths.atomic_file(path.with_suffix(".png")) as temporary:
            Image.fromarray(grid(batch.sar, batch.optical, np.nan_to_num(translated))).save(temporary, format="PNG")
        examples = [{"id": name, **values} for name, values in zip(ids, replayed.examples, strict=True)]
        found = {"stage": stage, "step": step, "from_checkpoint": replayed.start}
        found |= {"learning_rate": float(plan.learning_rate(step - 1)), "metrics": replayed.metrics}
        paths.write_json(path.with_suffix(".json"), found | {"examples": examples})
        logger.info(
            "Step %d of stage %s, replayed from step %d: %d of %d examples are not finite by themselves; see %s.json.",
            step, stage, replayed.start, len(replayed.suspects), len(ids), path,
        )  # fmt: skip


class _Parts(NamedTuple):
    """What ``loop.train`` and ``replay`` take of a stage."""

    parallel: DataParallel
    batches: Iterator[Batch]
    rng: Array
    initial: Callable[[], PyTree]
    validation: StageValidation
