"""What somebody states about own images, in the words of the command's flags."""

import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np

from tfds_builders.files import Kind


class Percentile(NamedTuple):
    """A bound that is measured: so many per cent of the dataset's pixels lie below it."""

    percent: float


Bound = float | Percentile

_MIN_TILE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How the numbers in the files of one kind are understood.

    Attributes:
        range: what becomes 0 and 255, ``-25,0`` in the files' own unit or ``p2,p98`` for percentiles over the whole
            dataset; one for all bands, or one for each: ``-25,0;-32.5,0``. None is for 8-bit files, used as they are.
        scale: one of ``SCALES``; the range holds after it.
        bands: which bands are used, counted from 1, in this order; None is all.
        nodata: a value that marks pixels without data, besides what the files state themselves.
    """

    range: str | None = None
    scale: str = "file"
    bands: tuple[int, ...] | None = None
    nodata: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All that is stated about a dataset of one's own.

    Attributes:
        sar: about the radar images.
        optical: about the optical ones, of which three bands are used: red, green and blue.
        scene_regex: finds the scene in a pair's id, the path below ``sar`` without its ending or what the table says:
            its first group, or all it matches where it has none. None goes by the first subfolder.
        tile: side of the square tiles, in pixels, that files are cut into; None takes files as they are.
        stride: pixels from one tile to the next; None is ``tile``, so that tiles do not overlap.
        max_nodata: share of a tile's pixels that may have no value in one of its images; None is 0.

    Raises:
        ValueError: something stated makes no sense, in the words of the flags.
    """

    sar: Reading = Reading()
    optical: Reading = Reading()
    scene_regex: str | None = None
    tile: int | None = None
    stride: int | None = None
    max_nodata: float | None = None

    def __post_init__(self) -> None:
        for kind, reading in (("sar", self.sar), ("optical", self.optical)):
            if reading.scale not in SCALES:
                raise ValueError(f"--{kind}_scale={reading.scale} is unknown; known are {', '.join(SCALES)}.")
            if reading.range is not None:
                parse_range(reading.range, flag=f"--{kind}_range")
            if reading.bands is not None and (not reading.bands or min(reading.bands) < 1):
                raise ValueError(f"--{kind}_bands={list(reading.bands)} must be numbers from 1 on.")
        if self.optical.bands is not None and len(self.optical.bands) != 3:
            raise ValueError(f"--optical_bands names {len(self.optical.bands)} bands; red, green and blue are 3.")
        if self.scene_regex is not None:
            try:
                re.compile(self.scene_regex)
            except re.error as error:
                raise ValueError(f"--scene_regex={self.scene_regex} is not a regular expression: {error}.") from None

        if self.tile is None:
            for name in ("stride", "max_nodata"):
                if (value := getattr(self, name)) is not None:
                    raise ValueError(f"--{name}={value} is about tiles: state their side, such as --tile=256.")
        elif self.tile < _MIN_TILE:
            raise ValueError(f"--tile={self.tile} must be {_MIN_TILE} pixels or more.")
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"--stride={self.stride} must be 1 pixel or more.")
        if self.max_nodata is not None and not 0 <= self.max_nodata < 1:
            raise ValueError(f"--max_nodata={self.max_nodata:g} must be a share, from 0 to less than 1.")

    def reading(self, kind: Kind) -> Reading:
        """What is stated about one kind."""
        return self.sar if kind == "sar" else self.optical

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, as they are kept with the dataset."""
        plain = dataclasses.asdict(self)
        for kind in ("sar", "optical"):
            bands = plain[kind]["bands"]
            plain[kind]["bands"] = None if bands is None else list(bands)
            if plain[kind]["nodata"] is None:
                del plain[kind]["nodata"]  # As datasets prepared before there was this setting have it.
        for name in ("tile", "stride", "max_nodata"):
            if plain[name] is None:
                del plain[name]
        return plain


def parse_range(text: str, *, flag: str) -> tuple[tuple[Bound, Bound], ...]:
    """The low and the high bound of every band, or of all bands, that ``-25,0;-32.5,0`` or ``p2,p98`` states.

    Raises:
        ValueError: it states something else; ``flag`` is what the message calls it.
    """
    limits = []
    for part in text.split(";"):
        try:
            low, high = (_bound(word.strip()) for word in part.split(","))
        except ValueError:
            raise ValueError(
                f"{flag}={text}: {part!r} is no range, expected LOW,HIGH such as -25,0 or p2,p98, and one such pair "
                "for each band, separated by semicolons, where bands differ."
            ) from None
        measured = isinstance(low, Percentile), isinstance(high, Percentile)
        if measured in ((True, True), (False, False)) and not _number(low) < _number(high):
            raise ValueError(f"{flag}={text}: the low end must be below the high end.")
        limits.append((low, high))
    return tuple(limits)


def exact(value: float) -> str:
    """A number with all its digits, so that it can be stated and is the same."""
    return repr(float(value)).removesuffix(".0")


def _bound(word: str) -> Bound:
    value = float(word.removeprefix("p"))
    if not np.isfinite(value) or (word.startswith("p") and not 0 <= value <= 100):
        raise ValueError(word)
    return Percentile(value) if word.startswith("p") else value


def _number(bound: Bound) -> float:
    return bound.percent if isinstance(bound, Percentile) else bound


def _decibel(values: np.ma.MaskedArray, factor: float) -> np.ma.MaskedArray:
    """``factor`` log10; where there is no echo at all there is no value either, as at the border of a product."""
    return np.ma.array(factor * np.ma.log10(values), copy=False)


SCALES = {
    "file": lambda values: values,
    "linear": lambda values: _decibel(values, 10),
    "amplitude": lambda values: _decibel(values, 20),
}
"""What is done to a file's numbers before the range: nothing; intensity to dB; amplitude, its root, to dB."""
