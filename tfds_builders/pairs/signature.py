"""What all files of one kind are to have in common, and in what a file differs."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tfds_builders.imagery import Header
from tfds_builders.imagery.header import COLOURS, count_bands

_COLOUR_WORDS = {
    "red": {"red", "r", "b4", "b04"},
    "green": {"green", "g", "b3", "b03"},
    "blue": {"blue", "b", "b2", "b02"},
}
"""Words in the names of bands, Sentinel-2's and Landsat 8's numbers among them."""


class Signature(NamedTuple):
    """Of a file, without what may differ: its format, transparency, nodata, and place.

    Attributes:
        height, width: in pixels.
        dtype: NumPy's name of the data type.
        numbers: of the bands that hold data.
        names: of these; empty where the file names none.
        described: whether the names are descriptions, not only colours.
        scaling: scale, offset and unit of each band, which are not applied.
        radiometry: tags that say what the numbers mean.
    """

    height: int
    width: int
    dtype: str
    numbers: tuple[int, ...]
    names: tuple[str, ...] = ()
    described: bool = False
    scaling: tuple[tuple[float, float, str], ...] = ()
    radiometry: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, header: Header) -> "Signature":
        """That of a file."""
        bands = header.bands
        described = any(band.description for band in bands)
        coloured = {band.colour for band in bands} >= set(COLOURS)
        return cls(
            height=header.height,
            width=header.width,
            dtype=header.dtype,
            numbers=tuple(band.number for band in bands),
            names=tuple(band.name for band in bands) if described or coloured else (),
            described=described,
            scaling=tuple((band.scale, band.offset, band.unit) for band in bands),
            radiometry=header.radiometry,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def band_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """The names of some bands, or ``band N``."""
        names = self.names or tuple(f"band {number}" for number in self.numbers)
        return tuple(names[self.numbers.index(number)] for number in numbers)

    def __str__(self) -> str:
        return f"{self.height} x {self.width} pixels, {count_bands(len(self.numbers))} of {self.dtype}"


def same_form(one: Signature, other: Signature) -> bool:
    """Whether size, number of bands and data type agree."""
    return str(one) == str(other)


def order(found: Signature, expected: Signature) -> tuple[int, ...] | None:
    """The bands of a file, by number, in the order of the others: by name where both have names.

    Returns:
        None where the names are others. Files that name nothing are taken for what colours the others have.
    """
    names, wanted = ([name.casefold() for name in signature.names] for signature in (found, expected))
    if names == wanted or (not (found.described or expected.described) and not (names and wanted)):
        return found.numbers
    if sorted(names) != sorted(wanted) or len(set(names)) < len(names):
        return None
    return tuple(found.numbers[names.index(name)] for name in wanted)


def difference(found: Signature, expected: Signature) -> str | None:
    """In what a file differs from the others, in words; None if in nothing that matters."""
    if not same_form(found, expected):
        return f"{found}, expected {expected}"
    bands = order(found, expected)
    if bands is None:
        return f"bands {_listed(found.names)}, expected {_listed(expected.names)}"
    scaling = tuple(found.scaling[found.numbers.index(band)] for band in bands)
    if scaling != expected.scaling:
        return f"{_scaling(scaling)}, expected {_scaling(expected.scaling)}"
    if found.radiometry != expected.radiometry:
        return (
            f"{_tags(found.radiometry, expected.radiometry)}, expected {_tags(expected.radiometry, found.radiometry)}"
        )
    return None


def colours(signature: Signature) -> tuple[int, ...] | None:
    """The bands that are red, green and blue by their names; None where the names do not say."""
    found = []
    for words in _COLOUR_WORDS.values():
        bands = [
            number
            for number, name in zip(signature.numbers, signature.names, strict=False)
            if words & set(re.split(r"[^a-z0-9]+", name.casefold()))
        ]
        if len(bands) != 1:
            return None
        found += bands
    return tuple(found) if len(set(found)) == len(found) else None


def copolar_first(signature: Signature) -> bool:
    """Whether the first radar band is one that is received as it was sent, VV or HH."""
    return bool(signature.names) and re.search(r"(?<![a-z])(vv|hh)(?![a-z])", signature.names[0].casefold()) is not None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "without names"


def unapplied(signature: Signature) -> str | None:
    """What a file states to be done to its numbers, in words; None where nothing."""
    told = [f"{key} {value}" for key, value in signature.radiometry if re.search("OFFSET|SCALE|VALUE|ADD|MULT", key)]
    if any((scale, offset) != (1, 0) for scale, offset, _ in signature.scaling):
        told.insert(0, _scaling(signature.scaling))
    return ", ".join(told) or None


def _scaling(scaling: Sequence[tuple[float, float, str]]) -> str:
    told = dict.fromkeys(f"scale {scale:g}, offset {offset:g} {unit}".strip() for scale, offset, unit in scaling)
    return "; ".join(told)


def _tags(tags: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in tags if (key, value) not in others)
    return told or f"no tag {', '.join(key for key, _ in others if key not in dict(tags))}"
