from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image, PngImagePlugin

from sar2opt_jax.description import ImageFormat
from sar2opt_jax.scene import patch

GREY = ImageFormat(bands=("VV",))
VV_VH = ImageFormat(bands=("VV", "VH"), quantity="dB", limits=((-25.0, 0.0), (-32.5, 0.0)), dtype="float32")


def random_sar(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def save(path: Path, image: np.ndarray, **kw) -> Path:
    Image.fromarray(image).save(path, **kw)
    return path


def tiff(path: Path, bands: np.ndarray, *, names: tuple[str, ...] = (), **profile) -> Path:
    """A GeoTIFF of [band, height, width]."""
    count, height, width = bands.shape
    settings = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with rasterio.open(path, "w", **settings, **profile) as image:
        image.write(bands)
        for number, name in enumerate(names, start=1):
            image.set_band_description(number, name)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_stored_in_another_mode_is_read_as_grey(tmp_path, mode):
    sar = random_sar(5, 6)
    path = tmp_path / "sar.png"
    Image.fromarray(sar).convert(mode).save(path)
    np.testing.assert_array_equal(patch.read(path, GREY)[..., 0], sar)


def test_transparent_images_are_refused(tmp_path):
    pixels = np.stack([random_sar(4, 4), np.full((4, 4), 128, np.uint8)], axis=-1)
    with pytest.raises(ValueError, match="transparent"):
        patch.read(save(tmp_path / "alpha.png", pixels), GREY)
    Image.fromarray(random_sar(4, 4) // 2).save(tmp_path / "key.png", transparency=int(random_sar(4, 4)[0, 0] // 2))
    with pytest.raises(ValueError, match="transparent"):
        patch.read(tmp_path / "key.png", GREY)


def test_text_beside_the_pixels_does_no_harm(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "anything")
    path = save(tmp_path / "sar.png", random_sar(4, 4), pnginfo=info)
    assert patch.read(path, GREY).shape == (4, 4, 1)


def values(dtype="float32", count=2):
    return np.random.default_rng(1).uniform(-30, 0, (count, 4, 6)).astype(dtype)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
class TestTiff:
    def test_bands_keep_their_values_and_type(self, tmp_path):
        found = patch.read(tiff(tmp_path / "a.tif", values()), VV_VH)
        np.testing.assert_array_equal(found, np.moveaxis(values(), 0, -1))
        assert found.dtype == np.float32

    def test_bands_are_matched_by_name(self, tmp_path):
        path = tiff(tmp_path / "a.tif", values(count=3), names=("VH", "angle", "VV"))
        np.testing.assert_array_equal(patch.read(path, VV_VH), np.moveaxis(values(count=3)[[2, 0]], 0, -1))

    @pytest.mark.parametrize(
        ("count", "names", "message"),
        [
            (1, (), r"it has 1 band\(s\) \(band 1\); the network takes 2: VV, VH"),
            (3, ("HH", "HV", "VV"), r"it has 3 band\(s\) \(HH, HV, VV\); the network takes 2"),
            (2, ("HH", "HV"), "it has the bands HH, HV; the network takes VV, VH"),
        ],
    )
    def test_other_bands_are_refused(self, tmp_path, count, names, message):
        with pytest.raises(ValueError, match=message):
            patch.read(tiff(tmp_path / "a.tif", values(count=count), names=names), VV_VH)

    def test_missing_pixels_are_masked(self, tmp_path):
        bands = values()
        bands[:, 0, 0] = -9999
        found = patch.read(tiff(tmp_path / "a.tif", bands, nodata=-9999), VV_VH)
        assert np.ma.getmaskarray(found)[0, 0].all() and np.ma.getmaskarray(found).sum() == 2

    def test_complex_values_are_refused_with_the_way_out(self, tmp_path):
        with pytest.raises(ValueError, match="complex"):
            patch.read(tiff(tmp_path / "a.tif", values(count=2).astype(np.complex64)), VV_VH)

    def test_a_truncated_file_is_an_error_in_one_line(self, tmp_path):
        path = tiff(tmp_path / "a.tif", values())
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(ValueError, match=r"."):
            patch.read(path, VV_VH)

    def test_a_16_bit_png_is_read_in_full_depth(self, tmp_path):
        deep = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000
        Image.fromarray(deep).save(tmp_path / "a.png")
        found = patch.read(tmp_path / "a.png", ImageFormat(bands=("VV",), dtype="uint16", limits=((0.0, 1000.0),)))
        np.testing.assert_array_equal(found[..., 0], deep)
