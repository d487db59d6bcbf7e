"""A checkpoint as files: what it says of itself, what is wrong with it, and how each process reads it for itself."""

import contextlib
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from sar2opt_jax.engine import digests
from sar2opt_jax.types import PyTree

logger = logging.getLogger(__name__)

ITEMS = ("state", "data", "export", "meta")


def described(meta: Mapping[str, Any], *, step: int) -> dict[str, Any]:
    """A description with its step, and what a reader of the files has to know of their writer."""
    saved_by = {"processes": jax.process_count(), "devices": jax.device_count(), "digests": True}
    return {**meta, "step": step, "saved_by": saved_by}


def alone() -> ocp.options.MultiprocessingOptions:
    """Reading that waits for no other process, which may have failed to read the same."""
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )


def faults(checkpoint: epath.Path, *, items: Sequence[str] | None = None) -> list[str]:
    """What is wrong with the files of a checkpoint, in words; nothing for an intact one.

    A checkpoint that says of itself that it was written with digests must have them. One of an earlier version says no
    such thing: without digests it passes, and that it could not be verified is logged.

    Args:
      checkpoint: its directory.
      items: look at these alone, such as ``("export", "meta")``.
    """
    if (checkpoint / digests.FILE).exists():
        return digests.faults(checkpoint, items=items)
    try:
        meta = read_meta(checkpoint)
    except (OSError, ValueError) as error:
        return [f"meta/metadata cannot be read ({error})"]
    if meta.get("saved_by", {}).get("digests"):
        return [f"{digests.FILE} is missing"]
    logger.warning(
        "Checkpoint %s is of an earlier version, without %s: whether it is damaged cannot be told.",
        checkpoint, digests.FILE,
    )  # fmt: skip
    return []


def verify(checkpoint: epath.Path, *, stage: str | None) -> None:
    """Raises ValueError for a checkpoint that is damaged, or of another stage than ``stage``."""
    damage = faults(checkpoint)
    if damage:
        raise ValueError(f"it is damaged: {'; '.join(damage[:3])}{'; and more' if damage[3:] else ''}.")
    missing = [item for item in ITEMS if not (checkpoint / item).is_dir()]
    if missing:
        raise ValueError(f"it is damaged: {', '.join(missing)} is missing.")
    its = read_meta(checkpoint).get("stage")
    if its != stage:
        raise ValueError(f"it is a checkpoint of stage {its!r}; expected one of stage {stage!r}.")


def read_meta(checkpoint: epath.Path) -> dict[str, Any]:
    """The description in a checkpoint.

    Raises:
      OSError: where it cannot be read.
      ValueError: where it is not the JSON of a description.
    """
    meta = json.loads((checkpoint / "meta" / "metadata").read_text())
    if not isinstance(meta, dict):
        raise ValueError(f"expected a JSON object; got {type(meta).__name__}")
    return meta


def read(checkpoint: epath.Path, template: PyTree, batches: Any, *, step: int) -> tuple[PyTree, dict[str, Any]]:
    """Reads this process's part of a checkpoint, and sets the position in its data.

    Args:
      checkpoint: its directory.
      template: shapes, types and places of the state.
      batches: the Grain iterator.
      step: where to resume the data of another number of processes, which has no position of this one.

    Returns:
      The state, and the description.
    """
    import grain  # Late: a translation restores networks alone.

    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone())
    with ocp.Checkpointer(handler, multiprocessing_options=alone()) as reader:
        state = reader.restore(checkpoint / "state", args=ocp.args.StandardRestore(template))
    meta = read_meta(checkpoint)
    position = f"process_{jax.process_index()}-of-{jax.process_count()}.json"  # Grain's name for it.
    if (checkpoint / "data" / position).exists():
        grain.checkpoint.CheckpointHandler().restore(checkpoint / "data", item=batches)
    else:
        grain.experimental.set_next_index(batches, step)
    return state, meta


def move_aside(directory: epath.Path, steps: Sequence[int]) -> None:
    """Gives checkpoints that could not be read names that nothing looks for, and that no other one has."""
    for step in steps:
        names = itertools.chain([f"unreadable.{step}"], (f"unreadable.{step}.{i}" for i in itertools.count(2)))
        free = next(name for name in names if not (directory / name).exists())
        (directory / str(step)).rename(directory / free)


def remove_torn(directory: epath.Path) -> None:
    """Removes what a failed save left; a checkpoint under its own name is never touched."""
    for entry in directory.glob("*.orbax-checkpoint-tmp*"):
        with contextlib.suppress(OSError):
            entry.rmtree()


def say_what_stays(step: int, meta: Mapping[str, Any]) -> None:
    """Logs what is preserved when a run resumes on a different topology."""
    saved_by = meta.get("saved_by", {})
    before = saved_by.get("processes"), saved_by.get("devices")
    now = jax.process_count(), jax.device_count()
    if None in before or before == now:
        return
    logger.info(
        "The checkpoint of step %d was saved by %d process(es) with %d device(s); now it is %d with %d. The examples, "
        "their order and their noise stay; sums over them are added up in another order, so that numbers may differ in "
        "their last digits.", step, *before, *now,
    )  # fmt: skip
