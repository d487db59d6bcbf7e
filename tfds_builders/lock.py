"""One preparation of a dataset at a time."""

import contextlib
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from tfds_builders.bad_files import shown

logger = logging.getLogger(__name__)

FILE = ".lock"
PREVIOUS = "previous_"
"""Stands before the version of a dataset that is being replaced, for the moment between two renames."""


@contextlib.contextmanager
def alone(folder: Path, *, name: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Makes a dataset's folder, keeps other preparations out of it, and clears up after ones that were killed.

    The lock is the operating system's, on ``FOLDER/.lock``: a process that dies gives it back. Where the file system
    knows no locks, that is said and the preparation goes on without.

    Args:
        folder: of all versions of a dataset.
        name: of the dataset, for messages.
        waiting: called with a sentence where another process has the lock; then this one waits. None raises instead.

    Raises:
        OSError: another process has the lock, the folder cannot be written to, or this system has no such locks.
    """
    fcntl = supported()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(fcntl, descriptor, folder, name, waiting)
        _clear(folder)
        yield
    finally:
        os.close(descriptor)


def supported() -> ModuleType:
    """The module with the locks; raises OSError where this system has none."""
    try:
        import fcntl
    except ModuleNotFoundError:
        raise OSError(
            f"Datasets are prepared on Linux and macOS, and on Windows inside WSL; {platform.system()} without WSL has "
            "no file locks of their kind."
        ) from None
    return fcntl


def _take(fcntl: ModuleType, descriptor: int, folder: Path, name: str, waiting: Callable[[str], None] | None) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            sentence = f"{name} is being prepared in {shown(folder)} by another process{holder and f' ({holder})'}"
            if waiting is None:
                raise BlockingIOError(f"{sentence}.") from None
            waiting(f"{sentence}; waiting until it is done.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BlockingIOError:
        raise
    except OSError as error:
        logger.warning("%s: no lock (%s); nothing keeps a second preparation out.", folder, error.strerror)
        return
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


def _clear(folder: Path) -> None:
    """Removes what killed preparations left; a dataset that was about to be replaced gets its name back."""
    for leftover in folder.glob("incomplete.*"):
        shutil.rmtree(leftover)
    for previous in folder.glob(f"{PREVIOUS}*"):
        version = folder / previous.name.removeprefix(PREVIOUS)
        if version.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(version)
