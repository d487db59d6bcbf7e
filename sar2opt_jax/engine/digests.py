"""Digests of a checkpoint's files, which detect corrupt files before a run is restored from them.

Readers verify no checksum of the arrays in a checkpoint, so the digest of every file is written beside them, in
``STEP/digests.json``, before the checkpoint takes its name.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence

from etils import epath

FILE = "digests.json"
ALGORITHM = "sha256"
CHUNK_BYTES = 1 << 20


def write(directory: epath.Path) -> None:
    """Writes the digests of all files of the items below a directory into its ``digests.json``."""
    digests = {name: _digest(directory / name) for name in sorted(_files(directory))}
    (directory / FILE).write_text(json.dumps({"algorithm": ALGORITHM, "files": digests}, indent=1))


def faults(directory: epath.Path, *, items: Sequence[str] | None = None) -> list[str]:
    """Messages about the missing and corrupt files of a checkpoint; none for an intact one.

    A checkpoint without digests, written by an earlier version, passes.

    Args:
      directory: the checkpoint.
      items: only these, such as ``("export", "meta")``.
    """
    path = directory / FILE
    if not path.exists():
        return []
    try:
        written = json.loads(path.read_text())
        algorithm, files = written["algorithm"], dict(written["files"])
        hashlib.new(algorithm)
    except (ValueError, KeyError, TypeError) as error:
        return [f"{FILE} is corrupt ({type(error).__name__}: {error})"]
    messages = []
    for name, expected in files.items():
        if items is not None and name.split("/")[0] not in items:
            continue
        if not (directory / name).exists():
            messages.append(f"{name} is missing")
        elif _digest(directory / name, algorithm=algorithm) != expected:
            messages.append(f"{name} does not match its digest")
    return messages


def _files(directory: epath.Path, prefix: str = "") -> Iterator[str]:
    """Of all items, by their path; files beside the items are the checkpoint library's own notes."""
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif prefix:
            yield prefix + entry.name


def _digest(path: epath.Path, *, algorithm: str = ALGORITHM) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
