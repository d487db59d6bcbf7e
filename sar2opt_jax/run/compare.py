"""The evaluation of a run: which networks are compared, on what, and where the report goes."""

import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from sar2opt_jax import export, paths
from sar2opt_jax.data.examples import Examples
from sar2opt_jax.data.prepared import Prepared
from sar2opt_jax.description import Description, ImageFormat
from sar2opt_jax.engine import lock
from sar2opt_jax.evaluation import evaluate
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.evaluation.translations import VERSION, Contender
from sar2opt_jax.interop import anywhere
from sar2opt_jax.metrics.linear_baseline import LinearBaseline
from sar2opt_jax.report import report
from sar2opt_jax.report.about import Change
from sar2opt_jax.run.changes import flat
from sar2opt_jax.translator import Method
from sar2opt_jax.types import make_key
from tfds_builders import interruption

logger = logging.getLogger(__name__)

EVALUATION_SEED = 0
"""Of the evaluation's noise: the same for all runs, so that their reports can be compared."""
MADE_BY = "made_by.json"
"""Beside a report, written last: which config and networks it is of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What is compared, and on how much; see ``configs/base.py``, group ``evaluation``."""

    split: str
    num_examples: int
    batch_size: int
    methods: Mapping[str, list[Method]]  # by the kind of network: teacher, student, generator
    measures: Measures
    figure_steps: int
    figure_rows: int
    uncertainty_samples: int
    floor_window: int
    floor_examples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelPath:
    """A network to compare.

    Attributes:
      name: what it is called in the report.
      path: where it is, see ``interop.anywhere.read``.
      stage: which stage of a workdir; None takes the last one that has a checkpoint.
      required: whether it is an error where it is missing; one of a run's own stages may not be trained yet.
    """

    name: str
    path: str | os.PathLike[str]
    stage: str | None = None
    required: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A checked evaluation: nothing is written before ``run``.

    Attributes:
      workdir: the report goes to ``report/`` in it.
      title: what the run is called in its report, such as ``acd:simulated``.
      dataset: read by ``run`` alone: the split to evaluate on, and ``train``, to which the linear baseline is fitted.
      config: the whole config as plain JSON, kept beside the results.
      preset: the config before any override, likewise; None where it is unknown.
      command: what was typed; None where it is unknown.
      image_size: side of the images in pixels.
      models: the networks.
      settings: how they are compared.
    """

    workdir: Path
    title: str
    dataset: Prepared
    config: Mapping[str, Any]
    preset: Mapping[str, Any] | None = None
    command: str | None = None
    image_size: int
    models: tuple[ModelPath, ...]
    settings: EvaluationSettings

    def run(self, contenders: list[Contender]) -> None:
        """Compares ``contenders`` and the linear baseline on the evaluation split and writes ``report/``.

        Raises:
          lock.WorkdirError: where another evaluation is at work there, or it cannot be written to.
        """
        settings, directory = self.settings, self.workdir / "report"
        described = {contender.name: contender.description for contender in contenders if contender.description}
        sizes = {c.name: sum(np.size(leaf) for leaf in jax.tree.leaves(c.params)) for c in contenders}
        # In one of several processes JAX has taken SIGTERM over, for the training loop; here nothing would ask for it.
        with interruption.raised(), lock.hold(directory):
            results = evaluate.run(
                contenders,
                Examples(
                    self.dataset.split(settings.split), num_examples=settings.num_examples, image_size=self.image_size
                ),
                linear_baseline=self._linear_baseline,
                measures=settings.measures,
                directory=directory / "translations",
                batch_size=settings.batch_size,
                rng=make_key(EVALUATION_SEED),
                sampled=self._sampled(contenders),
                num_samples=settings.uncertainty_samples,
            )
            if results is not None:
                made_by = directory / MADE_BY
                made_by.unlink(missing_ok=True)
                report.write(
                    directory,
                    dataclasses.replace(results, remarks=(*results.remarks, *self._lineage_remarks(described))),
                    title=self.title,
                    dataset=self.dataset.name,
                    split=settings.split,
                    config=self.config,
                    changes=None if self.preset is None else overrides(self.preset, self.config),
                    command=self.command,
                    networks={name: about.to_json() | {"parameters": sizes[name]} for name, about in described.items()},
                    metrics=self.workdir / "metrics.jsonl",
                    figure_steps=settings.figure_steps,
                    rows=settings.figure_rows,
                )
                paths.write_json(made_by, self._made_by(contenders))
        # The others stay until then: a process that leaves brings the rest down.
        multihost_utils.sync_global_devices("the report is written")
        logger.info("The report is %s.", directory / "report.html")

    def is_done(self, contenders: list[Contender]) -> bool:
        """Whether the report that is there was made by exactly this config and of these networks.

        All processes say the same.
        """
        same = False
        if jax.process_index() == 0:
            written = json.loads(paths.to_json(self._made_by(contenders)))
            same = paths.read_json(self.workdir / "report" / MADE_BY) == written
        return bool(multihost_utils.broadcast_one_to_all(np.int32(same)))

    def _made_by(self, contenders: list[Contender]) -> dict[str, Any]:
        return {
            "config": self.config,
            "data": self.dataset.fingerprint,
            "translations": VERSION,
            "networks": {c.name: c.identity for c in contenders},
        }

    def _sampled(self, contenders: Sequence[Contender]) -> Contender | None:
        """Whose spread is measured: a student's at about 4 steps, else a teacher's in the fast figures; if any."""
        for kind, steps in (("student", 4), ("teacher", self.settings.figure_steps)):
            if fitting := [contender for contender in contenders if contender.translator.kind == kind]:
                return min(fitting, key=lambda contender: abs(contender.method.num_steps - steps))
        return None

    @staticmethod
    def _lineage_remarks(described: Mapping[str, Description]) -> list[str]:
        """What a reader must know of networks that were distilled from another teacher than the one beside them."""
        teacher = described.get("teacher")
        if teacher is None or teacher.software == "0.1":  # What 0.1 trained does not state what it was trained with.
            return []
        return [
            f"{name} was distilled from another teacher ({about.parent}) than the one in this report "
            f"({teacher.fingerprint})."
            for name, about in described.items()
            if about.parent not in (None, teacher.fingerprint)
        ]

    def _linear_baseline(self) -> LinearBaseline:
        settings = self.settings
        train = self.dataset.split("train")
        fit = Examples(train, num_examples=settings.floor_examples, image_size=self.image_size).batch()
        return LinearBaseline.fit(fit.sar, fit.optical, window=settings.floor_window)

    def contenders(self) -> list[Contender]:
        """Every method of every network that is compared.

        Raises:
          FileNotFoundError: where a network that was asked for is missing, or none is trained yet.
          ValueError: where a network does not fit the data, or a method the network.
        """
        contenders, missing = [], []
        for model in self.models:
            try:
                contenders += self._contenders_of(model)
            except FileNotFoundError as error:
                if model.required:
                    raise
                missing.append(error)
        if not contenders and missing:
            raise missing[0]
        for error in missing:
            logger.warning("Compared without: %s", error)
        return contenders

    def check(self) -> None:
        """Raises as ``contenders`` does, for networks that are not the run's own: before anything is trained."""
        for model in self.models:
            if model.required:
                self._contenders_of(model)

    def _contenders_of(self, model: ModelPath) -> list[Contender]:
        trained = anywhere.read(model.path, stage=model.stage)
        about, where = trained.description, f"{model.name} ({model.path})"
        radar = ImageFormat.from_json(self.dataset.image_format("sar"))
        if len(about.radar.bands) != len(radar.bands):
            raise ValueError(
                f"{where} takes {len(about.radar.bands)} radar channel(s); {self.dataset.name} has {len(radar.bands)}."
            )
        if (difference := about.radar.difference(radar)) is not None:
            name, its, other = difference
            raise ValueError(
                f"{where} takes radar images with {name} = {its}; those of {self.dataset.name} have {other}."
            )
        if self.image_size % trained.size_multiple:
            raise ValueError(
                f"{where} takes images whose sides are multiples of {trained.size_multiple} pixels; "
                f"data.image_size is {self.image_size}."
            )
        methods = self.settings.methods[about.kind]
        for method in methods:
            try:
                trained.translator.timesteps(method)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        identity = {"fingerprint": about.fingerprint, "parameters": export.parameters_digest(trained.params)}
        shared = {"name": model.name, "translator": trained.translator, "params": trained.params}
        return [Contender(method=method, description=about, identity=identity, **shared) for method in methods]


def overrides(preset: Mapping[str, Any], config: Mapping[str, Any]) -> list[Change]:
    """The settings of ``config`` that differ from ``preset``, both as plain JSON, by their dotted names."""
    before, now = dict(flat(preset)), dict(flat(config))
    names = sorted(before.keys() | now.keys())
    return [Change(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]
