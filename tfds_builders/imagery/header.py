"""What an image file says of itself before it is decoded."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from tfds_builders.imagery.georeference import UPRIGHT, Georeference, Turn

COLOURS = ("red", "green", "blue")

_RADIOMETRY = re.compile(
    r"(?:(?:BOA|TOA|RADIO|RADIOMETRIC|REFLECTANCE|RADIANCE)_)*(?:ADD_)?"
    r"(?:OFFSET|SCALE|SCALE_FACTOR|QUANTIFICATION_VALUE|ADD|MULT)(?:_B(?:AND_)?\w{1,2})?"
    r"|PROCESSING_BASELINE|POLARI[SZ]ATION|CALIBRATION|UNITS?",
    re.IGNORECASE,
)
"""Tags of Sentinel-2's, Landsat's and radar products."""
_OFFSET_BASELINE = 4.0  # Sentinel-2: from this processing baseline on, 1000 is added to the stored numbers.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """One band of an image.

    Attributes:
        number: in the file, from 1.
        description: what the file calls it, or empty.
        colour: its colour interpretation, in GDAL's words: ``gray``, ``red``, ``undefined`` ...
        scale, offset: stated by the file; a value is stored * scale + offset. Not applied.
        unit: of the values, as the file states it, or empty.
    """

    number: int
    description: str = ""
    colour: str = "undefined"
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""

    @property
    def name(self) -> str:
        """The description, else the colour of red, green and blue, else the number."""
        return self.description or (self.colour if self.colour in COLOURS else f"band {self.number}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """An image, turned upright: as a viewer, or a map with north at the top, shows it.

    Attributes:
        format: of the file: ``png``, ``jpeg``, ``tiff``, or GDAL's name of another.
        height, width: in pixels.
        dtype: NumPy's name of the data type.
        bands: those that hold data, in the file's order; transparency is none of them.
        alpha: the number of the band of transparency, which is a mask, never data.
        nodata: the value of pixels without data, where the file states it.
        masked: whether the file can mark pixels as empty: by transparency, nodata or a mask.
        white_is_zero: whether the file stores white as 0; values are given with black as 0.
        radiometry: tags that say what stored numbers mean, such as offsets, in the order of their names.
        turn: what was done to bring the stored image upright.
        georeference: of the upright image, where the file has one.
    """

    format: str
    height: int
    width: int
    dtype: str
    bands: tuple[Band, ...]
    alpha: int | None = None
    nodata: float | None = None
    masked: bool = False
    white_is_zero: bool = False
    radiometry: tuple[tuple[str, str], ...] = ()
    turn: Turn = UPRIGHT
    georeference: Georeference | None = None

    @property
    def plain(self) -> bool:
        """Whether any reader of the format gives these values: nothing was turned, inverted or masked."""
        return not self.masked and not self.white_is_zero and self.turn == UPRIGHT

    def __str__(self) -> str:
        return f"{self.height} x {self.width} pixels, {count_bands(len(self.bands))} of {self.dtype}"


def count_bands(count: int) -> str:
    """``1 band`` or ``2 bands``."""
    return "1 band" if count == 1 else f"{count} bands"


def radiometry(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Of a file's tags those that say what its numbers mean.

    Sentinel-2's processing baseline counts by what it means for the numbers: whether 1000 is added.
    """
    return tuple(sorted(_meanings((key, value) for key, value in tags.items() if _RADIOMETRY.fullmatch(key))))


def _meanings(tags: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for key, value in tags:
        if key.upper() != "PROCESSING_BASELINE":
            yield key, value
            continue
        try:
            since = float(value) >= _OFFSET_BASELINE
        except ValueError:
            yield key, value
        else:
            yield key, "04.00 or later" if since else "before 04.00"
