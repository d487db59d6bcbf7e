"""PNG files of photographs, decoded about twice as fast as by libpng, and no further than is wanted.

A PNG is its pixels, predicted from their neighbours, in deflate (https://www.w3.org/TR/png-3, sections 7, 9 and 10).
Photographs use the Paeth predictor nearly everywhere, whose three-way choice processors guess wrong; here it is made
without a branch. And a row depends on those above and to the left alone, so that a crop needs nothing below nor to the
right of it. Needs the extra ``fast``: numba and isal.
"""

import os
import struct

import numba
import numpy as np
from isal import isal_zlib

# Compiling takes seconds: kept beside this file from one process to the next, where that may be written.
_CACHE = os.access(os.path.dirname(__file__), os.W_OK)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3}  # of the colour types grey and RGB
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def decode(data: bytes, *, bottom: int | None = None, right: int | None = None) -> np.ndarray | None:
    """The upper left part of an image, bit for bit what any other decoder gives.

    Args:
        data: a file.
        bottom: how many rows are wanted; None, or more than there are, is all.
        right: how many columns.

    Returns:
        [bottom, right, channel] uint8 with 1 or 3 channels; or None for what is left to another decoder: no PNG, one
        that is not grey or RGB with 8 bits, or interlaced, or broken.
    """
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth != 8 or colour not in _CHANNELS or interlace or not (width and height):
        return None
    channels = _CHANNELS[colour]
    rows = height if bottom is None else min(bottom, height)
    columns = width if right is None else min(right, width)

    length = rows * (1 + width * channels)
    try:
        scanlines = isal_zlib.decompressobj().decompress(_compressed(data), length)
    except (isal_zlib.error, struct.error):  # pyright: ignore[reportGeneralTypeIssues]
        return None
    if len(scanlines) < length:
        return None
    image = np.empty((rows, columns * channels), np.uint8)
    if not _reconstruct(np.frombuffer(scanlines, np.uint8).reshape(rows, -1), image, channels):
        return None
    return image.reshape(rows, columns, channels)


def _compressed(data: bytes) -> bytes:
    """The image data of all chunks, laid end to end."""
    parts, start = [], 8
    while start < len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind == b"IDAT":
            parts.append(data[start + 8 : start + 8 + length])
        elif kind == b"IEND":
            break
        start += 12 + length
    return parts[0] if len(parts) == 1 else b"".join(parts)


@numba.njit(inline="always")
def _paeth(left, above, corner):
    """Of three neighbours the one nearest to left + above - corner (section 9.4); ties go in the order of the names."""
    to_left = abs(above - corner)
    to_above = abs(left - corner)
    to_corner = abs(above - corner + left - corner)
    # A mask of all ones or all zeros, since a condition would become a branch.
    chosen = above ^ ((above ^ corner) & -np.int32(to_corner < to_above))
    return chosen ^ ((chosen ^ left) & -np.int32(to_left <= min(to_above, to_corner)))


@numba.njit(nogil=True, cache=_CACHE)
def _paeth_grey(scanline, above, row):
    left = corner = np.int32(0)
    for i in range(len(row)):
        up = np.int32(above[i])
        left = np.int32((scanline[i] + _paeth(left, up, corner)) & 255)
        row[i] = left
        corner = up


@numba.njit(nogil=True, cache=_CACHE)
def _paeth_rgb(scanline, above, row):
    # The channels side by side: each waits for its own left neighbour only, and the processor works on all three.
    left_r = left_g = left_b = corner_r = corner_g = corner_b = np.int32(0)
    for i in range(0, len(row), 3):
        up_r, up_g, up_b = np.int32(above[i]), np.int32(above[i + 1]), np.int32(above[i + 2])
        left_r = np.int32((scanline[i] + _paeth(left_r, up_r, corner_r)) & 255)
        left_g = np.int32((scanline[i + 1] + _paeth(left_g, up_g, corner_g)) & 255)
        left_b = np.int32((scanline[i + 2] + _paeth(left_b, up_b, corner_b)) & 255)
        row[i], row[i + 1], row[i + 2] = left_r, left_g, left_b
        corner_r, corner_g, corner_b = up_r, up_g, up_b


@numba.njit(nogil=True, cache=_CACHE)
def _reconstruct(scanlines, image, channels):
    """Undoes the prediction of every row; False where one has a predictor that PNG does not know."""
    first = np.zeros_like(image[0])
    for i in range(len(image)):
        kind, row = scanlines[i, 0], image[i]
        scanline = scanlines[i, 1 : 1 + len(row)]
        above = image[i - 1] if i else first
        if kind == _NONE:
            row[:] = scanline
        elif kind == _SUB:
            row[:channels] = scanline[:channels]
            for k in range(channels, len(row)):
                row[k] = scanline[k] + row[k - channels]
        elif kind == _UP:
            for k in range(len(row)):
                row[k] = scanline[k] + above[k]
        elif kind == _AVERAGE:
            for k in range(len(row)):
                left = np.int32(row[k - channels]) if k >= channels else np.int32(0)
                row[k] = scanline[k] + (left + above[k]) // 2
        elif kind == _PAETH and channels == 1:
            _paeth_grey(scanline, above, row)
        elif kind == _PAETH:
            _paeth_rgb(scanline, above, row)
        else:
            return False
    return True
