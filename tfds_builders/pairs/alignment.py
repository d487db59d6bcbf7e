"""Whether the two images of a pair show the same ground, as far as their georeferences say."""

import collections
import math
from collections.abc import Iterable
from typing import NamedTuple

from tfds_builders.imagery import Header
from tfds_builders.imagery.georeference import UPRIGHT, distance

MAX_APART = 0.05
"""Of an image's side, by which its corners may lie apart from its partner's."""
_MAX_APART_CONTROL_POINTS = 0.5  # An affine fit to control points is off by more in hilly ground.
_NOTED_PIXELS = 1.0


class Alignment(NamedTuple):
    """What the georeferences of a pair say.

    Attributes:
        fault: why the images do not belong together; None if they may.
        pixels: how far apart their corners are, in pixels of the radar image; None if unknown.
        doubt: what cannot be known, a key of ``DOUBTS``; or empty.
    """

    fault: str | None = None
    pixels: float | None = None
    doubt: str = ""


DOUBTS = {
    "control points": "have ground control points instead of a transform: in radar geometry no pixel lies where the "
    "optical image has it, unless both were brought to one grid",
    "no crs": "state coordinates without a CRS, so that their partner's ground cannot be compared with theirs",
}


def align(sar: Header, optical: Header) -> Alignment:
    """Compares the two images of a pair, both upright."""
    one, other = sar.georeference, optical.georeference
    if one is None or other is None:
        for kind, header, partner in (("radar", sar, "optical"), ("optical", optical, "radar")):
            if header.georeference is not None and header.turn != UPRIGHT:
                return Alignment(
                    fault=f"the {kind} image is not stored north-up, and its {partner} partner has no georeference "
                    "that says which way is up: store both north-up, such as by gdalwarp"
                )
        georeferenced = one or other
        rough = georeferenced is not None and georeferenced.approximate
        return Alignment(doubt="control points" if rough else "")
    apart = distance(one, other, size=(sar.height, sar.width), other_size=(optical.height, optical.width))
    rough = one.approximate or other.approximate
    if apart is None:
        return Alignment(doubt="no crs")
    if apart > (_MAX_APART_CONTROL_POINTS if rough else MAX_APART) * max(sar.height, sar.width):
        return Alignment(fault=_fault(sar, apart), pixels=apart)
    return Alignment(pixels=apart, doubt="control points" if rough else "")


def _fault(sar: Header, apart: float) -> str:
    size = max(sar.height, sar.width)
    where = "beyond the area of its CRS" if math.isinf(apart) else f"{apart:,.0f} pixels away, of {size}"
    return (
        f"other ground than its partner's, by the georeferences of both: a corner lies {where}; bring both to one "
        "grid, such as by gdalwarp -te and -tr"
    )


def notes(found: Iterable[Alignment]) -> list[str]:
    """What the owner is to know about all pairs, in sentences."""
    found = list(found)
    lines = []
    distances = [item.pixels for item in found if item.fault is None and item.pixels is not None]
    apart = [pixels for pixels in distances if pixels > _NOTED_PIXELS]
    if apart:
        lines.append(
            f"{len(apart):,} of {len(found):,} pairs do not cover the same ground exactly, by their georeferences: "
            f"their corners lie up to {max(apart):.1f} pixels apart"
        )
    for doubt, count in collections.Counter(item.doubt for item in found if item.doubt).items():
        lines.append(f"{count:,} of {len(found):,} pairs: files {DOUBTS[doubt]}")
    return lines
