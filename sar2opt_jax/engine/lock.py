"""One run in a workdir at a time."""

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from sar2opt_jax import paths
from sar2opt_jax.engine import agreement

logger = logging.getLogger(__name__)

FILE = ".lock"

SHARED_SECONDS = 10.0
"""How long a file may take to appear on another host; network file systems list a directory anew every few seconds."""


class WorkdirError(OSError):
    """A workdir that is locked by another run, not writable, not shared, or on a system without file locks."""


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Makes a workdir and locks it against other runs, by a lock of the operating system on ``WORKDIR/.lock``.

    The system releases the lock of a process that dies. Of several processes of one run the first holds the lock, and
    all must see its workdir; a collective operation.
    On a file system without locks the run logs a warning and continues unlocked.

    Args:
      workdir: a directory, made where it is missing.

    Raises:
      WorkdirError: where another run holds it, it cannot be written to, or a process sees another directory there.
    """
    if jax.process_index() != 0:
        _check_shared(workdir)
        yield
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise WorkdirError(
            f"The workdir {workdir} cannot be written to ({error.strerror}). Choose another one with --workdir."
        ) from error
    try:
        if _lock(descriptor, workdir):
            paths.remove_leftovers(workdir)
        _check_shared(workdir)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, workdir: Path) -> bool:
    """Locks the file; False on a file system without locks."""
    try:
        import fcntl  # Not at the top: Windows has none, and a traceback says nothing of that.
    except ModuleNotFoundError:
        raise WorkdirError(
            f"Networks are trained on Linux and macOS, and on Windows inside WSL; {platform.system()} without WSL has "
            "no file locks of their kind."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "unknown"
        raise WorkdirError(
            f"Another run is at work in {workdir} ({holder}). Wait for it, stop it, or choose another --workdir."
        ) from None
    except OSError as error:
        logger.warning("%s: no lock (%s); nothing keeps a second run out of this workdir.", workdir, error.strerror)
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
    return True


def _check_shared(workdir: Path) -> None:
    """Raises WorkdirError in all processes where one of them does not see a file that the first one makes."""
    if jax.process_count() == 1:
        return
    with paths.temporary_path(workdir) as token:
        if jax.process_index() == 0:
            token.touch()
        name = agreement.first_says(token.name)
        seen = jax.process_index() == 0 or _appears(workdir, name)
        answers = agreement.gather("" if seen else platform.node())
    blind = [f"process {number} on {host}" for number, host in enumerate(answers) if host]
    if blind:
        raise WorkdirError(
            f"What the first process writes to the workdir {workdir} is not seen by {', '.join(blind)}. All "
            "processes of a run need one --workdir on a file system that they share, such as NFS or a mounted bucket."
        )


def _appears(directory: Path, name: str) -> bool:
    until = time.monotonic() + SHARED_SECONDS
    while not (directory.is_dir() and name in os.listdir(directory)):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
