"""Where an image is on the ground, and which way is up."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import rasterio.warp
from rasterio._err import CPLE_BaseError  # GDAL's own errors, which are public nowhere
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import from_gcps

from tfds_builders.imagery.tile import Window

Transform = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f, from the outer corner of the first pixel."""

OUTSIDE = (RasterioError, CPLE_BaseError)
"""What is raised for coordinates outside the area of use of a CRS."""
_AXIS_ALIGNED = math.tan(math.radians(10))
"""Images that are rotated by more than this from the map's axes are left as they are."""


class Turn(NamedTuple):
    """One of the eight ways to lay a rectangle on itself: transpose first, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Turns [height, width, ...]."""
        values = np.swapaxes(values, 0, 1) if self.transpose else values
        values = values[::-1] if self.flip_rows else values
        return values[:, ::-1] if self.flip_columns else values

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a turned image."""
        return (width, height) if self.transpose else (height, width)

    def stored(self, window: Window, *, height: int, width: int) -> Window:
        """Where a window of the turned image, of this height and width, lies in the stored one."""
        row, column, rows, columns = window
        if self.flip_columns:
            column = width - column - columns
        if self.flip_rows:
            row = height - row - rows
        return Window(column, row, columns, rows) if self.transpose else Window(row, column, rows, columns)


UPRIGHT = Turn()
ORIENTATIONS = {
    1: UPRIGHT,
    2: Turn(flip_columns=True),
    3: Turn(flip_rows=True, flip_columns=True),
    4: Turn(flip_rows=True),
    5: Turn(transpose=True),
    6: Turn(transpose=True, flip_columns=True),
    7: Turn(transpose=True, flip_rows=True, flip_columns=True),
    8: Turn(transpose=True, flip_rows=True),
}
"""By the tag Orientation of EXIF and TIFF: what brings the stored image upright."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Georeference:
    """Where an image is.

    Attributes:
        transform: from pixels to coordinates.
        crs: the coordinate reference system as WKT; None where a file gives coordinates without one.
        approximate: fitted to ground control points, as files in radar geometry have them.
        pixel_m: the side of a pixel in metres, where the CRS has linear units and pixels are square.
    """

    transform: Transform
    crs: str | None
    approximate: bool = False

    def of_window(self, window: Window) -> "Georeference":
        """That of a part of the image."""
        a, b, c, d, e, f = self.transform
        row, column, _, _ = window
        shifted = (a, b, c + a * column + b * row, d, e, f + d * column + e * row)
        return dataclasses.replace(self, transform=shifted)

    @functools.cached_property
    def pixel_m(self) -> float | None:
        """Metres per pixel, to six digits; None for degrees, without a CRS, and where pixels are not square."""
        if self.crs is None or self.approximate:
            return None
        crs = CRS.from_wkt(self.crs)
        if not crs.is_projected:
            return None
        a, b, _, d, e, _ = self.transform
        along, across = math.hypot(a, d), math.hypot(b, e)
        if abs(along - across) > 0.01 * across:
            return None
        return float(f"{along * crs.linear_units_factor[1]:.6g}")


def north_up(place: Georeference) -> Turn:
    """What brings an image with this georeference north-up, as maps are.

    Nothing is turned without a CRS, as nothing then says that y points north, or where axes are rotated against the
    map's by more than a few degrees.
    """
    a, b, _, d, e, _ = place.transform
    if place.crs is None:
        return UPRIGHT
    if max(abs(b), abs(d)) <= _AXIS_ALIGNED * min(abs(a), abs(e)):
        return Turn(flip_rows=e > 0, flip_columns=a < 0)
    if max(abs(a), abs(e)) <= _AXIS_ALIGNED * min(abs(b), abs(d)):
        return Turn(transpose=True, flip_rows=d > 0, flip_columns=b < 0)
    return UPRIGHT


def turned(transform: Transform, turn: Turn, *, height: int, width: int) -> Transform:
    """The transform of a turned image; height and width are those of the stored one."""
    a, b, c, d, e, f = transform
    height, width = turn.size(height, width)
    if turn.transpose:
        a, b, d, e = b, a, e, d
    if turn.flip_columns:
        a, c, d, f = -a, c + a * width, -d, f + d * width
    if turn.flip_rows:
        b, c, e, f = -b, c + b * height, -e, f + e * height
    return a, b, c, d, e, f


def from_control_points(points: Sequence[GroundControlPoint], crs: CRS | None) -> Georeference | None:
    """The affine georeference nearest to ground control points; None where they give none."""
    try:
        fitted = from_gcps(points)
    except (RasterioError, ValueError):
        return None
    return Georeference(transform=tuple(fitted[:6]), crs=crs.to_wkt() if crs else None, approximate=True)


def distance(
    one: Georeference, other: Georeference, *, size: tuple[int, int], other_size: tuple[int, int]
) -> float | None:
    """How far apart the corners of two images are, at most, in pixels of the first.

    Args:
        one, other: of the upright images.
        size, other_size: their heights and widths.

    Returns:
        0 for images of the same ground in the same orientation, infinity where one is not even in the area of the
        other's CRS; None where a missing CRS leaves it open.
    """
    found = located(corners(*other_size), other, within=one)
    if found is None:
        return None
    if not np.isfinite(found).all():
        return math.inf
    apart = np.hypot(*(found - corners(*size)).T)
    if (one.crs is None) != (other.crs is None) and apart.max() > max(size):
        return None  # Coordinates of another system, maybe.
    return float(apart.max())


def corners(height: float, width: float) -> np.ndarray:
    """The outer corners of an image, [4, 2], column before row."""
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], float)


def located(points: np.ndarray, place: Georeference, *, within: Georeference) -> np.ndarray | None:
    """Where points of one image lie in another.

    Args:
        points: [n, 2], column and row.
        place: of their image.
        within: of the other image.

    Returns:
        [n, 2], column and row in the other image, not finite beyond the area of its CRS; None where that image has no
        extent.
    """
    x, y = _applied(place.transform, points)
    if within.crs is not None and place.crs is not None and within.crs != place.crs:
        x, y = _reprojected(x, y, source=place.crs, target=within.crs)
    a, b, c, d, e, f = within.transform
    determinant = a * e - b * d
    if determinant == 0:
        return None
    with np.errstate(invalid="ignore"):
        return np.stack([e * (x - c) - b * (y - f), a * (y - f) - d * (x - c)], axis=-1) / determinant


def _applied(transform: Transform, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, e, f = transform
    return a * points[:, 0] + b * points[:, 1] + c, d * points[:, 0] + e * points[:, 1] + f


def _reprojected(x: np.ndarray, y: np.ndarray, *, source: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        found = rasterio.warp.transform(CRS.from_wkt(source), CRS.from_wkt(target), x.tolist(), y.tolist())
    except OUTSIDE:
        return np.full(len(x), np.inf), np.full(len(y), np.inf)
    return np.asarray(found[0], float), np.asarray(found[1], float)
