"""Checkpoints of a stage: everything to resume it, and what it hands on.

A checkpoint holds four items: ``state``, the stage's pytree; ``data``, the position of the input pipeline; ``export``,
the networks for the next stage, evaluation and translation; ``meta``, JSON that describes the export, so that it can
be used without a config. It has its name only when it is whole and forced to the disk: a save that was killed leaves no
checkpoint. Beside the items stand the digests of their files, which are verified when it is read.
"""

import contextlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from sar2opt_jax.engine import agreement, digests, durable, networks, recovery
from sar2opt_jax.engine.retention import Logged, Policy, Retention, read_logged
from sar2opt_jax.types import Networks, PyTree

logger = logging.getLogger(__name__)


class SaveError(OSError):
    """The last save of a run failed; what was saved before it is whole."""


class _Manager(ocp.CheckpointManager):
    """Orbax's, but it does not ask whether the run is to stop: ``agreement.told_to_stop`` must be alone in that."""

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints of one stage in one directory, saved in the background."""

    def __init__(self, directory: str | os.PathLike[str], *, keep: int | Retention, meta: Mapping[str, Any]):
        """Opens or creates a directory of checkpoints.

        Args:
          directory: ``WORKDIR/STAGE/checkpoints``; local, or what Orbax can write to.
          keep: which to keep, or how many of the newest. One of the paper's ACD stage is about 3.3 GiB.
          meta: plain JSON stored beside every export; ``stage`` is its stage's name.

        Raises:
          ValueError: where none is to be kept.
        """
        self.directory = networks.as_directory(directory)
        self._meta = dict(meta)
        self._keep = keep if isinstance(keep, Retention) else Retention(newest=keep)
        self._logged: dict[int, Logged | None] = {}
        self._metric_is_missed = False
        self._saving: int | None = None
        self._failed: tuple[int, Exception] | None = None
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=Policy(self._keep, self._logged),
            create=True,
            # What a killed save left behind is as large as a checkpoint, and of no use.
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._complete),
        )
        manager = _Manager(self.directory, options=options)
        self._logged.clear()
        if self._keep.best_metric is not None:
            self._logged.update(read_logged(self.directory, manager.all_steps()))
        return manager

    def _complete(self) -> None:
        # Called in the background when every file of a checkpoint is written and before it is given its name.
        # Where files cannot be renamed, as in a bucket, it has its name from the beginning.
        written = next(iter(self.directory.glob(f"{self._saving}.*")), self.directory / str(self._saving))
        digests.write(written)
        durable.force(written)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_save()
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step of the best checkpoint by the metric that the best are kept by, or None."""
        return next(iter(self._keep.best_of({step: self._logged.get(step) for step in self.steps()})), None)

    def save(self, step: int, state: PyTree, batches: Any, export: Networks, *, progress: Mapping[str, Any]) -> None:
        """Saves in the background what the device holds now; returns when it may be changed again.

        A save that fails, on a full disk say, is reported when the next one begins, and what it left is removed; the
        checkpoints before it stay. Only ``wait`` raises for it. In several processes it raises at once.

        Args:
          step: optimiser steps taken.
          state: of the stage.
          batches: the Grain iterator.
          export: of the stage at this state.
          progress: plain JSON that ``restore`` gives back. Its ``logged``, if any, are the metrics that were logged
            last, by name: by them the best checkpoints are found, also by a later run.
        """
        self._finish_save()
        if self._keep.best_metric is not None:
            self._logged[step] = dict(progress.get("logged", {}))
            self._warn_of_missed_metric(self._keep.best_metric, progress.get("logged", {}))
        self._saving, self._failed = step, None
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=grain.checkpoint.CheckpointSave(batches),
            export=ocp.args.StandardSave(export),
            meta=ocp.args.JsonSave({**recovery.described(self._meta, step=step), "progress": dict(progress)}),
        )
        try:
            self._manager.save(step, args=items)
        except Exception as error:  # Whatever a full or broken disk makes Orbax, Grain or TensorStore raise.
            self._mend(error)

    def _finish_save(self) -> None:
        """Waits for the save under way, if any."""
        try:
            self._manager.wait_until_finished()
            if self._saving is not None and jax.process_index() == 0:
                durable.force_names(self.directory)
        except Exception as error:
            self._mend(error)

    def _warn_of_missed_metric(self, metric: str, logged: Logged) -> None:
        if not logged or metric in logged or self._metric_is_missed:
            return
        self._metric_is_missed = True
        logger.warning(
            "keep_best_metric is %r, which stage %s has not logged; logged are: %s. Its checkpoints are kept by the "
            "other rules alone.", metric, self._meta.get("stage"), ", ".join(sorted(logged)),
        )  # fmt: skip

    def _mend(self, error: Exception) -> None:
        if jax.process_count() > 1 or self._saving is None:  # The others wait for a save that will not come.
            raise error
        self._failed = self._saving, error
        # The manager counts the failed checkpoint among the kept; a new one reads the directory again and clears it.
        with contextlib.suppress(Exception):
            self._manager.close()
        recovery.remove_torn(self.directory)
        self._manager = self._open()
        logger.error(
            "Checkpoint %s could not be written: %s. %s; the next save tries again.",
            self.directory / str(self._saving), _first_line(error), self._newest_whole(),
        )  # fmt: skip

    def _newest_whole(self) -> str:
        latest = self.latest_step()
        return "There is no complete one" if latest is None else f"The newest complete one is of step {latest}"

    def read_export(self, step: int) -> Networks:
        """The networks in the checkpoint of a step, as numpy arrays; raises in all processes where one cannot read."""
        return agreement.together(lambda: networks.read(self.directory / str(step))[0])

    def restore(self, state: PyTree, batches: Any) -> tuple[PyTree, int, dict[str, Any]]:
        """Goes back to the newest checkpoint that can be read.

        One that cannot, is damaged, or is another stage's is said aloud with the reason and, once an older one has been
        read, moved aside under the name ``unreadable.STEP``: never deleted. Where none can be read all stay where they
        are, so that no later run takes the directory for an empty one and starts again.

        Args:
          state: one of the same structure, or its shapes, laid out as the restored one shall be.
          batches: the Grain iterator, which is set to the saved position; under another number of processes than at
            the time of saving, to its element number ``step``.

        Returns:
          The state, its step and the saved ``progress``.

        Raises:
          FileNotFoundError: where there is no checkpoint.
          ValueError: where none can be read.
        """
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        errors: dict[int, str] = {}  # No exceptions: their tracebacks would hold a state that another process lacks.
        for step in sorted(self.steps(), reverse=True):
            try:
                restored, meta = self._read(step, template, batches, verify=True)
            except Exception as error:  # Whatever a damaged file makes Orbax, Grain or TensorStore raise.
                errors[step] = str(error)
                logger.error("Checkpoint %s cannot be read: %s", self.directory / str(step), error)
            else:
                self._move_aside(list(errors))
                recovery.say_what_stays(step, meta)
                return restored, step, meta["progress"]
        if not errors:
            raise FileNotFoundError(f"There is no checkpoint in {self.directory}.")
        raise ValueError(
            f"None of the checkpoints in {self.directory} can be read (steps {', '.join(map(str, errors))}). They are "
            f"damaged, or of a stage with another network or optimiser. The newest: {errors[max(errors)]}"
        )

    def _read(
        self, step: int, template: PyTree, batches: Any, *, verify: bool = False
    ) -> tuple[PyTree, dict[str, Any]]:
        """Raises in all processes alike where one of them cannot read its part."""
        checkpoint = self.directory / str(step)
        if verify:  # All files are looked at, by one process for all.
            first, stage = jax.process_index() == 0, self._meta.get("stage")
            agreement.together(lambda: recovery.verify(checkpoint, stage=stage) if first else None)
        return agreement.together(lambda: recovery.read(checkpoint, template, batches, step=step))

    def _move_aside(self, steps: Sequence[int]) -> None:
        if not steps:
            return
        if jax.process_index() == 0:
            recovery.move_aside(self.directory, steps)
        multihost_utils.sync_global_devices("unreadable checkpoints are moved aside")
        self._manager.reload()
        for step in steps:
            self._logged.pop(step, None)

    def steps(self) -> list[int]:
        """The steps of all checkpoints, as the first of several processes sees them."""
        return json.loads(agreement.first_says(json.dumps(list(self._manager.all_steps()))))

    def restore_step(self, step: int, state: PyTree, batches: Any) -> PyTree:
        """The state of one checkpoint; arguments as of ``restore``."""
        return self._read(step, jax.tree.map(ocp.utils.to_shape_dtype_struct, state), batches)[0]

    def wait(self) -> None:
        """Until all that was saved is on the disk. Raises SaveError where the last save failed."""
        self._finish_save()
        if self._failed is not None:
            step, error = self._failed
            raise SaveError(
                f"The state of step {step} could not be saved in {self.directory}: {_first_line(error)}. "
                f"{self._newest_whole()}; once this is fixed, the same command resumes from there."
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
