"""All steps of a sampler over a scene of any height, in one sweep from top to bottom.

Each step blends the estimates of overlapping tiles into one image before the sampler goes on, as MultiDiffusion does
(arXiv 2302.08113). A step can denoise a row of tiles as soon as the step before has finished the rows under it, so the
steps follow each other down the scene, one row of tiles apart. Memory holds the rows between them, never the scene;
nothing is computed twice, and the result is exactly that of one step after the other over the whole scene.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from sar2opt_jax.scene.network import Tile, TileNetwork
from sar2opt_jax.scene.rows import Rows
from sar2opt_jax.scene.tiling import BLOCK, Grid, Tiling, filled
from sar2opt_jax.types import Array

CHANNELS = 3
IN_MEMORY_BYTES = 2 * 2**30
"""Rows between the steps beyond this size are kept in a file."""


class Radar(Protocol):
    """A scene's radar image, read by rows."""

    @property
    def height(self) -> int:
        """In pixels."""
        ...

    @property
    def width(self) -> int:
        """In pixels."""
        ...

    @property
    def bands(self) -> int:
        """How many."""
        ...

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows: levels, [rows, width, bands] uint8, and where they are missing, [rows, width] bool."""
        ...


class Finished(NamedTuple):
    """Rows of the translated scene.

    Attributes:
      start: the first row.
      images: of each sample, [samples, rows, width, 3] float32, nominally in [-1, 1].
      missing: where the radar image has no value, [rows, width] bool.
    """

    start: int
    images: np.ndarray
    missing: np.ndarray


class Sweep:
    """A scene that is translated from top to bottom.

    Iterating yields the ``Finished`` rows, ``BLOCK`` of them or fewer at the end, each once and in order.
    """

    def __init__(
        self,
        radar: Radar,
        network: TileNetwork,
        *,
        tiling: Tiling,
        key: Array,
        samples: int = 1,
        first_row: int = 0,
        spill: Path | None = None,
        progress: Callable[[float], Any] = lambda share: None,
    ):
        """Computes nothing yet.

        Args:
          radar: the scene.
          network: what translates its tiles.
          tiling: of the scene; its side is the network's.
          key: of the noise.
          samples: translations, each with noise of its own.
          first_row: the result starts there, or a few rows before; it does not depend on it.
          spill: a directory for rows that are too many for the memory; None keeps all of them there.
          progress: is told each share of the work that is done; they sum to 1.
        """
        self._progress = progress
        self._network, self._key, self._samples, self._radar = network, key, samples, radar
        self._grid = Grid.cover(radar.height, radar.width, tiling)
        steps, tile, axis = network.num_steps, tiling.tile, self._grid.rows
        # From the last step to the first: the rows it starts with, for which the step before must start earlier.
        self._starts: list[int] = []  # of the finished rows of each step, then of x_T
        self._first: list[int] = []  # tile of each step
        start = _aligned(min(first_row, radar.height - 1))
        for _ in range(steps):
            self._starts.insert(0, start)
            self._first.insert(0, axis.first(start))
            start = _aligned(axis.starts[self._first[0]])
        self._starts.insert(0, start)
        self._tile_rows = sum(len(axis.starts) - first for first in self._first)
        self._capacity = tile + 3 * BLOCK
        row_bytes = self._grid.columns.length * CHANNELS * 4 * samples
        held = steps * self._capacity * row_bytes * (3 if network.remembers else 2)
        self._spill = spill if held > IN_MEMORY_BYTES else None
        width, capacity = self._grid.columns.length, self._capacity + (steps + 1) * (tile + BLOCK)
        self._levels = Rows((width, radar.bands), dtype=np.uint8, capacity=capacity, start=start)
        self._missing = Rows((width,), dtype=bool, capacity=capacity, start=start)

    def __iter__(self) -> Iterator[Finished]:
        rows = ((start, (noise,)) for start, noise in self._noise())
        for step in range(self._network.num_steps):
            rows = self._step(step, rows)
        for start, (images,) in rows:
            stop = min(start + images.shape[1], self._radar.height)
            if start < stop:
                missing = self._missing.view(start, stop)[:, : self._radar.width].copy()
                yield Finished(start, images[:, : stop - start, : self._radar.width], missing)

    def _noise(self) -> Iterator[tuple[int, np.ndarray]]:
        length, width = self._grid.rows.length, self._grid.columns.length
        for start in range(self._starts[0], length, BLOCK):
            noise = np.empty((self._samples, min(BLOCK, length - start), width, CHANNELS), np.float32)
            for sample in range(self._samples):
                self._network.start(noise[sample], row=start // BLOCK, key=self._key, sample=sample)
            yield start, noise

    def _rows(self, start: int) -> Rows:
        shape = (self._samples, self._grid.columns.length, CHANNELS)
        return Rows(shape, capacity=self._capacity, axis=1, start=start, spill=self._spill)

    def _step(
        self, step: int, above: Iterator[tuple[int, tuple[np.ndarray, ...]]]
    ) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """Denoises the rows of the step before, and advances all but the last step's.

        Takes and yields the first row and x_t, with the estimate of x_0 that it was made of beside it where the
        sampler remembers that.
        """
        axis, network = self._grid.rows, self._network
        is_last = step == network.num_steps - 1
        remembers = network.remembers and not is_last
        x_t, x_0 = self._rows(self._starts[step]), self._rows(axis.starts[self._first[step]])
        before = self._rows(self._starts[step]) if network.remembers and step else None
        done = self._starts[step + 1]
        for row in range(self._first[step], len(axis.starts)):
            top, bottom, final = axis.starts[row], axis.starts[row] + axis.tile, axis.final(row)
            while x_t.stop < bottom:
                start, given = next(above)
                for held, values in zip((x_t, before), given, strict=False):
                    if held is not None:
                        held.extend(start + values.shape[1])[...] = values
            x_0.extend(bottom)[...] = 0
            self._blend(step, row, x_t.view(top, bottom), x_0.view(top, bottom))
            while done + BLOCK <= final or (done < final == axis.length):
                stop = min(done + BLOCK, axis.length)
                estimate = x_0.view(done, stop)
                if is_last:
                    yield done, (estimate.copy(),)
                else:
                    memory = before.view(done, stop) if before is not None else None
                    advanced = self._advance(step, done, x_t.view(done, stop), estimate, memory)
                    yield done, (advanced, estimate.copy()) if remembers else (advanced,)
                done = stop
            for held in (x_t, x_0, before):
                if held is not None:
                    held.drop(min(done, final))
            if is_last:
                self._levels.drop(min(done, final))
                self._missing.drop(min(done, final))

    def _advance(
        self, step: int, start: int, x_t: np.ndarray, x_0: np.ndarray, before: np.ndarray | None
    ) -> np.ndarray:
        advanced = np.empty_like(x_t)
        for sample in range(self._samples):
            self._network.advance(
                advanced[sample],
                x_t[sample],
                x_0[sample],
                None if before is None else before[sample],
                step=step,
                row=start // BLOCK,
                key=self._key,
                sample=sample,
            )
        return advanced

    def _blend(self, step: int, row: int, x_t: np.ndarray, x_0: np.ndarray) -> None:
        """Adds the weighted estimates of a row of tiles to ``x_0``, always in the same order."""
        top, columns = self._grid.rows.starts[row], self._grid.columns
        self._read(top + columns.tile)
        levels = self._levels.view(top, top + columns.tile)
        missing = self._missing.view(top, top + columns.tile)
        spans = [slice(start, start + columns.tile) for start in columns.starts]
        # Where all is missing, there is nothing to show.
        seen = [column for column, span in enumerate(spans) if not missing[:, span].all()]
        order = [(column, sample) for column in seen for sample in range(self._samples)]
        radar = {column: filled(levels[:, spans[column]], missing[:, spans[column]]) for column in seen}
        tiles = (Tile(x_t[sample, :, spans[column]], radar[column]) for column, sample in order)
        for (column, sample), estimate in zip(order, self._network.denoise(tiles, step=step), strict=True):
            x_0[sample, :, spans[column]] += self._grid.weights(row, column) * estimate
        self._progress(1 / self._tile_rows)

    def _read(self, stop: int) -> None:
        """Holds the radar image up to a row; beyond the border of a scene smaller than a tile is its mirror image."""
        radar, before = self._radar, self._levels.stop
        if stop <= before:
            return
        levels, missing = radar.read(before, min(stop, radar.height))
        width = self._grid.columns.length - radar.width
        height = stop - max(before, radar.height)
        if height > 0:
            # Only a scene that is lower than a tile ends here, and it is read at once.
            levels, missing = (
                np.pad(each, [(0, height)] + [(0, 0)] * (each.ndim - 1), "reflect") for each in (levels, missing)
            )
        self._levels.extend(stop)[...] = np.pad(levels, ((0, 0), (0, width), (0, 0)), "reflect")
        self._missing.extend(stop)[...] = np.pad(missing, ((0, 0), (0, width)), "reflect")


def _aligned(row: int) -> int:
    return row // BLOCK * BLOCK
