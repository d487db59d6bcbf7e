import subprocess
import sys

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from tfds_builders import imagery
from tfds_builders.imagery.header import radiometry

UTM = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000)}


def save(tmp_path, values, name="a.png", mode=None, **options):
    image = Image.fromarray(values)
    if mode is not None:
        image = image.convert(mode)
    image.save(tmp_path / name, **options)
    return tmp_path / name


def refused(path):
    with pytest.raises(imagery.UNREADABLE) as caught:
        imagery.read(path)
    return str(caught.value)


def test_reader_needs_no_tensorflow_datasets():
    command = "import sys, tfds_builders.imagery; print('tensorflow_datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_values_and_header_are_those_of_the_file(tmp_path, tiff, ramp):
    path = tiff("a", np.dstack([ramp, 255 - ramp]).astype(np.float32), descriptions=("VV", "VH"), nodata=-9999, **UTM)
    raster = imagery.read(path)
    np.testing.assert_array_equal(raster.values, np.dstack([ramp, 255 - ramp]))
    assert not raster.mask.any() and raster.values.dtype == np.float32
    header = raster.header
    assert header == imagery.header(path)
    assert (header.format, header.height, header.width, header.dtype) == ("tiff", 6, 4, "float32")
    assert [band.name for band in header.bands] == ["VV", "VH"] and header.nodata == -9999
    assert header.georeference.transform == UTM["transform"][:6] and header.georeference.pixel_m == 10
    assert str(header) == "6 x 4 pixels, 2 bands of float32"
    np.testing.assert_array_equal(imagery.read(path, bands=(2,)).values[..., 0], 255 - ramp)

    grey = imagery.read(save(tmp_path, ramp))
    np.testing.assert_array_equal(grey.values[..., 0], ramp)
    assert grey.header.plain and grey.header.format == "png" and grey.header.georeference is None


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_alpha_is_a_mask_never_a_band(tmp_path, ramp, mode, kind):
    image = Image.fromarray(ramp).convert(mode)
    alpha = np.full_like(ramp, 255)
    alpha[:2] = 0
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / f"a.{kind}")
    raster = imagery.read(tmp_path / f"a.{kind}")
    colours = len(mode) - 1
    assert raster.values.shape == (6, 4, colours) and raster.header.alpha == colours + 1
    assert raster.mask[:2].all() and not raster.mask[2:].any()
    assert raster.header.masked and not raster.header.plain
    np.testing.assert_array_equal(raster.values[2:, :, 0], ramp[2:])


def test_alpha_of_sixteen_bits_is_a_mask(tiff, ramp):
    alpha = np.where(np.arange(6)[:, None] < 2, 0, 65535) + np.zeros((1, 4), int)
    values = np.dstack([ramp.astype(np.uint16) * 9, alpha.astype(np.uint16)])
    for driver in ("GTiff", "PNG"):
        raster = imagery.read(tiff("a", values, driver=driver, **({"alpha": "YES"} if driver == "GTiff" else {})))
        np.testing.assert_array_equal(raster.values[..., 0], ramp.astype(np.uint16) * 9)
        assert raster.mask[:2].all() and not raster.mask[2:].any()


def test_image_that_was_saved_as_alpha_is_refused(tmp_path, tiff):
    noise = np.random.default_rng(0).integers(256, size=(16, 16, 4), dtype=np.uint8)
    message = "is marked as transparency (alpha), but holds an image"
    assert message in refused(tiff("a", noise))  # GDAL marks the fourth of four bands as alpha.
    assert message in refused(save(tmp_path, noise))
    # Named bands are none of transparency, whatever their mark.
    raster = imagery.read(tiff("b", noise, descriptions=("HH", "HV", "VH", "VV")))
    np.testing.assert_array_equal(raster.values, noise)
    assert not raster.mask.any() and raster.header.alpha is None
    # A soft edge of a mask is one.
    soft = noise.copy()
    soft[..., 3] = 255
    soft[0, :, 3] = np.arange(16) * 10
    assert imagery.read(tiff("c", soft)).mask.sum() == 3


def test_transparent_colour_is_a_mask(tmp_path, ramp):
    raster = imagery.read(save(tmp_path, ramp, transparency=70))
    np.testing.assert_array_equal(raster.mask[..., 0], ramp == 70)
    rgb = np.dstack([ramp, ramp, ramp])
    rgb[0, 0] = 70, 0, 0  # One channel alone is not the colour.
    raster = imagery.read(save(tmp_path, rgb, transparency=(70, 70, 70)))
    np.testing.assert_array_equal(raster.mask.all(axis=-1), (rgb == 70).all(axis=-1))
    assert raster.mask.sum() == 3 and raster.header.masked


def test_transparent_value_of_sixteen_bits_is_a_mask(tiff, ramp):
    values = ramp.astype(np.uint16) * 257
    raster = imagery.read(tiff("a", values, driver="PNG", nodata=70 * 257))
    np.testing.assert_array_equal(raster.mask[..., 0], ramp == 70)


@pytest.mark.parametrize("internal", [True, False])
def test_masks_and_nodata_of_geotiffs_count(tiff, ramp, internal):
    mask = np.full((6, 4), 255, np.uint8)
    mask[1] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        raster = imagery.read(tiff("a", ramp.astype(np.float32), mask=mask))
    assert raster.mask[1].all() and raster.mask.sum() == 4

    values = np.dstack([ramp, ramp]).astype(np.float32)
    values[0, 0, 0], values[0, 1, 1], values[0, 2], values[0, 3] = -9999, -9999, np.nan, -np.inf
    raster = imagery.read(tiff("b", values, nodata=-9999))
    assert raster.mask[0, :, 0].tolist() == [True, False, True, True]
    assert raster.mask[0, :, 1].tolist() == [False, True, True, True] and raster.mask.sum() == 6


def test_white_as_zero_becomes_black_as_zero(tiff, ramp):
    raster = imagery.read(tiff("a", 255 - ramp, photometric="MINISWHITE"))
    np.testing.assert_array_equal(raster.values[..., 0], ramp)
    assert not raster.header.plain
    message = "white is stored as 0 (MINISWHITE) in more than 8 bits"
    assert message in refused(tiff("b", ramp.astype(np.uint16), photometric="MINISWHITE"))


def test_numbers_that_are_no_grey_levels_are_refused(tmp_path, tiff, ramp):
    assert "palette" in refused(save(tmp_path, ramp, "a.tif", mode="P"))
    assert "mode P of Pillow, expected grey or RGB" in refused(save(tmp_path, ramp, "a.png", mode="P"))
    assert "1 bit a value" in refused(save(tmp_path, ramp, "b.tif", mode="1"))
    assert "4 bit a value" in refused(tiff("c", ramp % 16, nbits=4))
    assert "mode 1 of Pillow" in refused(save(tmp_path, ramp, "b.png", mode="1"))
    assert "CMYK" in refused(save(tmp_path, np.dstack([ramp] * 3), "d.tif", mode="CMYK"))
    assert "CIELAB" in refused(save(tmp_path, np.dstack([ramp] * 3), "e.tif", mode="LAB"))
    assert imagery.header(tiff("f", ramp.astype(np.uint16), nbits=12)).dtype == "uint16"


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_values_are_refused_in_a_sentence(tiff, ramp, dtype):
    values = ramp.astype(np.complex128 if dtype == "complex128" else np.complex64)
    message = refused(tiff("a", values, dtype=dtype))
    assert message == f"{dtype} values, expected real numbers: intensity, amplitude or dB"


def test_several_pages_are_refused_and_overviews_are_none(tmp_path, tiff, ramp):
    pages = save(tmp_path, ramp, "pages.tif", save_all=True, append_images=[Image.fromarray(255 - ramp)])
    assert refused(pages).startswith("2 pages, expected one")
    animated = save(tmp_path, ramp, "pages.png", save_all=True, append_images=[Image.fromarray(255 - ramp)])
    assert "animated" in refused(animated)
    large = tiff("overviews", np.zeros((64, 64), np.uint8))
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(large, "r+") as file,
    ):
        file.build_overviews([2, 4])
    assert imagery.header(large).height == 64


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_orientation_tag_is_obeyed(tmp_path, kind):
    # Blocks of 16, which JPEG keeps.
    values = (np.arange(12, dtype=np.uint8).reshape(4, 3) * 20).repeat(16, axis=0).repeat(16, axis=1)
    exif = Image.Exif()
    exif[274] = 6
    options = {"tiffinfo": {274: 6}} if kind == "tif" else {"exif": exif}
    # Stored so that a quarter turn clockwise shows it upright.
    raster = imagery.read(save(tmp_path, np.rot90(values).copy(), f"a.{kind}", **options))
    np.testing.assert_allclose(raster.values[..., 0], values, atol=2 if kind == "jpg" else 0)
    assert (raster.header.height, raster.header.width) == (64, 48) and not raster.header.plain


def test_image_is_turned_north_up_with_its_mask(tiff, ramp):
    values = ramp.astype(np.float32)
    values[0] = -1
    south_up = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 500_000, 0, 10, 3_999_940)}
    raster = imagery.read(tiff("a", values[::-1], nodata=-1, **south_up))
    np.testing.assert_array_equal(raster.values[..., 0], values)
    assert raster.mask[0].all() and not raster.mask[1:].any()
    assert raster.header.georeference.transform == UTM["transform"][:6]
    # The georeference, not the orientation tag, says where north is.
    assert imagery.read(tiff("b", values, **UTM)).header.turn == (False, False, False)


def test_ground_control_points_are_an_approximate_georeference(tiff, ramp):
    corners = [(0, 0), (0, 4), (6, 0), (6, 4)]
    points = [GroundControlPoint(row, column, 10.0 * column, -10.0 * row, 0) for row, column in corners]
    place = imagery.header(tiff("a", ramp, gcps=(points, "EPSG:32631"))).georeference
    assert place.approximate and place.pixel_m is None
    np.testing.assert_allclose(place.transform, (10, 0, 0, 0, -10, 0), atol=1e-9)


def test_world_file_is_read_and_says_no_crs(tmp_path, ramp):
    path = save(tmp_path, ramp)
    (tmp_path / "a.pgw").write_text("10\n0\n0\n-10\n500005\n3999995\n")
    place = imagery.header(path).georeference
    assert place.transform == UTM["transform"][:6] and place.crs is None
    (tmp_path / "a.pgw").write_text("no numbers")
    assert imagery.header(path).georeference is None


def test_bands_tell_colour_scale_and_offset(tmp_path, tiff, ramp):
    path = tiff("a", np.dstack([ramp] * 3), colours=(ColorInterp.blue, ColorInterp.green, ColorInterp.red))
    assert [band.name for band in imagery.header(path).bands] == ["blue", "green", "red"]
    path = tiff("b", np.dstack([ramp] * 2).astype(np.uint16), tags={"PROCESSING_BASELINE": "05.10", "AUTHOR": "x"})
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 2e-4), (-0.1, 0)
    header = imagery.header(path)
    assert [(band.scale, band.offset) for band in header.bands] == [(1e-4, -0.1), (2e-4, 0)]
    assert [band.name for band in header.bands] == ["band 1", "band 2"]
    assert header.radiometry == (("PROCESSING_BASELINE", "04.00 or later"),)


def test_radiometry_is_what_says_how_to_read_numbers():
    tags = {"BOA_ADD_OFFSET_B2": "-1000", "OFFSET": "1", "QUANTIFICATION_VALUE": "10000", "POLARIZATION": "VV"}
    assert dict(radiometry(tags | {"AREA_OR_POINT": "Area", "TIME_OFFSET_S": "3"})) == tags
    assert dict(radiometry({"PROCESSING_BASELINE": "02.12"})) == {"PROCESSING_BASELINE": "before 04.00"}
    assert dict(radiometry({"PROCESSING_BASELINE": "?"})) == {"PROCESSING_BASELINE": "?"}


def test_nothing_is_decoded_for_a_header(tmp_path, tiff, monkeypatch):
    path = tiff("a", np.zeros((64, 64), np.float32))
    monkeypatch.setattr(rasterio.DatasetReader, "read", lambda *_, **__: pytest.fail("decoded"), raising=False)
    assert imagery.header(path).height == 64
    (tmp_path / "b.png").write_bytes(save(tmp_path, np.zeros((64, 64), np.uint8)).read_bytes()[:60])
    assert imagery.header(tmp_path / "b.png").height == 64
    with pytest.raises(imagery.UNREADABLE):
        imagery.read(tmp_path / "b.png")


def test_picture_of_too_many_pixels_names_the_format_for_scenes(tmp_path, ramp, monkeypatch):
    path = save(tmp_path, ramp)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "gdal_translate a.png a.tif" in refused(path)
