import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform

from tfds_builders.files import Pair, Patch
from tfds_builders.imagery import Window
from tfds_builders.imagery.georeference import Georeference
from tfds_builders.pairs import places
from tfds_builders.pairs.places import Extent, divide, merged

UTM31, UTM32, DEGREES = (CRS.from_epsg(code).to_wkt() for code in (32631, 32632, 4326))
SIDE = 16


def at(east, north=4_000_000.0, *, crs=UTM31, pixel=10.0):
    return Georeference(transform=(pixel, 0.0, float(east), 0.0, -pixel, float(north)), crs=crs)


def extent(scene, place, *, size=100):
    return Extent(scene, size, size, place)


def test_scenes_that_share_ground_are_one():
    found = [extent("c", at(500_000)), extent("b", at(500_900)), extent("a", at(501_800)), extent("far", at(600_000))]
    assert merged(found) == {"a": "a", "b": "a", "c": "a"}  # c and a by way of b


def test_scenes_that_touch_share_nothing():
    assert merged([extent("a", at(500_000)), extent("b", at(501_000))]) == {}
    assert merged([extent("a", at(500_000)), extent("b", at(501_000 - 1e-4))]) == {}
    assert merged([extent("a", at(500_000)), extent("b", at(500_990))]) != {}


def test_scenes_of_two_systems_are_compared_on_the_globe():
    [east], [north] = transform(CRS.from_wkt(UTM31), CRS.from_wkt(UTM32), [780_000], [4_000_000])
    here = extent("here", at(780_000))
    assert merged([here, extent("there", at(east, north, crs=UTM32))]) == {"here": "here", "there": "here"}
    assert merged([here, extent("elsewhere", at(east + 9000, north, crs=UTM32))]) == {}


@pytest.mark.parametrize("place", [None, at(500_000, crs=None)])
def test_without_a_system_nothing_is_known_to_be_shared(place):
    assert merged([extent("a", place), extent("b", at(500_000))]) == {}


def tiles(tmp_path, scene, *, rows=5, columns=5, file=None):
    path = tmp_path / f"{file or scene}.tif"
    return [
        Pair(
            patch=Patch("sar", f"{path.stem}_{row}_{column}", scene),
            sar=path,
            optical=path,
            windows=(window := Window(SIDE * row, SIDE * column, SIDE, SIDE), window),
        )
        for row in range(rows)
        for column in range(columns)
    ]


def split_of(division):
    return {pair.patch.id: split for split, pairs in division.members.items() for pair in pairs}


def test_few_scenes_are_each_divided_and_say_so(tmp_path):
    own = tiles(tmp_path, "faro") + tiles(tmp_path, "porto")
    division = divide(own, {pair.sar: None for pair in own})
    assert set(division.members) == {"train", "validation", "test"}
    for pairs in division.members.values():
        assert {pair.patch.scene.partition("/")[0] for pair in pairs} == {"faro", "porto"}
    left_out = len(own) - sum(map(len, division.members.values()))
    assert left_out > 0 and division.rule.startswith("blocks of faro (")
    assert ", porto (" in division.rule and f"{left_out} tiles left out" in division.rule


def test_many_scenes_are_dealt_as_a_whole(tmp_path):
    own = [tile for number in range(12) for tile in tiles(tmp_path, f"scene{number}", rows=1)]
    division = divide(own, {pair.sar: None for pair in own})
    assert sum(map(len, division.members.values())) == len(own)
    scenes = [{pair.patch.scene for pair in pairs} for pairs in division.members.values()]
    assert sum(map(len, scenes)) == 12 and len(scenes) == 3


def test_images_of_one_place_are_divided_alike(tmp_path):
    """Of two acquisitions: 2 columns apart, one in another system of degrees, and turned into it by a little."""
    first, second = (tiles(tmp_path, "porto", rows=9, columns=9, file=name) for name in ("first", "second"))
    places_of = {first[0].sar: at(500_000), second[0].sar: at(500_000 + 2 * SIDE * 10)}
    found = split_of(divide(first + second, places_of))
    for row in range(9):
        for column in range(7):
            assert found.get(f"first_{row}_{column + 2}") == found.get(f"second_{row}_{column}")
    (west, east), (north, _) = transform(
        CRS.from_wkt(UTM31), CRS.from_wkt(DEGREES), [500_000, 500_000 + 90 * SIDE], [4_000_000, 4_000_000]
    )
    pixel = (east - west) / (9 * SIDE)
    places_of[second[0].sar] = at(west, north, crs=DEGREES, pixel=pixel)
    found = split_of(divide(first + second, places_of))
    centres, size = places._centres(first + second, places_of)
    names = [pair.patch.id for pair in first + second]
    kept = [number for number, name in enumerate(names) if name in found]
    apart = np.abs(centres[kept][:, None] - centres[kept][None]).max(axis=-1) - size
    splits = np.array([found[names[number]] for number in kept])
    assert apart[splits[:, None] != splits[None]].min() >= 0.99 * size


def test_images_of_one_place_without_georeference_are_said_to_begin_together(tmp_path):
    own = tiles(tmp_path, "porto", file="first") + tiles(tmp_path, "porto", file="second")
    division = divide(own, {pair.sar: None for pair in own})
    found = split_of(division)
    assert "2 images of porto have no georeference and are taken to begin together" in division.rule
    assert {name.replace("first", "second"): split for name, split in found.items() if "first" in name} == {
        name: split for name, split in found.items() if "second" in name
    }
    assert "georeference" not in divide(own[:25], {own[0].sar: None}).rule


def test_too_small_scenes_name_the_way_out(tmp_path):
    own = tiles(tmp_path, "porto", rows=2, columns=2)
    division = divide(own, {own[0].sar: None})
    assert set(division.members) == {"train"}
    assert "a smaller --tile" in division.rule and "column split of pairs.csv" in division.rule
    own += tiles(tmp_path, "faro", rows=1, columns=5)
    division = divide(own, {pair.sar: None for pair in own})
    assert division.rule.endswith("porto: too small to be divided, all train")
    assert {split_of(division)[f"porto_{row}_{column}"] for row in (0, 1) for column in (0, 1)} == {"train"}
    own = [tile for name in ("a", "b", "c") for tile in tiles(tmp_path, name, rows=1, columns=1)]
    assert len(divide(own, {pair.sar: None for pair in own}).members) == 3
