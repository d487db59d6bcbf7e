"""Which file formats are read, by their first bytes; and what of a file no library tells without decoding it."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

Format = Literal["png", "jpeg", "tiff"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Of files that are read, in lower case."""

_START = 32  # bytes in which every format shows itself
_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES: dict[bytes, Format] = {
    _PNG: "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
}


class _Foreign(NamedTuple):
    """A format of images that is not read."""

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]  # what the file starts with; "?" stands for any byte
    conversion: str


_BY_GDAL = "convert it to GeoTIFF, such as by gdal_translate {file} {stem}.tif"
_BY_ARRAY = "write its array as GeoTIFF, such as by rasterio, or as 8-bit PNG by Pillow"
_BY_PNG = "convert it to PNG, such as by gdal_translate -of PNG {file} {stem}.png"
_FOREIGN = (
    _Foreign("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf"), (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _BY_GDAL),
    _Foreign("JPEG XL", (".jxl",), (b"\0\0\0\x0cJXL ", b"\xff\x0a"), _BY_GDAL),
    _Foreign("WebP", (".webp",), (b"RIFF????WEBP",), _BY_PNG),
    _Foreign("NumPy", (".npy", ".npz"), (b"\x93NUMPY",), _BY_ARRAY),
    _Foreign("BMP", (".bmp",), (b"BM",), _BY_PNG),
    _Foreign("GIF", (".gif",), (b"GIF8",), _BY_PNG),
    _Foreign("portable pixmap", (".pgm", ".ppm", ".pnm"), (b"P5\n", b"P6\n"), _BY_PNG),
    _Foreign("HEIF", (".heic", ".heif", ".avif"), (b"????ftyp",), _BY_GDAL),
    _Foreign("NetCDF", (".nc", ".nc4"), (b"CDF\1", b"CDF\2", b"CDF\5"), _BY_GDAL),
    _Foreign("HDF5", (".h5", ".hdf5", ".he5"), (b"\x89HDF\r\n\x1a\n",), _BY_GDAL),
    _Foreign("HDF4", (".hdf",), (b"\x0e\x03\x13\x01",), _BY_GDAL),
    _Foreign("MATLAB", (".mat",), (b"MATLAB 5.0",), _BY_ARRAY),
    _Foreign("ERDAS Imagine or ENVI", (".img",), (b"EHFA_HEADER_TAG",), _BY_GDAL),
    _Foreign("PyTorch", (".pt", ".pth"), (), _BY_ARRAY),
)
FOREIGN_SUFFIXES = tuple(suffix for foreign in _FOREIGN for suffix in foreign.suffixes)
"""Of image files that are not read but named, with what to convert them to; in lower case."""


def file_format(path: Path) -> Format:
    """The format of a file, whatever its name says.

    Raises:
        ValueError: none that is read; which it is, and what to convert it to.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return name
    for foreign in _FOREIGN:
        if any(_matches(start, signature) for signature in foreign.signatures):
            raise ValueError(_refusal(foreign, path))
    for foreign in _FOREIGN:
        if path.suffix.lower() in foreign.suffixes:
            raise ValueError(_refusal(foreign, path))
    raise ValueError("not a PNG, JPEG or GeoTIFF file")


def _matches(start: bytes, signature: bytes) -> bool:
    wildcard = ord("?")
    return len(start) >= len(signature) and all(
        want in (got, wildcard) for got, want in zip(start, signature, strict=False)
    )


def conversion(path: Path) -> str | None:
    """What to do with a file in a format that is not read, by its suffix; None where that says nothing."""
    return next((_conversion(foreign, path) for foreign in _FOREIGN if path.suffix.lower() in foreign.suffixes), None)


def _conversion(foreign: _Foreign, path: Path) -> str:
    return foreign.conversion.format(file=path.name, stem=path.stem)


def _refusal(foreign: _Foreign, path: Path) -> str:
    return f"a {foreign.name} file, which is not read (PNG, JPEG and GeoTIFF are): {_conversion(foreign, path)}"


class Png(NamedTuple):
    """What the chunks of a PNG file say before its pixels are decoded."""

    depth: int  # bits a channel
    transparent: tuple[int, ...]  # tRNS of grey and RGB: the grey level or colour that is transparent; else empty
    orientation: int  # of EXIF, 1 .. 8
    animated: bool


def png_chunks(path: Path) -> Png:
    """Reads the chunks of a PNG file, passing over its pixels.

    Raises:
        ValueError: no PNG file, or truncated in a chunk that is needed.
        OSError: it cannot be read.
    """
    depth, colour_type, transparent, orientation, animated = 0, 0, (), 1, False
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            raise ValueError("not a PNG file")
        for name, length in _chunk_headers(file):
            end = file.tell() + length + 4  # a checksum follows
            if name == b"IHDR" and length == 13:
                start = file.read(length)
                depth, colour_type = start[8:10] if len(start) == length else (0, 0)
            elif name == b"tRNS" and colour_type in (0, 2):
                transparent = struct.unpack(f">{length // 2}H", file.read(length // 2 * 2))
            elif name == b"eXIf":
                orientation = _exif_orientation(file)
            elif name == b"acTL":
                animated = True
            file.seek(end)
    if not depth:
        raise ValueError("a PNG file without a header")
    return Png(depth, transparent, orientation, animated)


def _chunk_headers(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        yield name, length


def _exif_orientation(file: BinaryIO) -> int:
    try:
        return tiff_orientation(file)
    except ValueError:
        return 1  # Broken EXIF data do not make an image unreadable.


_ORIENTATION = 274
_SHORT, _LONG = 3, 4
_MAX_ENTRIES = 4096  # of a directory; more is a damaged file


def tiff_orientation(file: BinaryIO) -> int:
    """The tag ``Orientation``, 1 .. 8, of the first directory of a TIFF structure that starts here; 1 without one.

    GDAL does not tell it.

    Raises:
        ValueError: no TIFF structure.
    """
    base = file.tell()

    def take(form: str) -> tuple[Any, ...]:
        try:
            return struct.unpack(order + form, file.read(struct.calcsize(order + form)))
        except struct.error:
            raise ValueError("truncated in the header of a TIFF file") from None

    order = {b"II": "<", b"MM": ">"}.get(file.read(2), "")
    if not order:
        raise ValueError("not a TIFF file")
    big = take("H")[0] == 43
    start = take("4xQ" if big else "I")[0]
    file.seek(base + start)
    [count] = take("Q" if big else "H")
    for _ in range(min(count, _MAX_ENTRIES)):
        tag, kind, _, value = take("HHQ8s" if big else "HHI4s")
        if tag == _ORIENTATION and kind in (_SHORT, _LONG):
            raw = value[:2] if kind == _SHORT else value[:4]
            found = int.from_bytes(raw, "little" if order == "<" else "big")
            return found if 1 <= found <= 8 else 1
    return 1
