"""A decoded image, and what its two decoders share."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tfds_builders.imagery.header import Header
from tfds_builders.imagery.tile import Span, Window

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

    def decoded(
        self, bands: Sequence[int] | None = None, *, rows: Span | None = None, columns: Span | None = None
    ) -> Raster:
        """Decodes some bands by their numbers in the file, or all that hold data; of some rows and columns of the
        upright image, from the first to before the second, or all."""
        ...


class Part:
    """A window of an open file; an ``Opened`` itself."""

    def __init__(self, whole: Opened, window: Window):
        """Raises ValueError where the window is not inside of the image."""
        header = whole.header
        row, column, height, width = window
        if min(window) < 0 or row + height > header.height or column + width > header.width:
            raise ValueError(f"{header} do not hold a window of {height} x {width} at row {row}, column {column}")
        place = header.georeference
        self._whole, self._window = whole, window
        self.header = dataclasses.replace(
            header, height=height, width=width, georeference=None if place is None else place.of_window(window)
        )

    def decoded(
        self, bands: Sequence[int] | None = None, *, rows: Span | None = None, columns: Span | None = None
    ) -> Raster:
        """See ``Opened``; rows and columns count from the corner of this part."""
        row, column, height, width = self._window
        (top, bottom), (left, right) = rows or (0, height), columns or (0, width)
        whole = self._whole.decoded(bands, rows=(row + top, row + bottom), columns=(column + left, column + right))
        return whole._replace(header=self.header)


def stored_window(header: Header, rows: Span | None, columns: Span | None) -> Window:
    """Where some rows and columns of the upright image lie in the stored one; None is all."""
    height, width = header.height, header.width
    (top, bottom), (left, right) = rows or (0, height), columns or (0, width)
    return header.turn.stored(Window(top, left, bottom - top, right - left), height=height, width=width)


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
