"""Services that collect the metrics of many runs: Weights & Biases and MLflow, as writers beside a run's own files.

A stage is one run there, of the project ``sar2opt``; a stage that is resumed goes on in its run. Where the service is
and who may write to it is said in the environment, as its own documentation has it (``WANDB_API_KEY``,
``MLFLOW_TRACKING_URI``). What the service cannot take is lost there, said once, and never stops a training.
"""

import importlib.util
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sar2opt_jax import paths
from sar2opt_jax.engine.writer import Writer
from sar2opt_jax.types import check_known

logger = logging.getLogger(__name__)

PROJECT = "sar2opt"


class Tracker(Writer):
    """What both services share: the name of a stage's run, kept in the workdir, and failures that are only said."""

    package: str

    def __init__(self, workdir: Path, *, stage: str, config: Mapping[str, Any]):
        """Starts or resumes the run of a stage.

        Args:
          workdir: the run's; the identifier of the stage's run is kept in its file ``trackers.json``.
          stage: its name.
          config: plain JSON, shown beside the metrics.
        """
        self.name, self._failed = f"{workdir.name}-{stage}", False
        self._known, self._key = workdir / "trackers.json", f"{self.package}/{stage}"
        self._workdir, self._config = workdir, config
        self._try(self._start)

    def resume(self, step: int) -> None:
        """Keeps what is there: neither service takes metrics back; those of repeated steps are reported again."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of one logged step; those that are not finite are left out."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._try(lambda: self._log(step, finite))

    def image(self, step: int, image: np.ndarray) -> None:
        """A preview, [height, width, 3] uint8."""
        self._try(lambda: self._log_image(step, image))

    def close(self) -> None:
        """Waits until all is sent."""
        self._try(self._finish)

    def _start(self) -> None:
        raise NotImplementedError

    def _log(self, step: int, values: dict[str, float]) -> None:
        raise NotImplementedError

    def _log_image(self, step: int, image: np.ndarray) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    @property
    def _run_id(self) -> str | None:
        return (paths.read_json(self._known) or {}).get(self._key)

    @_run_id.setter
    def _run_id(self, run_id: str) -> None:
        paths.write_json(self._known, (paths.read_json(self._known) or {}) | {self._key: run_id})

    def _try(self, report: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            report()
        except Exception as error:  # Whatever a service raises: its network, its limits, its login.
            self._failed = True
            reason = str(error).strip().splitlines() or [type(error).__name__]
            logger.warning("Nothing more of %s is sent to %s: %s", self.name, self.package, reason[0])


class WeightsAndBiases(Tracker):
    """https://wandb.ai; ``WANDB_MODE=offline`` writes below the workdir."""

    package = "wandb"

    def _start(self) -> None:
        import wandb  # pyright: ignore[reportMissingImports] - an extra

        self._wandb = wandb
        self._run = wandb.init(
            project=PROJECT, name=self.name, group=self._workdir.name, dir=str(self._workdir),
            config=dict(self._config), id=self._run_id, resume="allow",
        )  # fmt: skip
        self._run_id = self._run.id
        # Its own counter of steps never goes back, as those of a resumed stage do.
        self._run.define_metric("*", step_metric="step")

    def _log(self, step: int, values: dict[str, float]) -> None:
        self._run.log({"step": step, **values})

    def _log_image(self, step: int, image: np.ndarray) -> None:
        self._run.log({"step": step, "preview": self._wandb.Image(image)})

    def _finish(self) -> None:
        self._run.finish()


class MLflow(Tracker):
    """https://mlflow.org; ``MLFLOW_TRACKING_URI`` names its server."""

    package = "mlflow"

    def _start(self) -> None:
        import mlflow  # pyright: ignore[reportMissingImports] - an extra

        self._client = mlflow.MlflowClient()
        if self._run_id is None:
            experiment = self._client.get_experiment_by_name(PROJECT)
            number = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
            self._run_id = self._client.create_run(number, run_name=self.name).info.run_id
        self._client.update_run(self._run_id, status="RUNNING")
        self._client.log_dict(self._run_id, dict(self._config), "config.json")

    def _log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run_id, name, value, step=step)

    def _log_image(self, step: int, image: np.ndarray) -> None:
        self._client.log_image(self._run_id, image, artifact_file=f"previews/{step:07d}.png")

    def _finish(self) -> None:
        self._client.set_terminated(self._run_id)


TRACKERS: dict[str, type[Tracker]] = {tracker.package: tracker for tracker in (WeightsAndBiases, MLflow)}
"""By the name of their package, which is also that of the extra that installs it."""


def check(names: tuple[str, ...]) -> None:
    """Raises ValueError for an unknown service, or one whose package is missing."""
    for name in names:
        check_known("train.trackers", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"train.trackers: {name} needs its package: pip install 'sar2opt-jax[{name}]'.")


def make(names: tuple[str, ...], workdir: Path, *, stage: str, config: Mapping[str, Any]) -> list[Writer]:
    """The trackers of a stage; see ``Tracker``."""
    return [TRACKERS[name](workdir, stage=stage, config=config) for name in names]
