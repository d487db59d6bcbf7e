"""The files that a dataset was prepared from, by names and sizes: what tells that others lie there now."""

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfds_builders.bad_files import BadFile, counted
from tfds_builders.files import KINDS, Pair


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """Names and sizes of the files of a dataset, good and bad.

    Attributes:
        count: how many.
        bytes: of all of them.
        digest: SHA-256, in hex, of the sorted names below the folder and the sizes.
        newest: when the last one was modified, in seconds since 1970; 0 where there is none.
    """

    count: int
    bytes: int
    digest: str
    newest: float = 0.0

    @classmethod
    def of(
        cls, pairs: Iterable[Pair], bad: Iterable[BadFile], *, root: Path, table: Path | None = None
    ) -> "SourceFiles":
        """Looks at the files of ``pairs``, the ``bad`` ones and the table, all of them named from ``root`` on."""
        # Strings, not paths: of 282,384 pairs the files are looked at in seconds.
        below = os.path.join(os.path.abspath(root), "")
        paths = {os.path.abspath(pair.path(kind)) for pair in pairs for kind in KINDS}
        paths |= {os.path.abspath(file.path) for file in bad} | ({os.path.abspath(table)} if table else set())
        digest, count, total, newest = hashlib.sha256(), 0, 0, 0.0
        for name, path in sorted((os.fsencode(path.removeprefix(below)), path) for path in paths):
            try:
                status = os.stat(path)
            except OSError:
                size = -1  # It is named all the same: a file that is missing may come.
            else:
                size = status.st_size if stat.S_ISREG(status.st_mode) else -1
                newest = max(newest, status.st_mtime)
            count, total = count + 1, total + max(size, 0)
            digest.update(b"%b\0%d\n" % (name, size))
        return cls(count=count, bytes=total, digest=digest.hexdigest(), newest=newest)

    def as_json(self) -> dict[str, Any]:
        """What is kept with a dataset; times of files change when they are copied."""
        return {"files": self.count, "bytes": self.bytes, "digest": self.digest}

    def difference(self, kept: Mapping[str, Any]) -> str | None:
        """How these files differ from those that a dataset was prepared from, ``as_json`` of then; None where not."""
        if self.digest == kept["digest"]:
            return None
        now, then = ((f"{counted(c, 'file')} of {b:,} bytes") for c, b in ((self.count, self.bytes), _sizes(kept)))
        return f"{now} now, {then} then" if now != then else f"{now}, as many as then, but of other names or sizes"


def _sizes(kept: Mapping[str, Any]) -> tuple[int, int]:
    return kept["files"], kept["bytes"]
