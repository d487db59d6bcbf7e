"""Reads and writes the rows of a scene in threads of their own, while others are translated."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np

from sar2opt_jax.scene.sweep import Radar

READ_ROWS = 128
"""Rows that are decoded at once."""
AHEAD = 2
"""Reads that are ahead of the translation, and writes that are behind it."""


class ReadAhead:
    """A scene whose next rows are decoded while others are translated; it is read from top to bottom, once.

    See ``sweep.Radar``. It is a context manager.
    """

    def __init__(self, radar: Radar):
        """Reads nothing yet."""
        self._radar, self._pool = radar, ThreadPoolExecutor(1, "read")
        self.height, self.width, self.bands = radar.height, radar.width, radar.bands
        self._pending: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
        self._asked: int | None = None  # the end of what is being read
        self._held: tuple[np.ndarray, np.ndarray] | None = None

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``sweep.Radar``; ``start`` is where the last call ended."""
        if self._asked is None:
            self._asked = start
        self._ask()
        taken = [] if self._held is None else [self._held]
        while sum(len(levels) for levels, _ in taken) < stop - start:
            taken.append(self._pending.popleft().result())
            self._ask()
        levels, missing = (np.concatenate(each) for each in zip(*taken, strict=True))
        count = stop - start
        self._held = levels[count:], missing[count:]
        return levels[:count], missing[:count]

    def _ask(self) -> None:
        assert self._asked is not None
        while len(self._pending) < AHEAD and self._asked < self.height:
            start, self._asked = self._asked, min(self._asked + READ_ROWS, self.height)
            self._pending.append(self._pool.submit(self._radar.read, start, self._asked))

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class WriteBehind:
    """Calls a function in a thread of its own, in order; after a call that failed no other is made, and the next one, or
    the end, raises its error.

    It is a context manager, which ends when all is written.
    """

    def __init__(self, write: Callable[..., Any]):
        """Calls nothing yet."""
        self._write, self._pool = write, ThreadPoolExecutor(1, "write")
        self._pending: deque[Future[Any]] = deque()
        self._has_failed = False

    def __call__(self, *arguments: Any) -> None:
        """Calls the function with these arguments, later."""
        while len(self._pending) >= AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._try, *arguments))

    def _try(self, *arguments: Any) -> None:
        if self._has_failed:  # What follows lost rows would be in their place.
            return
        try:
            self._write(*arguments)
        except BaseException:
            self._has_failed = True
            raise

    def __enter__(self) -> "WriteBehind":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            for pending in self._pending:
                pending.result()
