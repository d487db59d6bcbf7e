"""Checkpoints of a stage: everything to resume it, and what it hands on.

A checkpoint holds four items: ``state``, the stage's pytree; ``data``, the position of the input pipeline; ``export``,
the networks for the next stage, evaluation and translation; ``meta``, JSON that describes the export, so that it can
be used without a config. It has its name only when it is whole: a save that was killed leaves no checkpoint.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from sar2opt_jax.types import Export, PyTree

logger = logging.getLogger(__name__)

STAGE_ORDER = ("adversarial", "distill", "teacher")
"""Which stage's export stands for a workdir, best first."""


class Checkpoints:
    """The checkpoints of one stage in one directory, saved in the background."""

    def __init__(self, directory: str | os.PathLike[str], *, keep: int, meta: Mapping[str, Any]):
        """Opens or creates a directory of checkpoints.

        Args:
          directory: ``WORKDIR/STAGE/checkpoints``; local, or what Orbax can write to.
          keep: how many of the newest to keep. One of the paper's ACD stage is about 3.3 GiB.
          meta: the description of the stage's export.

        Raises:
          ValueError: where none is to be kept.
        """
        if keep < 1:
            raise ValueError(f"keep_checkpoints must be at least 1; got {keep}.")
        self.directory = epath.Path(os.path.abspath(directory) if "://" not in str(directory) else directory)
        self._meta = dict(meta)
        # What a killed save left behind is as large as a checkpoint, and of no use.
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: PyTree, batches: Any, export: Export, *, progress: Mapping[str, Any]) -> None:
        """Saves in the background what the device holds now; returns when it may be changed again.

        Args:
          step: optimiser steps taken.
          state: of the stage.
          batches: the Grain iterator.
          export: of the stage at this state.
          progress: plain JSON that ``restore`` gives back.
        """
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                data=grain.checkpoint.CheckpointSave(batches),
                export=ocp.args.StandardSave(export),
                meta=ocp.args.JsonSave({**self._meta, "step": step, "progress": dict(progress)}),
            ),
        )

    def restore(self, state: PyTree, batches: Any) -> tuple[PyTree, int, dict[str, Any]]:
        """Goes back to the newest checkpoint that can be read.

        One that cannot is said aloud and, once an older one has been read, moved aside under the name
        ``unreadable.STEP``: never deleted. Where none can be read all stay where they are, so that no later run takes
        the directory for an empty one and starts again.

        Args:
          state: one of the same structure and shapes, laid out as the restored one shall be.
          batches: the Grain iterator, which is set to the saved position; under another number of processes than at
            the time of saving, to its element number ``step``.

        Returns:
          The state, its step and the saved ``progress``.

        Raises:
          FileNotFoundError: where there is no checkpoint.
          ValueError: where none can be read.
        """
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        errors: dict[int, Exception] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored, meta = self._read(step, template, batches)
            except Exception as error:  # Whatever a damaged file makes Orbax, Grain or TensorStore raise.
                errors[step] = error
                logger.error("Checkpoint %s cannot be read: %s", self.directory / str(step), error)
            else:
                self._move_aside(list(errors))
                return restored, step, meta["progress"]
        if not errors:
            raise FileNotFoundError(f"There is no checkpoint in {self.directory}.")
        raise ValueError(
            f"None of the checkpoints in {self.directory} can be read (steps {', '.join(map(str, errors))}). They are "
            f"damaged, or of a stage with another network or optimiser. The newest: {errors[max(errors)]}"
        )

    def _read(self, step: int, template: PyTree, batches: Any) -> tuple[PyTree, dict[str, Any]]:
        items: dict[str, Any] = {"state": ocp.args.StandardRestore(template), "meta": ocp.args.JsonRestore()}
        position = f"process_{jax.process_index()}-of-{jax.process_count()}.json"  # Grain's name for it.
        same_processes = (self.directory / str(step) / "data" / position).exists()
        if same_processes:
            items["data"] = grain.checkpoint.CheckpointRestore(batches)
        restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        if not same_processes:
            grain.experimental.set_next_index(batches, step)
        return restored["state"], restored["meta"]

    def _move_aside(self, steps: Sequence[int]) -> None:
        if not steps:
            return
        for step in steps if jax.process_index() == 0 else ():
            (self.directory / str(step)).rename(self.directory / f"unreadable.{step}")
        multihost_utils.sync_global_devices("unreadable checkpoints are moved aside")
        self._manager.reload()

    def wait(self) -> None:
        """Until all that was saved is on the disk."""
        self._manager.wait_until_finished()

    def interruption_noticed(self, step: int) -> bool:
        """Whether any of several processes was told to stop, for all at the same step."""
        return jax.process_count() > 1 and self._manager.reached_preemption(step)


def load_export(path: str | os.PathLike[str], *, stage: str | None = None) -> tuple[Export, dict[str, Any], int]:
    """Loads the newest export below a path, as numpy arrays, with its description and step.

    Any process may do so by itself: only the first of several evaluates.

    Args:
      path: a workdir, the directory of a stage in one, its ``checkpoints``, or one checkpoint.
      stage: which stage of a workdir; None takes the last one that has a checkpoint.

    Raises:
      FileNotFoundError: where there is no checkpoint.
      ValueError: where ``path`` is a checkpoint of another stage.
    """
    root = epath.Path(os.path.abspath(os.path.expanduser(path)) if "://" not in str(path) else path)
    stages = STAGE_ORDER if stage is None else (stage,)
    # From the most particular reading of the path to the most general.
    candidates = [root, _newest(root), _newest(root / "checkpoints")]
    candidates += [_newest(root / name / "checkpoints") for name in stages]
    found = next((place for place in candidates if place is not None and (place / "export").is_dir()), None)
    if found is None:
        wanted = " or ".join(f"{name}/checkpoints/STEP" for name in stages)
        there = sorted(entry.name for entry in root.iterdir())[:10] if root.is_dir() else []
        what = f"There: {', '.join(there) or 'nothing'}." if root.exists() else "It does not exist."
        raise FileNotFoundError(f"No checkpoint in {root}: expected {wanted} below it. {what}")
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="export"
    )
    meta = ocp.Checkpointer(
        ocp.JsonCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    ).restore(found / "meta")
    if stage is not None and meta["stage"] != stage:
        raise ValueError(f"{found} is a checkpoint of stage {meta['stage']!r}; expected one of stage {stage!r}.")
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    reader = ocp.Checkpointer(handler, multiprocessing_options=alone)
    tree = handler.metadata(found / "export").tree
    # As numpy arrays: the devices it was saved from need not be here.
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    export = reader.restore(found / "export", args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    return export, meta, int(meta["step"])


def _newest(directory: epath.Path) -> epath.Path | None:
    """The checkpoint with the highest step; one that is still being written has another kind of name."""
    if not directory.is_dir():
        return None
    steps = [int(entry.name) for entry in directory.iterdir() if re.fullmatch(r"\d+", entry.name)]
    return directory / str(max(steps)) if steps else None
