"""Writers of a run's metrics and previews: JSON lines, TensorBoard events, PNG files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import jax
import numpy as np
from PIL import Image

from sar2opt_jax import paths

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class Writer(Protocol):
    """Receives the metrics and previews of a stage."""

    def resume(self, step: int) -> None:
        """Drops what this stage reported after ``step``, which will be reported again."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of one logged step."""
        ...

    def image(self, step: int, image: np.ndarray) -> None:
        """A preview, [height, width, 3] uint8."""
        ...

    def close(self) -> None:
        """Flushes."""
        ...


class JsonLines:
    """``metrics.jsonl``: one line a logged step, all stages in one file.

    A line has ``stage``, ``step`` and the metrics; a value that is not finite is null, for JSON has no NaN.
    """

    def __init__(self, path: Path, *, stage: str):
        """Appends to ``path`` what ``stage`` reports."""
        self.path, self.stage = path, stage

    def resume(self, step: int) -> None:
        """Drops the stage's lines after ``step``, and a truncated last line of a killed process."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if entry["stage"] != self.stage or entry["step"] <= step:
                kept.append(line)
        paths.write_text(self.path, "".join(f"{line}\n" for line in kept))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a line."""
        numbers = {name: float(value) for name, value in values.items()}
        with self.path.open("a") as file:
            file.write(paths.to_json({"stage": self.stage, "step": step, **numbers}) + "\n")

    def image(self, step: int, image: np.ndarray) -> None:
        """Ignores previews."""

    def close(self) -> None:
        """Has nothing to flush: every line is written immediately."""


class TensorBoard:
    """Event files, one directory a stage."""

    def __init__(self, directory: Path):
        """Writes below ``directory``."""
        self._directory = str(directory)
        self._events: SummaryWriter | None = None

    def resume(self, step: int) -> None:
        """Purges events after ``step``: all of them where a killed run had saved nothing and begins again."""
        self._open(purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point on each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, image: np.ndarray) -> None:
        """One more preview."""
        self._writer.add_image("preview", image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes the events."""
        self._writer.close()

    @property
    def _writer(self) -> "SummaryWriter":
        return self._open() if self._events is None else self._events

    def _open(self, *, purge_step: int | None = None) -> "SummaryWriter":
        from tensorboardX import SummaryWriter  # Late: an evaluation writes no events.

        self._events = SummaryWriter(self._directory, purge_step=purge_step)
        return self._events


class PngFiles:
    """``previews/STAGE_STEP.png``."""

    def __init__(self, directory: Path, *, stage: str):
        """Writes into ``directory``."""
        self.directory, self.stage = directory, stage

    def resume(self, step: int) -> None:
        """Removes leftovers of a killed process; later previews are overwritten when their steps are repeated."""
        paths.remove_leftovers(self.directory)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Ignores metrics."""

    def image(self, step: int, image: np.ndarray) -> None:
        """Writes the preview of a step."""
        with paths.atomic_file(self.directory / f"{self.stage}_{step:07d}.png") as temporary:
            Image.fromarray(image).save(temporary, format="PNG")

    def close(self) -> None:
        """Has nothing to flush: every file is written immediately."""


class Everywhere:
    """Forwards to several writers."""

    def __init__(self, *writers: Writer):
        """Takes the writers; without any, nothing is written."""
        self.writers = writers

    def __enter__(self) -> "Everywhere":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resume(self, step: int) -> None:
        """To all."""
        for writer in self.writers:
            writer.resume(step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """To all."""
        for writer in self.writers:
            writer.scalars(step, values)

    def image(self, step: int, image: np.ndarray) -> None:
        """To all."""
        for writer in self.writers:
            writer.image(step, image)

    def close(self) -> None:
        """All of them."""
        for writer in self.writers:
            writer.close()


def make_writer(workdir: Path, *, stage: str, more: Callable[[], Sequence[Writer]] = tuple) -> Everywhere:
    """The writers of a stage, and those that ``more`` makes; only the first of several processes writes."""
    if jax.process_index() != 0:
        return Everywhere()
    return Everywhere(
        JsonLines(workdir / "metrics.jsonl", stage=stage),
        TensorBoard(workdir / "events" / stage),
        PngFiles(workdir / "previews", stage=stage),
        *more(),
    )
