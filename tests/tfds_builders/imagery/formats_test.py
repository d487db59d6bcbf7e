import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_builders.imagery import formats


@pytest.mark.parametrize(("suffix", "expected"), [("png", "png"), ("jpg", "jpeg"), ("tif", "tiff")])
def test_format_is_that_of_the_bytes_not_of_the_name(tmp_path, suffix, expected):
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (4, 4)).save(path)
    path = path.rename(tmp_path / "a.dat")
    assert formats.file_format(path) == expected


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"\x93NUMPY\1\0", "NumPy"),
        (b"BM\0\0\0\0", "BMP"),
        (b"GIF89a", "GIF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"CDF\1", "NetCDF"),
        (b"\0\0\0\x1cftypavif", "HEIF"),
    ],
)
def test_other_format_is_named_by_its_bytes_with_what_to_do(tmp_path, start, name):
    path = tmp_path / "a.tif"
    path.write_bytes(start + bytes(40))
    with pytest.raises(ValueError, match=rf"^a {name} file, which is not read \(PNG, JPEG and GeoTIFF are\): \w+"):
        formats.file_format(path)


@pytest.mark.parametrize("suffix", formats.FOREIGN_SUFFIXES)
def test_other_format_is_named_by_its_suffix_where_the_bytes_say_nothing(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    path.write_bytes(b"?" * 40)
    with pytest.raises(ValueError, match="file, which is not read"):
        formats.file_format(path)


def test_jpeg_2000_says_the_command_that_converts_it(tmp_path):
    (tmp_path / "T33.jp2").write_bytes(b"\xff\x4f\xff\x51")
    with pytest.raises(ValueError, match=r"gdal_translate T33\.jp2 T33\.tif$"):
        formats.file_format(tmp_path / "T33.jp2")


def test_conversion_is_known_by_the_suffix():
    assert formats.conversion(Path("a.JP2")) == "convert it to GeoTIFF, such as by gdal_translate a.JP2 a.tif"
    assert formats.conversion(Path("a.npy")).startswith("write its array as GeoTIFF")
    assert formats.conversion(Path("a.tif")) is None


@pytest.mark.parametrize("content", [b"", b"no image", b"P", b"\x89PN"])
def test_file_of_no_format_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"^not a PNG, JPEG or GeoTIFF file$"):
        formats.file_format(tmp_path / "a.png")


def png(tmp_path, image, **options):
    image.save(tmp_path / "a.png", **options)
    return formats.png_chunks(tmp_path / "a.png")


def test_chunks_tell_depth_transparency_orientation_and_animation(tmp_path):
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert png(tmp_path, grey) == formats.Png(depth=8, transparent=(), orientation=1, animated=False)
    assert png(tmp_path, grey, transparency=7).transparent == (7,)
    assert png(tmp_path, grey.convert("RGB"), transparency=(1, 2, 3)).transparent == (1, 2, 3)
    assert png(tmp_path, grey.convert("1")).depth == 1
    exif = Image.Exif()
    exif[274] = 6
    assert png(tmp_path, grey, exif=exif).orientation == 6
    assert png(tmp_path, grey, save_all=True, append_images=[grey.rotate(90)]).animated
    # The transparency of a palette is one entry a colour, and no value.
    assert png(tmp_path, grey.convert("P"), transparency=b"\0\1").transparent == ()


def test_truncated_chunks_are_no_crash(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    for length in range(8, len(data)):
        (tmp_path / "a.png").write_bytes(data[:length])
        try:
            assert formats.png_chunks(tmp_path / "a.png").depth == 8
        except ValueError as error:
            assert "without a header" in str(error)


def directory(order, big, tag, value):
    """A TIFF structure with one tag of kind SHORT."""
    start = {"<": b"II", ">": b"MM"}[order]
    if big:
        entry = struct.pack(f"{order}HHQH6x", tag, 3, 1, value)
        return start + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, 1) + entry
    return start + struct.pack(f"{order}HIHHHIH2x", 42, 8, 1, tag, 3, 1, value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_orientation_is_read_in_both_byte_orders_and_both_sizes(order, big):
    for value in range(1, 9):
        file = io.BytesIO(b"Exif" + directory(order, big, 274, value))
        file.seek(4)
        assert formats.tiff_orientation(file) == value
    assert formats.tiff_orientation(io.BytesIO(directory(order, big, 256, 6))) == 1
    assert formats.tiff_orientation(io.BytesIO(directory(order, big, 274, 77))) == 1


@pytest.mark.parametrize("data", [b"", b"PK", b"II*\0", b"MM\0*\0\0\0\x08\0\x05"])
def test_broken_structure_is_an_error_in_words(data):
    with pytest.raises(ValueError, match="TIFF file"):
        formats.tiff_orientation(io.BytesIO(data))
