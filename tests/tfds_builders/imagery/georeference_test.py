import math

import numpy as np
import pytest
from PIL import Image, ImageOps
from rasterio.crs import CRS

from tfds_builders.imagery.georeference import (
    ORIENTATIONS,
    UPRIGHT,
    Georeference,
    Turn,
    distance,
    north_up,
    turned,
)

UTM = CRS.from_epsg(32631).to_wkt()
NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)


def place(transform, crs=UTM):
    return Georeference(transform=transform, crs=crs)


def coordinates(transform, row, column):
    """Of the centre of a pixel."""
    a, b, c, d, e, f = transform
    x, y = column + 0.5, row + 0.5
    return a * x + b * y + c, d * x + e * y + f


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turn_of_an_orientation_is_what_viewers_do(orientation):
    values = np.arange(24, dtype=np.uint8).reshape(6, 4)
    image = Image.fromarray(values)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    turn = ORIENTATIONS[orientation]
    np.testing.assert_array_equal(turn.apply(values), expected)
    assert turn.size(6, 4) == expected.shape


ALL_TURNS = [Turn(*map(bool, divmod_)) for divmod_ in np.ndindex(2, 2, 2)]


@pytest.mark.parametrize("turn", ALL_TURNS)
def test_pixels_keep_their_coordinates_when_an_image_is_turned(turn):
    height, width = 6, 4
    transform = (10.0, 0.5, 500.0, 0.25, -9.0, 900.0)
    values = np.array([[coordinates(transform, r, c) for c in range(width)] for r in range(height)])
    after = turned(transform, turn, height=height, width=width)
    result = turn.apply(values)
    for row, column in np.ndindex(result.shape[:2]):
        np.testing.assert_allclose(coordinates(after, row, column), result[row, column])


@pytest.mark.parametrize("turn", ALL_TURNS)
def test_any_way_of_storing_is_brought_north_up(turn):
    # Stored turned: what undoes it is looked for, and gives the north-up transform back.
    stored = turned(NORTH_UP, turn, height=6, width=4)
    height, width = turn.size(6, 4)
    undo = north_up(place(stored))
    assert turned(stored, undo, height=height, width=width) == NORTH_UP
    assert undo.size(height, width) == (6, 4)


def test_what_is_not_known_to_point_north_is_left_as_it_is():
    south_up = (10.0, 0.0, 0.0, 0.0, 10.0, 0.0)
    assert north_up(place(south_up)) == Turn(flip_rows=True)
    assert north_up(place(south_up, crs=None)) == UPRIGHT
    assert north_up(place((7.0, 7.0, 0.0, 7.0, -7.0, 0.0))) == UPRIGHT  # 45 degrees


def apart(one, other, size=(64, 64), other_size=None):
    return distance(one, other, size=size, other_size=other_size or size)


def test_distance_is_that_of_the_corners_in_pixels():
    assert apart(place(NORTH_UP), place(NORTH_UP)) == 0
    east = (10.0, 0.0, 500_030.0, 0.0, -10.0, 4_000_040.0)
    assert apart(place(NORTH_UP), place(east)) == pytest.approx(5)
    # South-up, the same ground: rows lie the whole height apart until the image is turned.
    assert apart(place(NORTH_UP), place((10.0, 0.0, 500_000.0, 0.0, 10.0, 3_999_360.0))) == pytest.approx(64)
    # Twice as fine, twice as many pixels: the same ground.
    fine = (5.0, 0.0, 500_000.0, 0.0, -5.0, 4_000_000.0)
    assert apart(place(NORTH_UP), place(fine), (64, 64), (128, 128)) == pytest.approx(0)


def test_distance_sees_through_another_crs():
    # The central meridian of zone 31 in degrees: the grid is north-up there, so corners agree to a fraction of a pixel.
    other = CRS.from_epsg(32631).to_wkt(version="WKT1_GDAL")
    assert apart(place(NORTH_UP), place(NORTH_UP, other)) == pytest.approx(0, abs=1e-6)
    assert apart(place(NORTH_UP), place(NORTH_UP, CRS.from_epsg(32633).to_wkt())) > 10_000
    degrees = (1e-4, 0.0, 3.0, 0.0, -1e-4, 36.144)
    assert 0.1 < apart(place(NORTH_UP), place(degrees, CRS.from_epsg(4326).to_wkt())) < 100


def test_ground_outside_of_a_crs_is_infinitely_far():
    nowhere = place((1e-4, 0.0, 500_000.0, 0.0, -1e-4, 4_000_000.0), CRS.from_epsg(4326).to_wkt())
    assert apart(place(NORTH_UP), nowhere) == math.inf


def test_coordinates_without_a_crs_can_agree_but_not_disagree():
    assert apart(place(NORTH_UP), place(NORTH_UP, None)) == 0
    assert apart(place(NORTH_UP), place((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), None)) is None
    assert apart(place(NORTH_UP, None), place((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), None)) > 1000
    assert apart(place((0.0, 0.0, 0.0, 0.0, 0.0, 0.0)), place(NORTH_UP)) is None


@pytest.mark.parametrize(
    ("transform", "crs", "expected"),
    [
        (NORTH_UP, 32631, 10),
        ((0.0, 10.0, 0.0, 10.0, 0.0, 0.0), 32631, 10),
        ((7.0, 7.0, 0.0, 7.0, -7.0, 0.0), 32631, 9.89949),
        (NORTH_UP, 2225, 3.04801),  # US survey feet
        ((10.0, 0.0, 0.0, 0.0, -20.0, 0.0), 32631, None),
        ((1e-4, 0.0, 0.0, 0.0, -1e-4, 0.0), 4326, None),
        (NORTH_UP, None, None),
    ],
)
def test_pixel_size_is_in_metres_where_the_crs_allows_it(transform, crs, expected):
    found = place(transform, None if crs is None else CRS.from_epsg(crs).to_wkt()).pixel_m
    assert found == (None if expected is None else pytest.approx(expected))
