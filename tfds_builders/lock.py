"""One process at a time in a folder, by a lock of the operating system, which a process that dies gives back."""

import contextlib
import logging
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

logger = logging.getLogger(__name__)

FILE = ".lock"


class UnsupportedError(OSError):
    """This system has no file locks."""


@contextlib.contextmanager
def locked(folder: Path, *, work: str, busy: Callable[[str], None]) -> Iterator[bool]:
    """Makes a folder and holds the lock on ``FOLDER/.lock``.

    Args:
        folder: made where it is missing.
        work: what is done under the lock, such as ``run``, for the warning on a file system without locks.
        busy: called with the process that has the lock, ``process 12 on HOST`` or nothing where that is unknown. It
            raises, or returns to wait for the lock.

    Yields:
        Whether the lock is held: False on a file system without locks.

    Raises:
        UnsupportedError: on a system without locks.
        OSError: the folder cannot be written to.
    """
    fcntl = supported()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield _take(fcntl, descriptor, folder=folder, work=work, busy=busy)
    finally:
        os.close(descriptor)


def supported() -> ModuleType:
    """The module with the locks; raises UnsupportedError where this system has none."""
    try:
        import fcntl  # Not at the top: Windows has none, and a traceback says nothing of that.
    except ModuleNotFoundError:
        raise UnsupportedError(
            f"This runs on Linux and macOS, and on Windows inside WSL; {platform.system()} without WSL has no file "
            "locks of their kind."
        ) from None
    return fcntl


def _take(fcntl: ModuleType, descriptor: int, *, folder: Path, work: str, busy: Callable[[str], None]) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy(os.pread(descriptor, 100, 0).decode(errors="replace").strip())
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("%s: no lock (%s); nothing keeps a second %s out.", folder, error.strerror, work)
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
    return True
