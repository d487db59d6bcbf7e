"""A network and a sampler as the two compiled programs that every tile and every row of every scene goes through."""

import dataclasses
import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from sar2opt_jax.data.scaling import to_float
from sar2opt_jax.scene import tiling
from sar2opt_jax.scene.tiling import BLOCK
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, Params

BLOCKS = 8
"""Blocks of noise that are drawn, and pixels of a row's blocks that are advanced, in one call."""
PIXELS, CPU_PIXELS = 8 * 256**2, 256**2
"""Of the tiles at once: on an accelerator enough to fill it; on a CPU fewer, as its cores share one tile as well."""
MOST_TILES = 64
IN_FLIGHT = 2
"""Batches of tiles that devices work on while the results of earlier ones are blended."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """What the network sees of one tile.

    Attributes:
      x_t: [tile, tile, 3] float32.
      radar: [tile, tile, bands] uint8.
    """

    x_t: np.ndarray
    radar: np.ndarray


class TileNetwork:
    """Estimates of x_0 for tiles, and steps of the sampler between them.

    Attributes:
      method: how to sample.
      tile: side of a tile in pixels.
      num_steps: of the method.
      params: of the network, on all devices.
      is_on_cpu: whether the devices are the CPU's.
    """

    def __init__(
        self,
        translator: Translator,
        params: Params,
        *,
        method: Method,
        tile: int,
        batch: int | None = None,
        devices: Sequence[Any] | None = None,
    ):
        """Puts the parameters on all devices.

        Args:
          translator: the network and how to sample it.
          params: of the network.
          method: how to sample.
          tile: side of a tile in pixels.
          batch: tiles at once on each device; None is what suits it.
          devices: of JAX; None takes all of this process.
        """
        self.method, self.tile, self.num_steps = method, tile, method.num_steps
        self._translator = translator
        devices = list(jax.local_devices() if devices is None else devices)
        self.is_on_cpu = devices[0].platform == "cpu"
        pixels = CPU_PIXELS if self.is_on_cpu else PIXELS
        per_device = batch or max(1, min(MOST_TILES, pixels // tile**2))
        self._batch = per_device * len(devices)
        mesh = jax.make_mesh((len(devices),), ("tiles",), axis_types=(AxisType.Auto,), devices=devices)
        self._sharding = NamedSharding(mesh, P("tiles"))
        self.params = jax.device_put(params, NamedSharding(mesh, P()))
        self._times = np.asarray(translator.timesteps(method)[0], np.int32)
        self._denoise = jax.jit(lambda params, sar, x_t, t: translator.denoiser(params, sar)(x_t, t))
        self._start = jax.jit(functools.partial(tiling.block_noise, columns=BLOCKS))
        self._advance = jax.jit(self._advanced, static_argnames="step")

    def denoise(self, tiles: Iterable[Tile], *, step: int) -> Iterator[np.ndarray]:
        """The estimates of x_0 in the order of the tiles, [tile, tile, 3] float32; devices work ahead."""
        waiting: deque[tuple[int, Array]] = deque()
        for batch in _batches(tiles, self._batch):
            waiting.append((len(batch), self._dispatch(batch, step=step)))
            if len(waiting) > IN_FLIGHT:
                yield from _fetched(*waiting.popleft())
        while waiting:
            yield from _fetched(*waiting.popleft())

    def _dispatch(self, batch: list[Tile], *, step: int) -> Array:
        padded = [*batch, *batch[-1:] * (self._batch - len(batch))]  # One shape, so that one program serves all.
        x_t = np.stack([each.x_t for each in padded])
        sar = to_float(np.stack([each.radar for each in padded]))
        t = np.full(self._batch, self._times[step], np.int32)
        return self._denoise(self.params, *jax.device_put((sar, x_t, t), self._sharding))

    def start(self, out: np.ndarray, *, row: int, key: Array, sample: int) -> None:
        """Draws x_T for a row of blocks.

        Args:
          out: [at most BLOCK, width, 3], which is filled.
          row: number of the row of blocks.
          key: of the noise.
          sample: its number; each has noise of its own.
        """
        key = _key(key, sample, 0)
        for columns, block in _spans(out.shape[1]):
            out[:, columns] = np.asarray(self._start(key, row, block))[: len(out), : columns.stop - columns.start]

    def advance(
        self,
        out: np.ndarray,
        x_t: np.ndarray,
        x_0: np.ndarray,
        x_0_before: np.ndarray | None,
        *,
        step: int,
        row: int,
        key: Array,
        sample: int,
    ) -> None:
        """One step of the sampler for a row of blocks; ``out``, ``row`` and the rest as of ``start``.

        Args:
          out: like ``x_t``, which is filled with x at the time of the next step.
          x_t: [at most BLOCK, width, 3].
          x_0: the estimate at ``x_t``.
          x_0_before: that of the step before; None at step 0.
          step: its number.
          row: see ``out``.
          key: see ``out``.
          sample: see ``out``.
        """
        key = _key(key, sample, step + 1)
        given = (x_t, x_0) if x_0_before is None or not self.remembers else (x_t, x_0, x_0_before)
        for columns, block in _spans(out.shape[1]):
            width = columns.stop - columns.start
            padding = ((0, BLOCK - len(out)), (0, BLOCKS * BLOCK - width), (0, 0))
            images = [np.pad(image[:, columns], padding) for image in given]
            out[:, columns] = np.asarray(self._advance(key, row, block, *images, step=step))[: len(out), :width]

    @property
    def remembers(self) -> bool:
        """Whether the sampler needs the estimate of the step before."""
        return self._translator.sampler(self.method).is_multistep

    def _advanced(
        self, key: Array, row: Array, block: Array, x_t: Array, x_0: Array, before: Array | None = None, *, step: int
    ) -> Array:
        noise = tiling.block_noise(key, row, block, columns=BLOCKS)
        return self._translator.advance(
            x_t[None],
            x_0[None],
            noise[None],
            x_0_before=None if before is None else before[None],
            method=self.method,
            step=step,
        )[0]


def _key(key: Array, sample: int, drawn: int) -> Array:
    """Of all noise of one kind: 0 is x_T, i + 1 that of step i."""
    return jax.random.fold_in(jax.random.fold_in(key, sample), drawn)


def _spans(width: int) -> Iterator[tuple[slice, int]]:
    """Columns that one call fills, and the number of their first block."""
    for block in range(0, -(-width // BLOCK), BLOCKS):
        yield slice(block * BLOCK, min((block + BLOCKS) * BLOCK, width)), block


def _batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    batch: list[Tile] = []
    for tile in tiles:
        batch.append(tile)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _fetched(count: int, estimates: Array) -> Iterator[np.ndarray]:
    yield from np.asarray(estimates)[:count]
