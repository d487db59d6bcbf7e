import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint
from scene_files import DB, DUAL, TRANSFORM, about, db, write

from sar2opt_jax.scene import raster
from sar2opt_jax.scene.units import as_levels
from tfds_builders import imagery

FINE = rasterio.Affine(5, 0, 500_000, 0, -5, 4_000_000)
REAL = Path(__file__).parents[3] / "shared" / "data" / "geotiff"


def read(path, description=None, **settings):
    with raster.opened(str(path), description or about(), **settings) as scene:
        levels, missing = scene.read(0, scene.height)
    return levels, missing, scene


def test_rows_are_those_of_the_whole_in_the_units_of_training(tmp_path):
    values = db()
    path = write(tmp_path / "a.tif", values)
    with raster.opened(str(path), about()) as scene:
        parts = [scene.read(start, min(start + 13, 90)) for start in range(0, 90, 13)]
    levels = np.concatenate([each for each, _ in parts])
    np.testing.assert_array_equal(levels, as_levels(np.ma.asarray(np.moveaxis(values, 0, -1)), DB))
    assert not any(missing.any() for _, missing in parts)
    assert (scene.height, scene.width, scene.bands, scene.notes) == (90, 70, 1, [])


@pytest.mark.parametrize("suffix", ["envi", "vrt"])
def test_whatever_gdal_opens_is_read(tmp_path, suffix):
    path = write(tmp_path / "a.tif", db())
    other = tmp_path / f"b.{suffix}"
    rasterio.shutil.copy(path, other, driver={"envi": "ENVI", "vrt": "VRT"}[suffix])
    np.testing.assert_array_equal(read(other)[0], read(path)[0])


def test_missing_pixels_of_any_kind_are_missing(tmp_path):
    values = db(count=2)
    values[0, 3, :] = np.nan
    values[1, :, 5] = -9999
    path = write(tmp_path / "a.tif", values, names=("VV", "VH"), nodata=-9999)
    _, missing, _ = read(path, about(DUAL))
    expected = np.zeros((90, 70), bool)
    expected[3], expected[:, 5] = True, True
    np.testing.assert_array_equal(missing, expected)


@pytest.mark.parametrize("internal", [True, False])
def test_masks_inside_and_beside_the_file_count(tmp_path, internal):
    path = write(tmp_path / "a.tif", db())
    expected = np.zeros((90, 70), bool)
    expected[20:40, 10:30] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as image:
        image.write_mask(~expected)
    assert (tmp_path / "a.tif.msk").exists() != internal
    np.testing.assert_array_equal(read(path)[1], expected)


def test_bands_are_found_by_name_and_stated_by_name_or_number(tmp_path):
    values = db(count=3)
    path = write(tmp_path / "a.tif", values, names=("Sigma0_VH_db", "angle", "Sigma0_VV_db"))
    expected = as_levels(np.ma.asarray(np.moveaxis(values[[2, 0]], 0, -1)), DUAL)
    for names in (None, ("3", "1"), ("Sigma0_VV_db", "VH")):
        np.testing.assert_array_equal(read(path, about(DUAL), band_names=names)[0], expected)
    with pytest.raises(ValueError, match="it has no band 'HH'; it has: Sigma0_VH_db, angle, Sigma0_VV_db"):
        read(path, about(DUAL), band_names=("HH", "VH"))
    with pytest.raises(ValueError, match=r"--bands=1 states 1 band\(s\); the network takes 2: VV, VH"):
        read(path, about(DUAL), band_names=("1",))


def test_bands_in_files_side_by_side_are_one_scene(tmp_path):
    values = db(count=2)
    for name, band in zip(("vv", "vh"), values, strict=True):
        write(tmp_path / f"s1_{name}_10m.tif", band[None])
    levels, _, scene = read(tmp_path / "s1_vh_10m.tif", about(DUAL))
    np.testing.assert_array_equal(levels, as_levels(np.ma.asarray(np.moveaxis(values, 0, -1)), DUAL))
    assert scene.notes == ["Bands are read from s1_vv_10m.tif, s1_vh_10m.tif."]
    (tmp_path / "s1_vv_10m.tif").unlink()
    with pytest.raises(ValueError, match=r"it has 1 band\(s\) \(band 1\); the network takes 2: VV, VH"):
        read(tmp_path / "s1_vh_10m.tif", about(DUAL))


def test_bands_of_different_places_are_refused(tmp_path):
    write(tmp_path / "s1_vv.tif", db())
    write(tmp_path / "s1_vh.tif", db(), transform=rasterio.Affine(10, 0, 500_100, 0, -10, 4_000_000))
    with pytest.raises(ValueError, match="its bands are of different places"):
        read(tmp_path / "s1_vv.tif", about(DUAL))


def test_a_file_named_after_another_polarisation_is_refused(tmp_path):
    path = write(tmp_path / "S1A_20240701_VH_10m.tif", db())
    with pytest.raises(ValueError, match=r"its name says VH; the network takes VV\. .*--bands=1 says so"):
        read(path)
    assert read(path, band_names=("1",))[0].shape == (90, 70, 1)
    assert read(write(tmp_path / "S1A_1SDV_VV_VH.tif", db()))[0].shape == (90, 70, 1)


def test_units_are_converted_where_they_are_certain(tmp_path):
    values = db()
    expected, _, _ = read(write(tmp_path / "db.tif", values))
    power = write(tmp_path / "power.tif", 10 ** (values / 10), names=("Sigma0_VV",))
    levels, _, scene = read(power)
    np.testing.assert_allclose(levels.astype(int), expected, atol=1)
    assert scene.notes == ["The values are linear; converted to dB, the unit of the training data."]
    unnamed = write(tmp_path / "unnamed.tif", 10 ** (values / 20))
    with pytest.raises(ValueError, match="not in dB"):
        read(unnamed)
    np.testing.assert_allclose(read(unnamed, unit="amplitude")[0].astype(int), expected, atol=1)


def test_scale_and_offset_of_integers_are_applied_and_said(tmp_path):
    values = db()
    path = write(tmp_path / "a.tif", np.round(values * 100).astype(np.int16))
    with pytest.raises(ValueError, match="no decibels"):
        read(path)
    with rasterio.open(path, "r+") as image:
        image.scales = (0.01,)
    levels, _, scene = read(path)
    np.testing.assert_allclose(levels.astype(int), read(write(tmp_path / "b.tif", values))[0], atol=1)
    assert scene.notes == ["Values are stored with a scale and an offset, which are applied."]


def test_a_scene_that_lies_south_up_is_turned_as_in_training(tmp_path):
    values = db()
    path = write(tmp_path / "a.tif", values[:, ::-1], transform=rasterio.Affine(10, 0, 500_000, 0, 10, 3_999_100))
    with raster.opened(str(path), about()) as scene:
        rows, _ = scene.read(10, 20)
    np.testing.assert_array_equal(rows, read(write(tmp_path / "b.tif", values))[0][10:20])
    assert scene.georeference.transform == tuple(TRANSFORM)[:6]


def test_another_ground_sampling_distance_is_said_and_resampled_on_request(tmp_path):
    values = np.repeat(np.repeat(db(45, 35), 2, axis=1), 2, axis=2)
    path = write(tmp_path / "a.tif", values, transform=FINE)
    _, _, scene = read(path)
    assert scene.height == 90 and "A pixel is 5 m wide, in the training data 10 m" in scene.notes[0]
    levels, _, scene = read(path, resample=True)
    assert scene.notes == ["The scene is resampled to 10 m: from 90 x 70 to 45 x 35 pixels."]
    assert scene.georeference.transform == tuple(TRANSFORM)[:6]
    np.testing.assert_allclose(levels.astype(int), read(write(tmp_path / "b.tif", db(45, 35)))[0], atol=1)


def test_resampling_takes_no_missing_pixel_for_a_value(tmp_path):
    for name, dtype, nodata in (("nan", "float32", None), ("value", "float32", -9999)):
        values = db(80, 80)
        values[:, :, :20] = np.nan if nodata is None else nodata
        path = write(tmp_path / f"{name}.tif", values, nodata=nodata, transform=FINE)
        levels, missing, _ = read(path, resample=True)
        assert missing[:, :10].all() and not missing[:, 10:].any(), dtype
        assert 60 < levels[:, 10].mean() < 200


def test_degrees_are_metres_at_the_latitude_of_the_scene(tmp_path):
    place = rasterio.Affine(9e-5, 0, -3, 0, -9e-5, 60)
    path = write(tmp_path / "a.tif", db(), crs="EPSG:4326", transform=place)
    height, width = raster.ground_sampling(imagery.header(path))
    assert height == pytest.approx(10.02, abs=0.01) and width == pytest.approx(5.01, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ground_sampling_m": None}, "--resample needs the training data's ground sampling distance"),
        ({"crs": None}, "--resample needs the scene's ground sampling distance"),
    ],
)
def test_resampling_needs_both_distances(tmp_path, change, message):
    path = write(tmp_path / "a.tif", db(), **({"crs": None} if "crs" in change else {}))
    with pytest.raises(ValueError, match=message):
        read(path, about(**{key: value for key, value in change.items() if key != "crs"}), resample=True)


def test_a_scene_without_coordinates_is_read_and_that_is_said(tmp_path):
    path = write(tmp_path / "a.tif", db(), crs=None)
    assert read(path)[2].notes == ["The scene has no coordinate reference system; the result has none either."]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_radar_geometry_is_refused_with_the_way_out(tmp_path):
    points = [GroundControlPoint(row, col, 2 + col / 100, 40 - row / 100) for row in (0, 90) for col in (0, 70)]
    path = write(tmp_path / "a.tif", db(), crs=None, transform=None)
    with rasterio.open(path, "r+") as image:
        image.gcps = points, rasterio.CRS.from_epsg(4326)
    with pytest.raises(ValueError, match=r"radar geometry .*terrain-correct it first, for example with SNAP, pyroSAR"):
        read(path)


def test_complex_values_and_files_of_several_rasters_are_refused(tmp_path):
    with pytest.raises(ValueError, match="complex64 values, expected real numbers"):
        read(write(tmp_path / "slc.tif", db().astype(np.complex64)))
    path = write(tmp_path / "a.tif", db())
    write(path, db(), append_subdataset=True)
    with pytest.raises(ValueError, match="it holds 2 rasters, name one of them: GTIFF_DIR:1:"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"no raster", b"II*\0\x08\0\0\0"])
def test_what_is_no_raster_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(OSError, match=r"a\.tif|TIFF|not recognized"):
        read(tmp_path / "a.tif")
    with pytest.raises(OSError, match="No such file"):
        read(tmp_path / "absent.tif")


def test_corrupt_rows_are_named(tmp_path):
    path = write(tmp_path / "a.tif", db(400), compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    with raster.opened(str(path), about()) as scene:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
        with pytest.raises(OSError, match="rows 0 to 399 cannot be read: "):
            scene.read(0, 400)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files of ../shared/data are absent")
@pytest.mark.parametrize("path", sorted(REAL.glob("*.tif")), ids=lambda path: path.stem)
def test_real_files_are_read_as_they_are_or_refused_for_their_bands(path):
    is_optical = "optical" in path.name or "S2" in path.name
    radar = DUAL if path.name.startswith(("ROIs", "Spain")) else DB
    if is_optical:
        with pytest.raises(ValueError, match=r"it has \d+ band\(s\).*; the network takes"):
            read(path, about(radar))
        return
    levels, missing, scene = read(path, about(dataclasses.replace(radar)))
    with rasterio.open(path) as image:
        assert scene.georeference.transform == tuple(image.transform)[:6]
        assert levels.shape == (image.height, image.width, len(radar.bands))
    assert 20 < levels[~missing].mean() < 235
