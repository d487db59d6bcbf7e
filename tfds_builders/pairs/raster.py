"""The images of somebody's own files as a ``files.Format``: of one form, stored with 8 bits a channel."""

import dataclasses
import io
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from tfds_builders import imagery
from tfds_builders.imagery import Source
from tfds_builders.pairs.settings import SCALES
from tfds_builders.pairs.signature import Signature, difference, order, same_form
from tfds_builders.values import BlankError, Decoded, check_varies, suspects

_TILE = 256  # pixels; what is advised


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raster:
    """Images of one size, one number of bands and one data type; a ``files.Format``.

    Attributes:
        expected: what every file has in common.
        like: a file that has it, named where another differs.
        bands: which bands become channels, by their numbers in ``like``.
        grey: one channel, which a file may hold several times in equal bands, as grey is often saved as colour.
        scale: one of ``settings.SCALES``.
        limits: what becomes 0 and 255, a channel, after the scale; None takes 8-bit values as they are.
        nodata: a value that marks pixels without data, besides the one that a file states itself.
        encoding: of an image in the dataset. ``zlib`` is an array, as image files have one or three channels.
    """

    expected: Signature
    like: Path
    bands: tuple[int, ...]
    grey: bool = False
    scale: str = "file"
    limits: tuple[tuple[float, float], ...] | None = None
    nodata: float | None = None
    encoding: Literal["png", "jpeg", "zlib"] = "png"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image in the dataset."""
        return *self.expected.size, len(self.bands)

    @property
    def dtype(self) -> str:
        """NumPy's name of the data type of every file."""
        return self.expected.dtype

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels."""
        if self.grey and not self.expected.described:
            return ("band 1",)
        return self.expected.band_names(self.bands)

    @property
    def as_they_are(self) -> bool:
        """Whether the values of files are stored unchanged, in all their bands."""
        unchanged = self.limits is None and self.nodata is None
        return unchanged and self.dtype == "uint8" and self.bands == self.expected.numbers

    def values(self, source: Source) -> np.ma.MaskedArray:
        """The numbers the range is about, [height, width, channel]; masked where there is none.

        Raises:
            ValueError: a file unlike the others, or without a value; what differs is noticed before it is decoded.
            OSError: it cannot be read.
        """
        return self._scaled(self._numbers(source))

    def read(self, source: Source) -> np.ndarray:
        """See ``files.Format``: clipped to the range, which becomes 0 .. 255; 0 where there is no value."""
        return self._stored(self.values(source))

    def decode(self, source: Source) -> Decoded:
        """See ``files.Format``."""
        numbers = self._numbers(source)
        scaled = self._scaled(numbers)
        if self.limits is not None:
            check_varies(scaled, self.names)
        numbers = np.ma.array(np.ma.getdata(numbers), mask=np.ma.getmaskarray(scaled))
        return Decoded(
            image=self._stored(scaled),
            clipped=self._clipped(scaled),
            suspects=suspects(numbers),
            lowest=float(numbers.min()),
        )

    def stored(self, source: Source) -> Path | bytes | np.ndarray:
        """See ``files.Format``. Files that need no change go in byte for byte."""
        if self.as_they_are and isinstance(source, Path):
            header = imagery.header(source)
            alike = len(header.bands) == len(self.bands) and order(Signature.of(header), self.expected) == self.bands
            if header.format == self.encoding and header.plain and alike:
                return source
        image = np.ma.getdata(self.read(source))
        if self.encoding == "zlib":
            return image
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, format="PNG")
        return file.getvalue()

    def _numbers(self, source: Source) -> np.ma.MaskedArray:
        """The numbers in the file, of the bands that become channels, masked where it has none."""
        with imagery.opened(source) as image:
            found = Signature.of(image.header)
            counts = {len(found.numbers), len(self.expected.numbers)}
            may_differ = self.grey and len(counts) > 1
            if not may_differ and (wrong := difference(found, self.expected)) is not None:
                raise ValueError(f"{wrong}, like {self.like}{self._way_out(found)}")
            if self.grey and max(counts) > 1:
                raster = self._one_of_equal(image)
            else:
                ordered = order(found, self.expected) or found.numbers
                raster = image.decoded([ordered[self.expected.numbers.index(band)] for band in self.bands])
        empty = raster.mask
        if self.nodata is not None:
            empty = empty | (raster.values == np.array(self.nodata, raster.values.dtype))
        return np.ma.array(raster.values, mask=empty)

    def _way_out(self, found: Signature) -> str:
        """For images of another size, which may be scenes."""
        is_scene = found.size != self.expected.size and min(found.size) >= _TILE
        return f"; --tile={_TILE} cuts images of any size" if is_scene else ""

    def _one_of_equal(self, image: imagery.Opened) -> imagery.Raster:
        """The first band of a file whose bands are all equal."""
        found = Signature.of(image.header)
        one = self.expected._replace(numbers=(1,))
        if not same_form(found._replace(numbers=(1,)), one):
            raise ValueError(f"{found}, expected {one}, like {self.like}")
        raster = image.decoded()
        if band_spread(raster) > 0:
            raise ValueError(f"{found}, expected {one}, like {self.like}")
        return raster._replace(values=raster.values[..., :1], mask=raster.mask[..., :1])

    def _scaled(self, numbers: np.ma.MaskedArray) -> np.ma.MaskedArray:
        scaled = SCALES[self.scale](np.ma.masked_invalid(numbers))
        if np.ma.getmaskarray(scaled).any(axis=-1).all():
            raise BlankError("no pixel has a value" + (" in all its bands" if len(self.bands) > 1 else ""))
        return scaled

    def _stored(self, scaled: np.ma.MaskedArray) -> np.ndarray:
        if self.limits is None:
            stored = scaled.filled(0)
        else:
            low, high = np.array(self.limits).T
            share = (np.ma.getdata(scaled).astype(np.float64) - low) / (high - low)
            stored = np.where(np.ma.getmaskarray(scaled), 0, np.round(255 * share.clip(0, 1))).astype(np.uint8)
        return np.ma.array(stored, mask=scaled.mask) if np.ma.is_masked(scaled) else stored

    def _clipped(self, scaled: np.ma.MaskedArray) -> np.ndarray | None:
        if self.limits is None:
            return None
        low, high = np.array(self.limits).T
        sides = (scaled < low, scaled > high)
        return np.stack([np.ma.filled(side, False).sum(axis=(0, 1)) for side in sides], axis=-1)


def band_spread(raster: imagery.Raster) -> float:
    """By how much the bands of an image differ from its first one, on average; 0 only if all are one and the same."""
    values, mask = raster.values.astype(np.float64), raster.mask
    if (mask != mask[..., :1]).any():
        return np.inf
    found = np.abs(values - values[..., :1])[~mask]
    return float(found.mean()) if len(found) else 0.0
