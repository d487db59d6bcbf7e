"""Translates many scenes: idempotently, each by itself, with a record of what became of it."""

import dataclasses
import datetime
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from sar2opt_jax.scene import addresses, cog, inputs, locks
from sar2opt_jax.scene.inputs import SceneInput
from sar2opt_jax.scene.journal import Journal, SceneRecord
from sar2opt_jax.scene.translate import SceneSettings, TranslatedScene

JOURNAL = "scenes.jsonl"
LOCK_SECONDS = 60.0
"""How long to wait for another process at the same scene, such as a worker that is thought to be lost."""
EXPECTED = (OSError, ValueError)
"""What bad scenes lead to; anything else has its traceback logged as well."""

logger = logging.getLogger(__name__)


class Translates(Protocol):
    """What is needed of a ``SceneTranslator``."""

    @property
    def model(self) -> Mapping[str, str]:
        """What tells the network from others."""
        ...

    def __call__(
        self, source: Any, target: Any, settings: SceneSettings, *, quiet: bool = ..., say: Callable[[str], Any] = ...
    ) -> TranslatedScene:
        """Translates a scene."""
        ...

    def is_current(self, source: Any, target: Any, settings: SceneSettings) -> bool:
        """Whether an output is what translating the scene again would give."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A scene with its output and settings."""

    scene: SceneInput
    output: Path
    settings: SceneSettings


Run = Callable[[Sequence[Task]], Iterator[SceneRecord]]
"""Yields the record of each task as it ends."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of all scenes.

    Attributes:
      counts: how many there are of each status.
      failures: the inputs that failed, and why.
      megapixels: that were translated.
      seconds: that it took.
      journal: the file with the records.
    """

    counts: Counter[str]
    failures: dict[str, str]
    megapixels: float
    seconds: float
    journal: Path


def plan(scenes: Iterable[SceneInput], folder: Path, settings: SceneSettings) -> list[Task]:
    """What there is to do for scenes of ``inputs.find``: an output in a folder for each, ``FOLDER/NAME.tif``."""
    folder = folder.absolute()  # Workers of a cluster run in folders of their own.
    return [
        Task(
            scene._replace(source=tuple(map(_absolute, scene.source))),
            folder / f"{scene.name}.tif",
            settings if settings.bands else dataclasses.replace(settings, bands=scene.bands),
        )
        for scene in scenes
    ]


def journal_path(folder: Path, shard: str | None) -> Path:
    """The file with the records; each shard has its own: ``scenes.0-of-4.jsonl``."""
    if shard is None:
        return folder / JOURNAL
    return folder / "scenes.{}-of-{}.jsonl".format(*inputs.shard_numbers(shard))


def translate(tasks: Sequence[Task], run: Run, *, journal: Path, quiet: bool = False) -> Summary:
    """Translates scenes, one failing scene does not stop the rest; what became of each is recorded as it ends.

    Args:
      tasks: of ``plan``.
      run: ``here``, or ``cluster.there``.
      journal: the file of the records.
      quiet: without a progress bar and lines of failures.

    Raises:
      OSError: where the records cannot be written, or another process writes them.
    """
    counts, failures, megapixels, began = Counter(), {}, 0.0, time.monotonic()
    bar = tqdm(total=len(tasks), unit="scene", disable=quiet or None)
    with Journal(journal) as records, bar:
        for record in run(tasks):
            records.write(record)
            counts[record.status] += 1
            megapixels += (record.megapixels or 0) if record.status == "done" else 0
            if record.status == "failed":
                failures[record.input] = record.reason or ""
                if not quiet:
                    tqdm.write(f"{record.input}: {record.reason}", file=sys.stderr)
            bar.set_postfix(failed=counts["failed"], MP=f"{megapixels:.4g}", refresh=False)
            bar.update()
    return Summary(
        counts=counts, failures=failures, megapixels=megapixels, seconds=time.monotonic() - began, journal=journal
    )


def here(tasks: Sequence[Task], *, translator: Translates, quiet: bool = True) -> Iterator[SceneRecord]:
    """Translates the scenes one by one in this process."""
    return (translated(task, translator, quiet=quiet) for task in tasks)


def translated(
    task: Task, translator: Translates, *, quiet: bool = True, raises: tuple[type[Exception], ...] = ()
) -> SceneRecord:
    """Translates a scene unless its output is current.

    An output of another model or of other settings is replaced; a file that is no output of this package only with
    ``SceneSettings.overwrite``.

    Args:
      task: what.
      translator: the network.
      quiet: without a progress bar.
      raises: errors that are raised, such as those that may pass; all others are recorded.

    Returns:
      The record.
    """
    began = time.monotonic()
    try:
        if task.scene.problem is not None:
            raise ValueError(task.scene.problem)
        with locks.held(task.output, wait_seconds=LOCK_SECONDS):
            return _translated(task, translator, quiet=quiet)
    except raises:
        raise
    except Exception as error:  # Whatever it is, the other scenes are translated.
        return failed(task, error, model=translator.model["model"], seconds=time.monotonic() - began)


def _translated(task: Task, translator: Translates, *, quiet: bool) -> SceneRecord:
    scene, output, settings = task.scene, task.output, task.settings
    model = translator.model["model"]
    if translator.is_current(scene.source, output, settings):
        return _record(task, "current", model=model)
    if output.exists() and not settings.overwrite and cog.identity_of(output) is None:
        raise FileExistsError(f"{output} exists and is no translation; --overwrite replaces it.")
    settings = dataclasses.replace(settings, overwrite=True)
    done = translator(scene.source, output, settings, quiet=quiet, say=lambda note: None)
    return _record(
        task,
        "done",
        model=model,
        seconds=done.seconds,
        megapixels=done.height * done.width / 1e6,
        notes=done.notes,
    )


def failed(task: Task, error: BaseException, *, model: str, seconds: float = 0.0) -> SceneRecord:
    """The record of a scene that was not translated."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if not isinstance(error, EXPECTED):
        logger.warning("%s failed unexpectedly.", shown(task.scene.source), exc_info=error)
        reason = f"{type(error).__name__}: {reason}"
    return _record(task, "failed", model=model, seconds=seconds, reason=reason)


def shown(source: Sequence[str | os.PathLike[str]]) -> str:
    """The files of a scene as they are recorded."""
    return ", ".join(addresses.unsigned(os.fspath(file)) for file in source)


def _absolute(address: str) -> str:
    return os.path.abspath(address) if os.path.exists(address) else address


def _record(
    task: Task,
    status: str,
    *,
    model: str,
    seconds: float = 0.0,
    megapixels: float | None = None,
    notes: Iterable[str] = (),
    reason: str | None = None,
) -> SceneRecord:
    return SceneRecord(
        input=shown(task.scene.source),
        output=str(task.output),
        status=status,
        seconds=round(seconds, 3),
        megapixels=megapixels,
        notes=tuple(notes),
        reason=reason,
        model=model,
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
