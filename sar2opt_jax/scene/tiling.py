"""Tiles that cover a scene, weights that blend them, and noise that belongs to the scene's pixels.

Tiles overlap. Where they do, their images are averaged by weights that fall towards each tile's border and sum to one
at every pixel, so what all tiles agree on comes out unchanged. The noise of a pixel follows from the seed and the
pixel's row and column alone: tiles that share a pixel share its noise, and any window of the noise is the same as that
part of a larger one.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.types import Array

BLOCK = 64
"""Side of the squares of pixels whose noise is drawn from one key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a scene is cut.

    Attributes:
      tile: side of a tile in pixels.
      overlap: at least so many pixels are shared by neighbouring tiles.

    Raises:
      ValueError: at construction, for an overlap that is not from 0 to half of a tile.
    """

    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.tile < 1 or not 0 <= 2 * self.overlap <= self.tile:
            raise ValueError(
                f"The overlap of tiles is 0 to half of a tile's side; got {self.overlap} pixels of {self.tile}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """The tiles along one side of a scene, evenly spaced.

    Attributes:
      length: of the covered side: the scene's, or a tile's where that is larger.
      tile: side of a tile.
      starts: the first pixel of each tile, ascending.
      weights: [tiles, tile] float32; over all tiles they sum to one at each pixel.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    weights: np.ndarray

    @classmethod
    def cover(cls, length: int, tiling: Tiling) -> "Axis":
        """As few tiles as cover ``length`` pixels with the overlap that is asked for."""
        tile, covered = tiling.tile, max(length, tiling.tile)
        count = 1 - (tile - covered) // (tile - tiling.overlap)  # 1 + ceil((covered - tile) / stride)
        starts = np.round(np.linspace(0, covered - tile, count)).astype(int)
        # sin^2 rises smoothly over the overlap; what remains for other tiles is a cos^2.
        ramp = np.sin(np.pi / 2 * (np.arange(tile) + 0.5) / max(tiling.overlap, 1)).clip(0, 1) ** 2
        ramp[tiling.overlap :] = 1
        window = ramp * ramp[::-1]
        total = np.zeros(covered)
        for start in starts:
            total[start : start + tile] += window
        weights = np.stack([window / total[start : start + tile] for start in starts])
        return cls(
            length=covered, tile=tile, starts=tuple(int(start) for start in starts), weights=weights.astype(np.float32)
        )

    def final(self, index: int) -> int:
        """The end of the pixels that no tile after this one covers."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.length

    def first(self, pixel: int) -> int:
        """The first tile that covers any pixel from ``pixel`` on."""
        return sum(start + self.tile <= pixel for start in self.starts)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The tiles of a scene: every tile of ``rows`` with every tile of ``columns``."""

    rows: Axis
    columns: Axis

    @classmethod
    def cover(cls, height: int, width: int, tiling: Tiling) -> "Grid":
        """The tiles that cover a scene of this size."""
        return cls(rows=Axis.cover(height, tiling), columns=Axis.cover(width, tiling))

    def weights(self, row: int, column: int) -> np.ndarray:
        """Of one tile, [tile, tile, 1] float32."""
        return (self.rows.weights[row][:, None] * self.columns.weights[column])[..., None]


def filled(levels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """A tile whose missing pixels mirror those beyond the nearest valid one.

    The network's norms are statistics over the tile: what is missing then has the statistics of what is not.

    Args:
      levels: [height, width, bands].
      missing: [height, width] bool, not all of them.

    Returns:
      Like ``levels``.
    """
    if not missing.any():
        return levels
    from scipy import ndimage  # Late: few scenes need it.

    nearest = np.asarray(ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True))
    limits = np.array(missing.shape).reshape(2, 1, 1) - 1
    mirrored = np.clip(2 * nearest - np.indices(missing.shape), 0, limits)
    row, column = np.where(missing[tuple(mirrored)], nearest, mirrored)
    return levels[row, column]


def block_noise(key: Array, row: Array, column: Array, *, columns: int, channels: int = 3) -> Array:
    """Standard normal noise of a row of blocks.

    Args:
      key: of the seed and the step of sampling.
      row: number of the row of blocks: that of its pixels is ``BLOCK`` times as large.
      column: number of the first block.
      columns: number of blocks.
      channels: of the noise.

    Returns:
      [BLOCK, columns * BLOCK, channels] float32.
    """
    of_row = jax.random.fold_in(key, row)
    keys = jax.vmap(functools.partial(jax.random.fold_in, of_row))(column + jnp.arange(columns))
    blocks = jax.vmap(lambda key: jax.random.normal(key, (BLOCK, BLOCK, channels), jnp.float32))(keys)
    return blocks.transpose(1, 0, 2, 3).reshape(BLOCK, columns * BLOCK, channels)
