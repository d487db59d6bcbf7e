"""Ctrl-C and SIGTERM as one exception, which clears up and ends a command with one line."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

STATUS = 75
"""Exit status of a command that a signal ended (EX_TEMPFAIL): the same command again does it all."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asks to end. No ``Exception``: nobody is to take it for a fault and go on."""


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM raises ``Interrupted``; later ones are ignored, so that clearing up ends."""

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
            signal.signal(each, handler)
