"""Whether the two images of a pair show the same ground, and which, as far as their georeferences say."""

import collections
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from rasterio.crs import CRS

from tfds_builders.imagery import Header, Window
from tfds_builders.imagery.georeference import UPRIGHT, Georeference, corners, distance, located

MAX_APART = 0.05
"""Of an image's side, by which its corners may lie apart from its partner's."""
_MAX_APART_CONTROL_POINTS = 0.5  # An affine fit to control points is off by more in hilly ground.
_NOTED_PIXELS = 1.0
_OFF_GRID = 0.1
"""In pixels, by which two grids may differ that are taken for one; transforms are rounded."""


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
        if (fault := _turned_alone(sar, optical)) is not None:
            return Alignment(fault=fault)
        georeferenced = one or other
        rough = georeferenced is not None and georeferenced.approximate
        return Alignment(doubt="control points" if rough else "")
    apart = distance(one, other, size=(sar.height, sar.width), other_size=(optical.height, optical.width))
    rough = one.approximate or other.approximate
    if apart is None:
        return Alignment(doubt="no crs")
    if apart > (_MAX_APART_CONTROL_POINTS if rough else MAX_APART) * max(sar.height, sar.width):
        return Alignment(fault=_fault(sar, optical, apart), pixels=apart)
    return Alignment(pixels=apart, doubt="control points" if rough else "")


def common_area(sar: Header, optical: Header) -> tuple[Window, Window]:
    """The ground that both images show, pixel on pixel, as a window of each.

    Georeferences decide, whose pixel grids have to be one: its images may begin and end elsewhere. Images without two
    georeferences have to be of one size and lie on each other.

    Raises:
        ValueError: what they lack, and the command that brings one to the other's grid.
    """
    one, other = sar.georeference, optical.georeference
    whole = Window(0, 0, sar.height, sar.width), Window(0, 0, optical.height, optical.width)
    one_size = whole[0] == whole[1]
    if one is None or other is None:
        if (fault := _turned_alone(sar, optical)) is not None:
            raise ValueError(fault)
        if one_size:
            return whole
        raise ValueError(
            f"{sar}, but its partner {optical}: without georeferences in both, tiles are cut by pixel position, for "
            "which both images need one size"
        )
    found = located(corners(optical.height, optical.width), other, within=one)
    if found is not None and np.isfinite(found).all():
        offsets = found - corners(optical.height, optical.width)
        column, row = np.round(offsets.mean(axis=0)).astype(int).tolist()
        top, left = max(row, 0), max(column, 0)
        height = min(sar.height, row + optical.height) - top
        width = min(sar.width, column + optical.width) - left
        off_grid = float(np.abs(offsets - (column, row)).max())
        if min(height, width) > 0 and off_grid <= _OFF_GRID:
            return Window(top, left, height, width), Window(top - row, left - column, height, width)
        if min(height, width) > 0:
            scale = float(np.hypot(*(found[1] - found[0]))) / optical.width
            resized = abs(scale - 1) > _OFF_GRID / optical.width
            what = f"are {scale:.4g} times as large" if resized else "lie between its own"
            raise ValueError(
                f"another pixel grid than its partner's, whose pixels {what} (up to {off_grid:,.1f} pixels off); bring "
                f"the optical image to the radar image's grid: {_command(sar, one)}"
            )
    if one_size and (one.crs is None) != (other.crs is None):
        return whole  # Coordinates of another system, maybe.
    raise ValueError("other ground than its partner's, by the georeferences of both")


def _command(sar: Header, place: Georeference) -> str:
    a, b, c, d, e, f = place.transform
    crs = CRS.from_wkt(place.crs).to_authority() if place.crs else None
    system = f" -t_srs {':'.join(crs)}" if crs else ""
    if b or d or place.approximate:
        return f"gdalwarp{system} -r cubic, after this one is on a grid itself (or rasterio.warp.reproject)"
    right, bottom = c + a * sar.width, f + e * sar.height
    extent = " ".join(f"{value:.12g}" for value in (min(c, right), min(f, bottom), max(c, right), max(f, bottom)))
    return (
        f"gdalwarp{system} -tr {abs(a):.12g} {abs(e):.12g} -te {extent} -r cubic OPTICAL.tif ALIGNED.tif (or "
        "rasterio.warp.reproject)"
    )


def _turned_alone(sar: Header, optical: Header) -> str | None:
    """Why nothing says which way is up, where one image was turned by its georeference and the other has none."""
    for kind, header, partner in (("radar", sar, "optical"), ("optical", optical, "radar")):
        if header.georeference is not None and header.turn != UPRIGHT:
            return (
                f"the {kind} image is not stored north-up, and its {partner} partner has no georeference that says "
                "which way is up: store both north-up, such as by gdalwarp"
            )
    return None


def _fault(sar: Header, optical: Header, apart: float) -> str:
    size = max(sar.height, sar.width)
    where = "beyond the area of its CRS" if math.isinf(apart) else f"{apart:,.0f} pixels away, of {size}"
    return (
        f"other ground than its partner's, by the georeferences of both: a corner lies {where}; bring both to one "
        f"grid, such as by gdalwarp -te and -tr{_way_out(sar, optical)}"
    )


def _way_out(sar: Header, optical: Header) -> str:
    try:
        common_area(sar, optical)
    except ValueError:
        return ""
    return "; --tile=256 cuts the ground that both show into tiles"


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
