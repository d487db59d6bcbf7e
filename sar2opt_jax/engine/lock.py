"""One run in a workdir at a time."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from sar2opt_jax import paths
from sar2opt_jax.engine import agreement
from tfds_builders import lock

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
    with contextlib.ExitStack() as stack:
        try:
            is_locked = stack.enter_context(
                lock.locked(workdir, work="run", busy=lambda holder: _refuse(workdir, holder))
            )
        except WorkdirError:
            raise
        except lock.UnsupportedError as error:
            raise WorkdirError(str(error)) from None
        except OSError as error:
            raise WorkdirError(
                f"The workdir {workdir} cannot be written to ({error.strerror}). Choose another one with --workdir."
            ) from error
        if is_locked:
            paths.remove_leftovers(workdir)
        _check_shared(workdir)
        yield


def _refuse(workdir: Path, holder: str) -> None:
    raise WorkdirError(
        f"Another run is at work in {workdir} ({holder or 'unknown'}). Wait for it, stop it, or choose another "
        "--workdir."
    )


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
