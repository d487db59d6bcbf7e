import math

import pytest
from rasterio.crs import CRS

from tfds_builders.imagery import Band, Header
from tfds_builders.imagery.georeference import UPRIGHT, Georeference, Turn
from tfds_builders.pairs.alignment import DOUBTS, Alignment, align, notes

UTM = CRS.from_epsg(32631).to_wkt()


def header(*, east=0.0, crs=UTM, approximate=False, turn=UPRIGHT, place=True):
    """Of 64 x 64 pixels of 10 m; ``east`` in pixels."""
    transform = (10.0, 0.0, 500_000 + 10 * east, 0.0, -10.0, 4_000_000.0)
    georeference = Georeference(transform=transform, crs=crs, approximate=approximate)
    return Header(
        format="tiff",
        height=64,
        width=64,
        dtype="float32",
        bands=(Band(number=1),),
        turn=turn,
        georeference=georeference if place else None,
    )


@pytest.mark.parametrize(("east", "fault"), [(0, False), (1, False), (3, False), (4, True), (32, True), (64, True)])
def test_partner_may_be_a_twentieth_off(east, fault):
    found = align(header(), header(east=east))
    assert (found.fault is not None) == fault
    assert found.pixels == pytest.approx(east)


def test_fault_says_how_far_away_and_what_to_do():
    found = align(header(), header(east=6400))
    assert "other ground than its partner's, by the georeferences of both: a corner lies 6,400 pixels" in found.fault
    assert "gdalwarp" in found.fault
    degrees = header(crs=CRS.from_epsg(4326).to_wkt())
    assert (
        align(header(), degrees).pixels == math.inf and "beyond the area of its CRS" in align(header(), degrees).fault
    )


def test_without_both_georeferences_nothing_is_compared():
    plain = header(place=False)
    assert align(plain, plain) == align(header(), plain) == align(plain, header()) == Alignment()


def test_turned_image_needs_a_partner_that_says_which_way_is_up():
    turned, plain = header(turn=Turn(flip_rows=True)), header(place=False)
    assert align(turned, header()).fault is None
    assert align(turned, plain).fault.startswith("the radar image is not stored north-up, and its optical partner")
    assert align(plain, turned).fault.startswith("the optical image is not stored north-up, and its radar partner")
    # A camera's orientation tag is no georeference: it says itself which way is up.
    tagged = header(turn=Turn(flip_rows=True), place=False)
    assert align(tagged, plain) == align(plain, tagged) == Alignment()


def test_what_cannot_be_known_is_a_doubt():
    rough = header(approximate=True)
    assert align(rough, header(place=False)).doubt == "control points"
    assert align(rough, header(east=20)) == Alignment(pixels=pytest.approx(20), doubt="control points")
    assert align(rough, header(east=40)).fault is not None
    assert align(header(), header(east=1000, crs=None)).doubt == "no crs"


def test_notes_count_and_give_the_largest_distance():
    found = [align(header(), header(east=east)) for east in (0, 0.5, 2, 3, 40)]
    found.append(align(header(), header(east=1000, crs=None)))
    first, second = notes(found)
    assert first.startswith("2 of 6 pairs do not cover the same ground exactly") and "up to 3.0 pixels" in first
    assert second == f"1 of 6 pairs: files {DOUBTS['no crs']}"
    assert notes([Alignment()]) == []
