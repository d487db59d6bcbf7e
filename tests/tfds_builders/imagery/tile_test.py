import numpy as np
import pytest
import rasterio
from PIL import Image

from tfds_builders import imagery
from tfds_builders.imagery import reader
from tfds_builders.imagery.georeference import ORIENTATIONS
from tfds_builders.imagery.tile import Tile, Window, file_of

WINDOW = Window(1, 2, 3, 2)


@pytest.fixture(name="image")
def image_with_a_hole():
    """[6, 6, 2] values of which no two are equal, but for two that mark missing data."""
    values = np.arange(72, dtype=np.float32).reshape(6, 6, 2)
    values[2, 3] = -9999
    return values


def assert_is_part(path):
    whole, part = imagery.read(path), imagery.read(Tile(path, WINDOW))
    row, column, height, width = WINDOW
    for one, other in ((part.values, whole.values), (part.mask, whole.mask)):
        np.testing.assert_array_equal(one, other[row : row + height, column : column + width])
    assert (part.header.height, part.header.width) == (height, width) == part.values.shape[:2]
    return part, whole


def shift(matrix, *, rows, columns):
    return matrix @ rasterio.Affine.translation(columns, rows)


@pytest.mark.parametrize("down", [-10, 10])
@pytest.mark.parametrize("right", [-10, 10])
@pytest.mark.parametrize("transposed", [False, True])
def test_tile_of_a_raster_is_the_part_that_a_map_shows(tiff, image, down, right, transposed):
    matrix = (0, right, 500_000, down, 0, 4_000_000) if transposed else (right, 0, 500_000, 0, down, 4_000_000)
    path = tiff("a", image, nodata=-9999, crs="EPSG:32631", transform=rasterio.Affine(*matrix))
    part, whole = assert_is_part(path)
    assert part.mask.any() and not part.mask.all()
    expected = shift(rasterio.Affine(*whole.header.georeference.transform), rows=1, columns=2)
    assert part.header.georeference.transform == expected[:6]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_tile_of_a_picture_obeys_its_orientation(tmp_path, image, orientation, suffix):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(image[..., 0].clip(0, 255).astype(np.uint8)).save(path, exif=exif)
    assert_is_part(path)


def test_transparency_and_masks_are_cut_along(tmp_path, tiff, image):
    eight_bit = image.clip(0, 255).astype(np.uint8)
    mask = np.where(image[..., 0] < 0, 0, 255).astype(np.uint8)
    transparent = Image.fromarray(np.dstack([eight_bit[..., :1], mask]))
    names = ("a.png", "alpha.tif", "mask.tif")
    for name in names[:2]:
        transparent.save(tmp_path / name)
    tiff("mask", eight_bit, mask=mask)
    for name in names:
        part, _ = assert_is_part(tmp_path / name)
        assert part.mask.any() and not part.mask.all()


def test_part_of_a_part_counts_from_its_corner(tiff, image):
    path = tiff("a", image, crs="EPSG:32631", transform=rasterio.Affine(10, 0, 0, 0, -10, 0))
    with imagery.opened(Tile(path, WINDOW)) as part:
        np.testing.assert_array_equal(part.decoded(rows=(1, 3), columns=(1, 2)).values, image[2:4, 3:4])


def test_file_stays_open_for_its_next_tile_and_is_opened_anew_when_it_changed(tiff, image, monkeypatch):
    opened = []
    real = reader._open
    monkeypatch.setattr(reader, "_open", lambda path: (opened.append(path), real(path))[1])
    path = tiff("a", image)
    for row in range(4):
        imagery.read(Tile(path, Window(row, 0, 1, 1)))
    assert opened == [path]
    tiff("a", image[:5] + 1)
    np.testing.assert_array_equal(imagery.read(Tile(path, WINDOW)).values, image[1:4, 2:4] + 1)
    assert opened == [path, path]
    imagery.close_tiled()
    imagery.read(Tile(path, WINDOW))
    assert opened == [path, path, path]


@pytest.mark.parametrize("window", [(4, 0, 3, 2), (0, -1, 2, 2), (0, 5, 1, 2)])
def test_window_outside_is_refused(tiff, image, window):
    with pytest.raises(ValueError, match="6 x 6 pixels, 2 bands of float32 do not hold a window"):
        imagery.read(Tile(tiff("a", image), Window(*window)))


def test_tile_names_its_file_and_its_pixels(tmp_path):
    tile = Tile(tmp_path / "a.tif", Window(256, 0, 128, 64))
    assert str(tile).endswith("a.tif (rows 256 to 383, columns 0 to 63)")
    assert file_of(tile) == file_of(tmp_path / "a.tif") == tmp_path / "a.tif"
