"""Paths as users type them, and files and directories that are never half-written.

A file is written under a temporary name in its own directory and renamed when it is complete, so readers see the old
content or the new one. This holds when a process is killed at any time; after a power failure it holds where the file
system orders a rename after the data, and for checkpoints, which ``engine/durable.py`` forces to the disk.
"""

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PathLike = str | os.PathLike[str]

LEFTOVERS = ".*.partial"
"""Matches temporary names, of which a killed process may leave one."""


def local_path(text: PathLike, what: str) -> Path:
    """A path on this machine, with ``~`` expanded; buckets are mounted, never addressed.

    Args:
      text: as it was typed.
      what: the flag or config value that holds it, such as ``--workdir``.

    Raises:
      ValueError: for an empty path, the home of an unknown user, or an address such as ``gs://bucket``.
    """
    if not os.fspath(text).strip():
        raise ValueError(f"{what} is empty; expected a path.")
    if "://" in os.fspath(text):
        raise ValueError(
            f"{what}: {text} is an address; expected a path on this machine (mount a bucket, as launch/tpu_vm.sh does)."
        )
    path = Path(os.path.expanduser(text))
    first = next(iter(path.parts), "")  # None of the current directory.
    if first.startswith("~") and not os.path.lexists(first):
        raise ValueError(f"{what}: {text} names the home of a user {first[1:]!r}, who does not exist.")
    return path


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """A temporary path to write to, which replaces ``path`` when the block succeeds and is removed when it fails.

    The temporary name has no suffix of a format: name the format when writing (``image.save(temporary, "PNG")``).

    Args:
      path: a file, replaced if it exists; of a symbolic link, its target. Missing parent directories are made.
    """
    target = Path(os.path.realpath(path))
    with _parents(target), temporary_path(target.parent) as temporary:
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def atomic_directory(path: PathLike, what: str = "--output") -> Iterator[Path]:
    """An empty temporary directory, which is renamed to ``path`` when the block succeeds and removed when it fails.

    Args:
      path: a directory that does not exist yet, or is empty. Missing parent directories are made.
      what: the flag that holds it.

    Raises:
      ValueError: where ``path`` is a file or a directory with content; before anything is written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{path} exists and is not an empty directory; choose another {what}, or remove it.")
    with _parents(target), temporary_path(target.parent) as temporary:
        temporary.mkdir()
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def temporary_path(directory: Path) -> Iterator[Path]:
    """A name in a directory that no other process or thread has; what has that name when the block ends is removed."""
    # Without the final name, which may be as long as a file system allows.
    temporary = directory / f".{uuid.uuid4().hex}.partial"
    try:
        yield temporary
    finally:
        _remove(temporary)


def remove_leftovers(directory: Path) -> None:
    """Removes temporaries of killed processes; only for who alone writes to ``directory``, such as under its lock."""
    for path in directory.glob(LEFTOVERS):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Makes the missing parent directories of a path; where the block fails, those that are empty are removed."""
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # Another process has put something there.
            for parent in missing:
                parent.rmdir()
        raise


def write_bytes(path: PathLike, content: bytes) -> None:
    """Writes a file as ``atomic_file`` does."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: PathLike, content: str) -> None:
    """Writes a UTF-8 file as ``atomic_file`` does."""
    write_bytes(path, content.encode())


def write_json(path: PathLike, content: Any, *, indent: int | None = 2, sort_keys: bool = False) -> None:
    """Writes JSON as ``atomic_file`` does; see ``to_json``."""
    write_text(path, to_json(content, indent=indent, sort_keys=sort_keys) + "\n")


def to_json(content: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON that every reader takes: NaN and the infinities, which JSON does not have, are null."""
    return json.dumps(_finite(content), indent=indent, sort_keys=sort_keys, allow_nan=False)


def read_json(path: PathLike) -> Any:
    """The content of a JSON file; None where it is missing, unreadable or truncated, so that it is made again."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
