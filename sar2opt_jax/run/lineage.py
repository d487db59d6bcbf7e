"""Whether the checkpoints in a workdir are those of a config: same settings, same data, same parent.

A stage is resumed, or used as finished, only under the recipe that its checkpoints carry. Numbers of steps may grow;
what was trained from a shorter parent is stale then and is trained again.
"""

import dataclasses
import enum
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from sar2opt_jax import export
from sar2opt_jax.description import Description
from sar2opt_jax.engine import networks
from sar2opt_jax.run.changes import flat

logger = logging.getLogger(__name__)

MAY_CHANGE_HALFWAY = ("seed", "train.batch_size", ".optimizer.", ".dtype")
"""Parts of the names of settings that a half-trained stage may be resumed under; ``changes`` says what each means."""


class Status(enum.Enum):
    """Of a stage in a workdir."""

    NEW = "new"
    HALFWAY = "half-trained"
    FINISHED = "finished"
    STALE = "stale"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stand:
    """Where a stage in a workdir stands.

    Attributes:
      status: what becomes of its checkpoints.
      step: of the newest one; 0 without any.
      directory: of the stage.
      reason: of a stale one, in words.
    """

    status: Status
    step: int
    directory: Path
    reason: str = ""


def stand(workdir: Path, planned: Description) -> Stand:
    """Where a stage stands, compared with what a config makes of it; ``planned.step`` is its number of steps.

    Raises:
      ValueError: for checkpoints of other settings, data or parents, or of more steps.
    """
    directory = workdir / planned.stage
    existing = _newest_description(directory)
    if existing is None:
        return Stand(status=Status.NEW, step=0, directory=directory)
    if existing.step > planned.step:
        raise ValueError(
            f"Stage {planned.stage} in {workdir} is at step {existing.step}, beyond num_steps ({planned.step}). "
            "Choose another --workdir for a shorter run."
        )
    status = Status.FINISHED if existing.step == planned.step else Status.HALFWAY
    for name, its, wanted in differences(existing, planned):
        if status is Status.HALFWAY and any(part in f"{name}." for part in MAY_CHANGE_HALFWAY):
            continue
        raise ValueError(
            f"The workdir {workdir} belongs to a run with {name} = {its} (stage {planned.stage}, {status.value}, step "
            f"{existing.step}); this config has {wanted}. Choose another --workdir, go back to what it was trained "
            f"with, or move {directory} away to train that stage again."
        )
    if grown := _grown_parent(existing, planned):
        reason = f"it was trained from an export of {grown[0]} steps, which now has {grown[1]}"
        return Stand(status=Status.STALE, step=existing.step, directory=directory, reason=reason)
    return Stand(status=status, step=existing.step, directory=directory)


def differences(existing: Description, planned: Description) -> Iterator[tuple[str, Any, Any]]:
    """Name, existing and planned value of all that shapes an export and differs, in the words of the config.

    What an export of 0.1 does not state is passed over.
    """
    yield from _changed(architecture(existing), architecture(planned))
    yield from _changed({"data.image_size": existing.image_size}, {"data.image_size": planned.image_size})
    if (radar := existing.radar.difference(planned.radar)) is not None:
        name, its, wanted = radar
        yield f"the radar images' {name}", its, wanted
    if existing.software == "0.1":
        return
    data = existing.dataset.fingerprint, planned.dataset.fingerprint
    if None not in data and data[0] != data[1]:
        yield f"the content of {existing.dataset.name}", f"fingerprint {data[0]}", f"fingerprint {data[1]}"
    yield from _changed(dict(flat(existing.settings)), dict(flat(planned.settings)))
    if existing.parent != planned.parent and not _grown_parent(existing, planned):
        yield "the parent export", existing.parent, planned.parent


def architecture(description: Description) -> dict[str, Any]:
    """What two networks must share so that one can be trained from the other, by the config's names."""
    about = description.to_json()
    model = {f"model.{name}": value for name, value in about["unet"].items()}
    schedule = {f"schedule.{name}": value for name, value in about["schedule"].items()}
    model |= {"model.prediction": description.prediction, "model.input_gain": description.input_gain}
    return model | schedule


def check_stages(workdir: Path, stages: tuple[str, ...]) -> None:
    """Raises ValueError where a workdir has checkpoints of stages that a run does not have."""
    if not workdir.is_dir():
        return
    described = {entry.name: _newest_description(entry) for entry in sorted(workdir.iterdir())}
    # A stage that was set aside, or moved away by hand, has another name than its description says.
    present = [name for name, about in described.items() if about is not None and about.stage == name]
    if others := [name for name in present if name not in stages]:
        raise ValueError(
            f"The workdir {workdir} belongs to a run with stages = {present}; this config has {list(stages)}, without "
            f"{', '.join(others)}. Choose another --workdir."
        )


def set_aside(workdir: Path, stage: str) -> Path:
    """Renames a stale stage's directory to ``STAGE.stale-N``, with its TensorBoard events and logged lines in it."""
    number = next(i for i in range(1, 1_000_000) if not (workdir / f"{stage}.stale-{i}").exists())
    target = workdir / f"{stage}.stale-{number}"
    if jax.process_index() == 0:
        os.rename(workdir / stage, target)
        events, metrics = workdir / "events" / stage, workdir / "metrics.jsonl"
        if events.exists():
            os.rename(events, target / "events")
        if metrics.exists():
            lines = [line for line in metrics.read_text().splitlines(keepends=True) if _is_of(line, stage)]
            (target / metrics.name).write_text("".join(lines))
    return target


def _is_of(line: str, stage: str) -> bool:
    try:
        return json.loads(line)["stage"] == stage
    except (ValueError, KeyError, TypeError):
        return False


def _newest_description(directory: Path) -> Description | None:
    """Of the newest checkpoint that can be read; the training loop reports the others."""
    for checkpoint in networks.all_below(networks.as_directory(directory / "checkpoints")):
        try:
            return export.describe(checkpoint)
        except (OSError, ValueError) as error:
            logger.warning("%s", error)
    return None


def _grown_parent(existing: Description, planned: Description) -> tuple[int, int] | None:
    """Steps of the parent then and now, where it is the same one with more steps."""
    if existing.parent is None or planned.parent is None:
        return None
    (recipe, steps), (its, now) = (text.split("@") for text in (existing.parent, planned.parent))
    return (int(steps), int(now)) if recipe == its and int(now) > int(steps) else None


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(before.keys() | now.keys()):
        # A setting that one of two versions did not have yet is passed over.
        if name in before and name in now and before[name] != now[name]:
            yield name, before[name], now[name]
