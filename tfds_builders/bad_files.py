"""Files that cannot be used, and the message that names them: one line for a mistake, however often it was made."""

import collections
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LISTED = 10
"""Files with the same mistake that are listed one by one; more of them are one line with their number."""

_SPECIFIC = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S+|[\d.,]*\d")
"""What differs between two reports of the same mistake: names in quotes, paths, numbers."""


class BadFile(NamedTuple):
    """A file that cannot be used, and why."""

    path: Path
    reason: str


class BadFilesError(ValueError):
    """Files of a dataset cannot be used; the message names all of them, or counts those with one mistake.

    Attributes:
        bad: all of them, sorted by path.
        abbreviated: whether the message counts some instead of listing them.
    """

    def __init__(self, bad: Iterable[BadFile], *, root: Path):
        """Sorts ``bad`` by path; ``root`` is the folder that the message names."""
        self.bad = sorted(bad)
        mistakes = by_mistake(self.bad)
        self.abbreviated = any(len(same) > LISTED for same in mistakes)
        lines = "\n".join(f"  {line}" for same in mistakes for line in _lines(same))
        super().__init__(
            f"Files that cannot be used:\n{lines}\n"
            f"{counted(len(self.bad), 'bad file')} under {shown(root)}. Nothing was written: repair or remove them, "
            "or leave them and their partners out with --skip_bad."
        )

    def listing(self) -> str:
        """All bad files, a line each."""
        return "".join(f"{shown(file.path)}: {file.reason}\n" for file in self.bad)


def by_mistake(bad: Sequence[BadFile]) -> list[list[BadFile]]:
    """Groups of files whose reasons differ only in names, paths and numbers, in the order of their first files."""
    groups: dict[str, list[BadFile]] = collections.defaultdict(list)
    for file in bad:
        groups[_SPECIFIC.sub("?", file.reason)].append(file)
    return list(groups.values())


def told_dropped(dropped: Mapping[str, str]) -> list[str]:
    """How many tiles are no examples, for each reason, in words; ``dropped`` gives the reason by id."""
    mistakes = by_mistake([BadFile(Path(name), reason) for name, reason in sorted(dropped.items())])
    return [
        f"{counted(len(same), 'tile')} dropped, the first one {same[0].path}: {same[0].reason}" for same in mistakes
    ]


def counted(number: int, what: str, plural: str = "") -> str:
    """``1 file``, ``2 files``, ``10,002 files``."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def shown(path: str | os.PathLike[str]) -> str:
    """A path as it can be printed: bytes that are no UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _lines(same: Sequence[BadFile]) -> list[str]:
    if len(same) <= LISTED:
        return [f"{shown(file.path)}: {file.reason}" for file in same]
    first = same[0]
    return [f"{counted(len(same), 'file')}, the first one {shown(first.path)}: {first.reason}"]
