"""What became of many scenes: a file with a JSON line for each."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from sar2opt_jax import paths
from sar2opt_jax.scene import locks

STATUSES = ("done", "current", "failed")
"""Translated now; made earlier by the same model and settings; not translated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneRecord:
    """A line of the file.

    Attributes:
      input: path or address, without signatures.
      output: the translation.
      status: one of ``STATUSES``.
      seconds: that it took.
      megapixels: of the scene; None where they are not known.
      notes: what was assumed, converted or is worth to know, a sentence each.
      reason: why it failed; else None.
      model: the model's fingerprint.
      time: when it ended, ISO 8601 in UTC.
    """

    input: str
    output: str
    status: str
    seconds: float
    megapixels: float | None
    notes: tuple[str, ...]
    reason: str | None
    model: str
    time: str


class Journal:
    """Writes the file: a line is appended whole when a scene ends; when the last has, one line of each scene stays.

    A process that is killed leaves complete lines; of a scene with several the last one counts. The file is locked.
    """

    def __init__(self, path: Path):
        """Opens the file, whose incomplete lines are removed.

        Raises:
          BlockingIOError: where another process writes to it.
          OSError: where it cannot be written.
        """
        self._path = path
        self._stack = contextlib.ExitStack()
        with self._stack:
            self._stack.enter_context(locks.held(path))
            self._lines = {record["output"]: record for record in read(path)}
            self._compact()
            # Not buffered: one call of the system appends a line.
            self._file = self._stack.enter_context(path.open("ab", buffering=0))
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._stack, contextlib.suppress(OSError):  # What cannot be rewritten stays as it was appended.
            self._compact()

    def write(self, record: SceneRecord) -> None:
        """Appends a line. What an earlier one tells of an output that is still current is kept."""
        line = dataclasses.asdict(record)
        earlier = self._lines.get(record.output)
        if record.status == "current" and earlier and earlier["status"] != "failed":
            line |= {name: earlier.get(name) for name in ("seconds", "megapixels", "notes")}
        self._lines.pop(record.output, None)
        self._lines[record.output] = line
        rest = _encoded(line)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _compact(self) -> None:
        if self._lines:
            paths.write_bytes(self._path, b"".join(map(_encoded, self._lines.values())))


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of the file, without those that are incomplete; empty where it is missing."""
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and {"output", "status"} <= record.keys():
                records.append(record)
    return records


def _encoded(line: dict[str, Any]) -> bytes:
    return f"{paths.to_json(line)}\n".encode()
