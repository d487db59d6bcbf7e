"""Ctrl-C and SIGTERM as one exception, which clears up and ends a command with one line."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STATUS = 75
"""Exit status of a command that a signal ended (EX_TEMPFAIL): run the same command again."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asks to end. No ``Exception``: nobody is to take it for a fault and go on."""


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM raises ``Interrupted``; later ones are ignored, so that clearing up ends.

    Only the main thread of a process can receive signals; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    before = {each: signal.signal(each, handle) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            if handler is not None:  # None: a library in C handled it, such as JAX in one of several processes.
                signal.signal(each, handler)
