"""Rows of a scene that pass through memory: appended at the bottom, read and changed anywhere, dropped at the top."""

import tempfile
from pathlib import Path

import numpy as np


class Rows:
    """Consecutive rows of a scene, of which only some are held.

    Attributes:
      start: the first row that is held, counted from the scene's top.
      stop: the end of those that are held.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        capacity: int,
        axis: int = 0,
        dtype: type = np.float32,
        start: int = 0,
        spill: Path | None = None,
    ):
        """Holds nothing yet.

        Args:
          shape: of one row, without the axis of rows.
          capacity: rows that are held at once, at most.
          axis: where in the shape the axis of rows is.
          dtype: of the values.
          start: the row that is appended first.
          spill: a directory of which a nameless file keeps the values instead of the memory; None keeps them there.
        """
        full = (*shape[:axis], capacity, *shape[axis:])
        if spill is None:
            self._values = np.empty(full, dtype)
        else:
            with tempfile.TemporaryFile(dir=spill) as file:
                self._values = np.memmap(file, dtype, "w+", shape=full)
        self._axis, self._capacity = axis, capacity
        self._origin = self.start = self.stop = start

    def view(self, start: int, stop: int) -> np.ndarray:
        """Rows that are held, to read and to write."""
        if not self.start <= start <= stop <= self.stop:
            raise IndexError(f"rows {start} to {stop} of those from {self.start} to {self.stop}")
        rows = slice(start - self._origin, stop - self._origin)
        return self._values[(slice(None),) * self._axis + (rows,)]

    def extend(self, stop: int) -> np.ndarray:
        """Appends rows up to ``stop``, whose values are to be set; none where they are held already."""
        before = self.stop
        if stop - self._origin > self._capacity:
            kept = self.view(self.start, self.stop).copy()
            self._origin = self.start
            if stop - self._origin > self._capacity:
                raise IndexError(f"rows up to {stop}, of at most {self._capacity} from {self.start} on")
            self.view(self.start, self.stop)[...] = kept
        self.stop = max(stop, before)
        return self.view(before, self.stop)

    def drop(self, start: int) -> None:
        """Forgets all rows before ``start``."""
        self.start = max(self.start, min(start, self.stop))
