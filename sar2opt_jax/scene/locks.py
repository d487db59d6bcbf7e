"""One process at a time at one output."""

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.2

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def held(path: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the operating system's lock on ``.NAME.lock`` beside ``path``, a file that is removed afterwards.

    The lock of a process that dies is released. On a file system without locks a warning is logged, and nothing is
    held.

    Args:
      path: what is worked on; its missing parent directories are made.
      wait_seconds: how long to wait for another process.

    Raises:
      BlockingIOError: where another process holds it for longer.
      OSError: where the directory cannot be written to.
    """
    file = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + wait_seconds
    file.parent.mkdir(parents=True, exist_ok=True)
    while (descriptor := _locked(file)) is None:
        if time.monotonic() >= until:
            raise BlockingIOError(f"another process is at work on {path}{_holder(file)}.")
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # Before the lock is released, so that it is never that of another process.
        os.close(descriptor)


def _holder(file: Path) -> str:
    with contextlib.suppress(OSError):
        return f" ({file.read_text(encoding='utf-8').strip()})"
    return ""


def _locked(file: Path) -> int | None:
    """An open file that is locked; None where another process has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        import fcntl  # Not at the top: Windows has none.

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the file after it was opened here.
        if not file.exists() or not os.path.samestat(os.fstat(descriptor), file.stat()):
            raise BlockingIOError
    except BlockingIOError:
        os.close(descriptor)
        return None
    except (OSError, ModuleNotFoundError) as error:
        logger.warning("%s: no lock (%s); nothing keeps a second process from the same output.", file.parent, error)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
    return descriptor
