"""A decoded image, and what its two decoders share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tfds_builders.imagery.header import Header

EXPECTED = "expected grey or RGB of 8 or 16 bits"
_MAX_HALF_TRANSPARENT = 0.1  # Share of pixels; an antialiased edge has fewer, an image that was saved as alpha more.


class Raster(NamedTuple):
    """A decoded image.

    Attributes:
        values: [height, width, band] of the header's data type.
        mask: the same shape; True where there is no value: nodata, transparent, masked, NaN or infinite.
        header: what the file says of itself.
    """

    values: np.ndarray
    mask: np.ndarray
    header: Header


class Opened(Protocol):
    """An open file of which no pixel is decoded yet."""

    @property
    def header(self) -> Header:
        """What the file says of itself."""
        ...

    def decoded(self, bands: Sequence[int] | None = None, *, rows: tuple[int, int] | None = None) -> Raster:
        """Decodes some bands by their numbers in the file, or all that hold data; of some rows of the upright image,
        from the first to before the second, or all."""
        ...


def upright(header: Header, values: np.ndarray, mask: np.ndarray) -> Raster:
    """The stored values and mask, turned as the header says."""
    return Raster(header.turn.apply(values), header.turn.apply(mask), header)


def numbers(header: Header, bands: Sequence[int] | None) -> list[int]:
    """The bands that are asked for; None asks for all that hold data."""
    return [band.number for band in header.bands] if bands is None else list(bands)


def transparent(alpha: np.ndarray, *, band: int, opaque: float) -> np.ndarray:
    """Where an image is fully transparent.

    Raises:
        ValueError: the values are those of an image: a channel that was saved as transparency.
    """
    between = (alpha > 0) & (alpha < opaque)
    if between.mean() > _MAX_HALF_TRANSPARENT and len(np.unique(alpha[between])) > 16:
        raise ValueError(
            f"band {band} is marked as transparency (alpha), but holds an image: save it as a band without that mark "
            "(in GDAL by ALPHA=NO) if it is a channel, or leave it out"
        )
    return alpha == 0
