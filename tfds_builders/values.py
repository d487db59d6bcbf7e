"""What the values of images look like over a whole dataset: how many are clipped, how many are one and the same."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

MAX_SHARE = 0.5
"""Of the values of a band that may be clipped, or may be one value; above it a range or unit is misunderstood."""


_MIN_RUN = 8  # pixels
_FREQUENT = 0.01  # Share of an image.


class BlankError(ValueError):
    """An image without values, or with one value in all pixels of a band: nothing can be learned from it."""


class Decoded(NamedTuple):
    """An image as it is stored, and what was seen on the way.

    Attributes:
        image: [height, width, channel] uint8; masked where there is no value in the file.
        clipped: [channel, 2], how many values lie below and above the range; None where there is no range.
        suspects: values in the file's unit that look like those of pixels without data, see ``suspects``.
        lowest: the lowest value, in the file's unit.
    """

    image: np.ndarray
    clipped: np.ndarray | None = None
    suspects: tuple[float, ...] = ()
    lowest: float | None = None


class Counts(NamedTuple):
    """How often each stored value occurs in an image, [channel, 256], and how many were clipped, [channel, 2]."""

    levels: np.ndarray
    clipped: np.ndarray


def counts(decoded: Decoded) -> Counts:
    """Of pixels that have a value in their band."""
    levels = count_levels(decoded.image)
    clipped = np.zeros((len(levels), 2), np.int64) if decoded.clipped is None else decoded.clipped
    return Counts(levels, clipped)


def count_levels(image: np.ndarray) -> np.ndarray:
    """How often each value occurs in an image [height, width, channel] uint8 where it is not masked; [channel, 256]."""
    planes = np.ascontiguousarray(np.moveaxis(np.ma.getdata(image), -1, 0))
    there = ~np.moveaxis(np.ma.getmaskarray(image), -1, 0) if np.ma.is_masked(image) else None
    values = (plane.ravel() if there is None else plane[there[channel]] for channel, plane in enumerate(planes))
    return np.stack([np.bincount(found, minlength=256) for found in values])


@dataclasses.dataclass(kw_only=True)
class Tally:
    """The sum of the ``Counts`` of many images.

    Attributes:
        levels: [channel, 256]; None before the first image.
        clipped: [channel, 2].
    """

    levels: np.ndarray | None = None
    clipped: np.ndarray | None = None

    def add(self, found: Counts) -> None:
        """Counts another image."""
        if self.levels is None or self.clipped is None:
            self.levels, self.clipped = found.levels.astype(np.int64), found.clipped.astype(np.int64)
        else:
            self.levels += found.levels
            self.clipped += found.clipped

    def shares(self) -> list["Shares"]:
        """What became of each band's values; empty before the first image."""
        if self.levels is None or self.clipped is None:
            return []
        return [_shares(levels, clipped) for levels, clipped in zip(self.levels, self.clipped, strict=True)]


class Shares(NamedTuple):
    """What became of a band's values, in shares of all of them.

    ``value`` is the most frequent stored value, ``equal`` its share.
    """

    below: float
    above: float
    value: int
    equal: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: round(share, 6) for name, share in self._asdict().items()}


def _shares(levels: np.ndarray, clipped: np.ndarray) -> Shares:
    total = max(int(levels.sum()), 1)
    value = int(levels.argmax())
    return Shares(below=clipped[0] / total, above=clipped[1] / total, value=value, equal=levels[value] / total)


def check_varies(values: np.ndarray, names: tuple[str, ...]) -> None:
    """Raises BlankError where a band has one value in all pixels that have any, or where none has.

    Args:
        values: [height, width, band], masked where there is no value.
        names: of the bands.
    """
    for band, name in enumerate(names):
        found = np.ma.compressed(values[..., band])
        where = f" in {name}" if len(names) > 1 else ""
        if not len(found):
            raise BlankError(f"no pixel has a value{where}")
        if found.min() == found.max():
            raise BlankError(f"every pixel has the value {found[0]:g}{where}, expected an image")


def check_levels(levels: np.ndarray) -> None:
    """The same by the histograms of 8-bit images that are stored unchanged, [channel, 256]."""
    for band, found in enumerate(levels, start=1):
        if np.count_nonzero(found) < 2:
            where = f" in band {band}" if len(levels) > 1 else ""
            what = f"every pixel has the value {found.argmax()}" if found.any() else "no pixel has a value"
            raise BlankError(f"{what}{where}, expected an image")


def suspects(values: np.ndarray) -> tuple[float, ...]:
    """Exact values that look like those of pixels without data, although nothing declares them as such.

    They fill a stretch of an edge: a quarter of it for numbers of more than 8 bits, of which neighbours are never all
    equal; the whole edge for 8 bits, where dark water or a bright roof can fill a part. Or, for more than 8 bits, they
    are the lowest or highest value (of whole numbers the type's highest), and more than a hundredth of all.

    Args:
        values: [height, width, band], masked where there is no value.
    """
    found = set()
    eight_bits = values.dtype in (np.uint8, np.int8)
    for band in range(values.shape[-1]):
        image = values[..., band]
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            least = len(edge) if eight_bits else max(len(edge) // 4, _MIN_RUN)
            found.update(_runs(edge, least=least))
        inside = np.ma.compressed(image)
        if not eight_bits and len(inside):
            # Whole numbers are frequent at their highest where a sensor is saturated, unless it is the type's highest.
            highest = inside.max() if values.dtype.kind == "f" else np.iinfo(values.dtype).max
            extremes = (inside.min(), highest)
            found.update(float(x) for x in extremes if (inside == x).sum() > max(_FREQUENT * len(inside), _MIN_RUN))
    return tuple(sorted(found))


def _runs(edge: np.ndarray, *, least: int) -> set[float]:
    """The values of which at least so many follow each other."""
    data, mask = np.ma.getdata(edge), np.ma.getmaskarray(edge)
    ends = np.flatnonzero(np.append((data[1:] != data[:-1]) | (mask[1:] != mask[:-1]), True))
    lengths = np.diff(ends, prepend=-1)
    return {float(data[end]) for end in ends[lengths >= least].tolist() if not mask[end]}
