import struct

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, MaskFlags

from sar2opt_jax.scene import cog
from tfds_builders.imagery.georeference import Georeference

UTM = Georeference(
    transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0), crs=rasterio.CRS.from_epsg(32630).to_wkt()
)
IDENTITY = {"model": "m", "seed": 0}


def images(height, width, seed=0):
    rng = np.random.default_rng(seed)
    optical = rng.integers(0, 256, (height, width, 3), np.uint8)
    missing = np.zeros((height, width), bool)
    missing[: height // 3, : width // 2] = True
    return optical, rng.random((height, width, 1), np.float32), missing


def partial(path, height, width, *, identity=IDENTITY, uncertain=False):
    layers = (cog.optical(path), *((cog.uncertainty(path.with_name("u.tif"), 4),) if uncertain else ()))
    return cog.PartialScene(layers, identity=identity, height=height, width=width)


def written(path, height=1100, width=600, *, place=UTM, masked=True, uncertain=False):
    optical, deviation, missing = images(height, width)
    missing &= masked
    scene = partial(path, height, width, uncertain=uncertain)
    for start in range(0, height, 64):
        rows = slice(start, start + 64)
        scene.write((optical[rows], deviation[rows])[: 1 + uncertain], missing[rows])
    scene.finish(place, {"SAR2OPT_SEED": "7", cog.IDENTITY_TAG: "abc"})
    return optical, deviation, missing


def test_pixels_place_mask_and_tags_come_back(tmp_path):
    optical, _, missing = written(tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as image:
        valid = image.dataset_mask() == 255
        np.testing.assert_array_equal(valid, ~missing)
        np.testing.assert_array_equal(np.moveaxis(image.read(), 0, -1)[valid], optical[valid])
        assert tuple(image.transform)[:6] == UTM.transform and image.crs.to_epsg() == 32630
        assert image.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert image.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert image.tags()["SAR2OPT_SEED"] == "7"
    assert cog.identity_of(tmp_path / "o.tif") == "abc"
    assert [path.name for path in tmp_path.iterdir()] == ["o.tif"]


def test_statistics_are_those_of_the_valid_pixels(tmp_path):
    optical, _, missing = written(tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as image:
        for band in range(3):
            found = {name.removeprefix("STATISTICS_"): float(value) for name, value in image.tags(band + 1).items()}
            values = optical[~missing][:, band].astype(float)
            expected = {
                "MINIMUM": values.min(),
                "MAXIMUM": values.max(),
                "MEAN": values.mean(),
                "STDDEV": values.std(),
                "VALID_PERCENT": 100 * (~missing).mean(),
            }
            assert found == pytest.approx(expected, rel=1e-6)


def test_the_file_is_a_cloud_optimised_geotiff(tmp_path):
    """GDAL's rules: tiles, overviews from large to small, all directories before all pixels, and it says so."""
    written(tmp_path / "o.tif")
    start = (tmp_path / "o.tif").read_bytes()[:4096]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in start and b"KNOWN_INCOMPATIBLE_EDITION=NO" in start
    with rasterio.open(tmp_path / "o.tif") as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert image.is_tiled and image.block_shapes[0] == (512, 512) and image.overviews(1) == [2, 4]
    offsets = directories(tmp_path / "o.tif")
    assert offsets == sorted(offsets) and len(offsets) == 6  # The image, two overviews, and the masks of each.
    rio_cogeo = pytest.importorskip("rio_cogeo", reason="rio-cogeo, another validator, is not installed")
    is_valid, errors, warnings = rio_cogeo.cog_validate(tmp_path / "o.tif", strict=True)
    assert is_valid and not errors and not warnings


def directories(path):
    """Offsets of the directories of a little-endian TIFF, in their order."""
    content, found = path.read_bytes(), []
    (offset,) = struct.unpack_from("<I", content, 4)
    while offset:
        found.append(offset)
        (count,) = struct.unpack_from("<H", content, offset)
        (offset,) = struct.unpack_from("<I", content, offset + 2 + 12 * count)
    return found


def test_a_scene_without_missing_pixels_has_no_mask_and_one_without_place_no_place(tmp_path, recwarn):
    written(tmp_path / "o.tif", 40, 30, masked=False, place=None)
    with rasterio.open(tmp_path / "o.tif") as image:
        assert image.mask_flag_enums[0] == [MaskFlags.all_valid] and image.crs is None and image.count == 3
    recwarn.clear()  # That it has no place.


def test_the_deviation_is_written_beside(tmp_path):
    _, deviation, missing = written(tmp_path / "o.tif", 80, 60, uncertain=True)
    with rasterio.open(tmp_path / "u.tif") as image:
        assert image.dtypes == ("float32",) and image.transform.a == 10
        assert image.descriptions[0].startswith("standard deviation of 4 translations")
        found = image.read(1, masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), missing)
    np.testing.assert_array_equal(found.compressed(), deviation[..., 0][~missing])


def test_an_interrupted_scene_is_continued_and_one_of_another_identity_is_not(tmp_path):
    path, (optical, _, missing) = tmp_path / "o.tif", images(100, 50)
    first = partial(path, 100, 50)
    first.write((optical[:64],), missing[:64])
    first.save()
    first.write((optical[64:],), missing[64:])  # Not recorded, so it does not count.
    first.close()
    second = partial(path, 100, 50)
    assert (second.rows, second.resumed) == (64, True)
    second.write((optical[64:],), missing[64:])
    second.finish(UTM, {})
    whole = path.read_bytes()
    written_at_once = partial(path, 100, 50)
    assert not written_at_once.resumed
    written_at_once.write((optical,), missing)
    written_at_once.finish(UTM, {})
    assert path.read_bytes() == whole

    third = partial(path, 100, 50)
    third.write((optical[:64],), missing[:64])
    third.save()
    third.close()
    other = partial(path, 100, 50, identity={**IDENTITY, "seed": 1})
    assert (other.rows, other.resumed) == (0, False)
    other.remove()


@pytest.mark.parametrize("damage", ["cut", "gone", "text"])
def test_rows_that_are_not_there_are_not_continued(tmp_path, damage):
    path, (optical, _, missing) = tmp_path / "o.tif", images(64, 50)
    scene = partial(path, 100, 50)
    scene.write((optical,), missing)
    scene.save()
    scene.close()
    rows, state = scene.directory / "uint8.rows", scene.directory / "state.json"
    {
        "cut": lambda: rows.write_bytes(rows.read_bytes()[:-1]),
        "gone": rows.unlink,
        "text": lambda: state.write_text("{"),
    }[damage]()
    again = partial(path, 100, 50)
    assert again.rows == 0
    again.remove()


def test_a_scene_without_a_value_is_refused_and_leaves_nothing(tmp_path):
    scene = partial(tmp_path / "o.tif", 8, 8)
    scene.write((np.zeros((8, 8, 3), np.uint8),), np.ones((8, 8), bool))
    with pytest.raises(ValueError, match="no pixel of it has a value"):
        scene.finish(UTM, {})
    assert not [*tmp_path.iterdir()]


def test_other_files_have_no_identity(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    assert cog.identity_of(tmp_path / "a.tif") is None and cog.identity_of(tmp_path / "absent.tif") is None
