import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

png = pytest.importorskip("sar2opt_jax.data.png", reason="needs the extra `fast`", exc_type=ModuleNotFoundError)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(scanlines, *, depth=8, colour=2, interlace=0, parts=1):
    """A PNG file of the given rows, each [1 + bytes a row] and opening with its filter."""
    rows, width = len(scanlines), (scanlines.shape[1] - 1) // {0: 1, 2: 3, 4: 2}[colour]
    compressed = zlib.compress(scanlines.tobytes())
    cuts = np.linspace(0, len(compressed), parts + 1).astype(int)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, rows, depth, colour, 0, 0, interlace)),
            chunk(b"tEXt", b"Comment\x00between"),
            *(chunk(b"IDAT", compressed[a:b]) for a, b in itertools.pairwise(cuts)),
            chunk(b"IEND", b""),
        ]
    )


def random_scanlines(*, channels, filters, width=11, seed=0):
    """Random bytes are valid under every filter: what the decoder makes of them is what counts."""
    values = np.random.default_rng(seed).integers(256, size=(len(filters), 1 + width * channels), dtype=np.uint8)
    values[:, 0] = filters
    return values


def by_pillow(data):
    image = np.asarray(Image.open(io.BytesIO(data)))
    return image.reshape(*image.shape[:2], -1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("first", range(5))
def test_all_filters_give_the_pixels_of_pillow(channels, first):
    # Every filter on the first row, where nothing is above, and every one below every other.
    filters = [first, *np.random.default_rng(first).integers(5, size=60)]
    data = png_file(random_scanlines(channels=channels, filters=filters), colour={1: 0, 3: 2}[channels])
    np.testing.assert_array_equal(png.decode(data), by_pillow(data))


@pytest.mark.parametrize("channels", [1, 3])
def test_smooth_image_with_ties_of_the_predictor_comes_back(channels):
    # Neighbours that are equal or nearly so decide between the three choices at their borders.
    values = np.random.default_rng(1).integers(100, 108, size=(40, 30, channels), dtype=np.uint8)
    raw = values.astype(int)
    left, above, corner = (np.zeros_like(raw) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = raw[:, :-1], raw[:-1], raw[:-1, :-1]
    guess = left + above - corner
    distances = np.stack([abs(guess - neighbour) for neighbour in (left, above, corner)])
    paeth = np.choose(distances.argmin(0), [left, above, corner])  # argmin takes the first of equals, as PNG does
    scanlines = np.concatenate([np.full((40, 1), 4), ((raw - paeth) % 256).reshape(40, -1)], axis=1).astype(np.uint8)
    np.testing.assert_array_equal(png.decode(png_file(scanlines, colour={1: 0, 3: 2}[channels])), values)


def test_part_is_the_corner_of_the_whole():
    data = png_file(random_scanlines(channels=3, filters=[4, 3, 2, 1, 0] * 4))
    whole = by_pillow(data)
    for bottom, right in ((1, 1), (7, 5), (20, 11), (99, 99)):
        np.testing.assert_array_equal(png.decode(data, bottom=bottom, right=right), whole[:bottom, :right])


def test_image_in_many_chunks_comes_back():
    data = png_file(random_scanlines(channels=3, filters=[4] * 9), parts=5)
    np.testing.assert_array_equal(png.decode(data), by_pillow(data))


def test_what_it_does_not_know_is_left_to_others():
    lines = random_scanlines(channels=3, filters=[0, 4])
    assert png.decode(png_file(lines)) is not None
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, format="JPEG")
    assert png.decode(jpeg.getvalue()) is None
    assert png.decode(png_file(lines, interlace=1)) is None
    assert png.decode(png_file(lines, depth=16)) is None
    assert png.decode(png_file(random_scanlines(channels=2, filters=[0, 4]), colour=4)) is None


def test_broken_file_is_left_to_others():
    good = png_file(random_scanlines(channels=3, filters=[4] * 50))
    assert png.decode(good) is not None
    assert png.decode(good[: len(good) // 2]) is None
    assert png.decode(good[:20]) is None
    assert png.decode(b"") is None
    damaged = bytearray(good)
    damaged[good.index(b"IDAT") + 4] ^= 0xFF
    assert png.decode(bytes(damaged)) is None
    assert png.decode(png_file(random_scanlines(channels=3, filters=[4, 5]))) is None
