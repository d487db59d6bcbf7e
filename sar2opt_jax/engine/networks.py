"""The networks in a checkpoint, for all who use them without resuming their training."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from sar2opt_jax import paths
from sar2opt_jax.engine import digests, durable, recovery
from sar2opt_jax.types import Networks


def save(directory: str | os.PathLike[str], networks: Networks, *, meta: Mapping[str, Any], step: int) -> None:
    """Writes a checkpoint that is handed on but not resumed: it has the items ``export`` and ``meta`` alone.

    Args:
      directory: ``WORKDIR/STAGE/checkpoints``, new or empty.
      networks: returns when they are on the disk.
      meta: plain JSON that describes them; ``stage`` is the name of their stage.
      step: optimiser steps they were trained for; the checkpoint's name.
    """
    root = as_directory(directory)
    with ocp.CheckpointManager(root) as manager:
        items = {
            "export": ocp.args.StandardSave(networks),
            "meta": ocp.args.JsonSave({**recovery.described(meta, step=step), "progress": {}}),
        }
        manager.save(step, args=ocp.args.Composite(**items))
    digests.write(root / str(step))
    durable.force(root)


def read(directory: epath.Path) -> tuple[Networks, dict[str, Any]]:
    """Reads the networks in a checkpoint, as numpy arrays, and its metadata.

    Any process may do so by itself: none waits for another.

    Args:
      directory: of the checkpoint.

    Raises:
      OSError: where it cannot be read.
      ValueError: where it is corrupt.
    """
    meta = read_meta(directory, items=("export", "meta"))
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=recovery.alone())
    reader = ocp.Checkpointer(handler, multiprocessing_options=recovery.alone())
    tree = handler.metadata(directory / "export").tree
    # As numpy arrays: the devices it was saved from need not be here.
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    return reader.restore(directory / "export", args=ocp.args.PyTreeRestore(restore_args=as_numpy)), meta


def read_meta(directory: epath.Path, *, items: Sequence[str] = ("meta",)) -> dict[str, Any]:
    """The metadata of a checkpoint, once the files of some of its items are verified. Errors as of ``read``."""
    damage = recovery.faults(directory, items=items)
    if damage:
        raise ValueError(
            f"{directory} is corrupt: {'; '.join(damage[:3])}. Name an older checkpoint, or run the training again: it "
            "resumes from the newest complete one."
        )
    return recovery.read_meta(directory)


def as_directory(path: str | os.PathLike[str]) -> epath.Path:
    """A path as a user types it, absolute, as Orbax asks for it."""
    return epath.Path(os.path.abspath(paths.local_path(path, "the path of a checkpoint")))


def is_checkpoint(directory: epath.Path) -> bool:
    """Whether this is a checkpoint, and not a folder of them."""
    return (directory / "export").is_dir()


def all_below(directory: epath.Path) -> list[epath.Path]:
    """The checkpoints in a directory, newest first; one that is still being written has another kind of name."""
    if not directory.is_dir():
        return []
    steps = [int(entry.name) for entry in directory.iterdir() if re.fullmatch(r"\d+", entry.name)]
    return [directory / str(step) for step in sorted(steps, reverse=True)]


def newest(directory: epath.Path) -> epath.Path | None:
    """The checkpoint with the highest step, or None."""
    return next(iter(all_below(directory)), None)
