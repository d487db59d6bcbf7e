"""The images of somebody's own files: PNG, JPEG and GeoTIFF of any depth, stored with 8 bits a channel.

What a file is, its first bytes say, not its name. 8-bit PNG and JPEG are read by Pillow, with which TFDS reads them
back; all else by GDAL, as Pillow makes 8 bits of 16-bit colour without a word.
"""

import dataclasses
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from tfds_builders.description import RGB
from tfds_builders.pairs.settings import SCALES

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Of files in a folder of images; their case does not matter."""

_PNG, _BIT_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the byte of its header that tells the bits a channel
_SIGNATURES: dict[bytes, Literal["png", "jpeg", "tiff"]] = {
    _PNG: "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # of more than 4 GiB
    b"MM\0+": "tiff",
}
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}  # of Pillow's modes
_DRIVERS = {"png": "PNG", "tiff": "GTiff"}  # GDAL's


class Header(NamedTuple):
    """What a file tells without being decoded."""

    container: Literal["png", "jpeg", "tiff"]
    height: int
    width: int
    bands: int
    dtype: str
    names: tuple[str, ...] = ()
    metres: float | None = None  # a pixel's side, where the georeference is in metres

    def __str__(self) -> str:
        bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
        return f"{self.height} x {self.width} pixels, {bands} of {self.dtype}"


def container(path: Path) -> Literal["png", "jpeg", "tiff"]:
    """What kind of file this is.

    Raises:
        ValueError: none of the three.
        OSError: it cannot be read.
    """
    return _container(_start(path))


def header(path: Path) -> Header:
    """What the file tells of itself.

    Raises:
        ValueError: no image of a kind that can be used, and why.
        OSError: it cannot be read.
    """
    with _opened(path) as (found, _):
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raster:
    """Images of one size, one number of bands and one data type; a ``files.Format``.

    Attributes:
        height, width: in pixels.
        file_bands: how many bands every file has.
        dtype: NumPy's name of the data type of every file.
        like: the file from which the five above were taken, named where another differs.
        bands: which bands become channels, counted from 1.
        names: of these bands.
        scale: one of ``settings.SCALES``.
        limits: what becomes 0 and 255, a channel, after the scale; None takes 8-bit values as they are.
        encoding: of an image in the dataset. ``zlib`` is an array, as image files have one or three channels.
        unchanged: the files' own bytes go in.
    """

    height: int
    width: int
    file_bands: int
    dtype: str
    like: Path
    bands: tuple[int, ...]
    names: tuple[str, ...]
    scale: str = "file"
    limits: tuple[tuple[float, float], ...] | None = None
    encoding: Literal["png", "jpeg", "zlib"] = "png"
    unchanged: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image in the dataset."""
        return self.height, self.width, len(self.bands)

    def values(self, path: Path) -> np.ma.MaskedArray:
        """The numbers the range is about, [height, width, channel]; masked where there is none.

        Raises:
            ValueError: a file unlike the others, or without a value; what differs is noticed before it is decoded.
            OSError: it cannot be read.
        """
        with _opened(path) as (found, image):
            if found[1:5] != (self.height, self.width, self.file_bands, self.dtype):
                expected = Header("png", self.height, self.width, self.file_bands, self.dtype)
                raise ValueError(f"{found}, expected {expected}, like {self.like}")
            values = SCALES[self.scale](np.ma.masked_invalid(_decoded(image, self.bands)))
        if np.ma.getmaskarray(values).any(axis=-1).all():
            raise ValueError("no pixel has a value" + (" in all its bands" if len(self.bands) > 1 else ""))
        return values

    def read(self, path: Path) -> np.ndarray:
        """See ``files.Format``: clipped to the range, which becomes 0 .. 255; 0 where there is no value."""
        values = self.values(path)
        if self.limits is None:
            stored = values.filled(0)
        else:
            low, high = np.array(self.limits).T
            share = (np.ma.getdata(values).astype(np.float64) - low) / (high - low)
            stored = np.where(np.ma.getmaskarray(values), 0, np.round(255 * share.clip(0, 1))).astype(np.uint8)
        return np.ma.array(stored, mask=values.mask) if np.ma.is_masked(values) else stored

    def stored(self, path: Path) -> Path | bytes | np.ndarray:
        """See ``files.Format``."""
        if self.unchanged:
            return path
        values = np.ma.getdata(self.read(path))
        if self.encoding == "zlib":
            return values
        file = io.BytesIO()
        Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(file, format="PNG")
        return file.getvalue()


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BIT_DEPTH + 1)


def _container(start: bytes) -> Literal["png", "jpeg", "tiff"]:
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return name
    raise ValueError("not a PNG, JPEG or GeoTIFF file")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Header, Image.Image | rasterio.DatasetReader]]:
    """The header and the image, of which nothing is decoded yet."""
    start = _start(path)
    kind = _container(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if kind == "tiff" or (kind == "png" and start[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10"):
            # Without GDAL's look at the folder of every file: among 100,000 files it would take longer than to read.
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"), _readable(path, _DRIVERS[kind]) as image:
                yield (
                    Header(
                        kind, image.height, image.width, image.count, _data_type(image), _names(image), _metres(image)
                    ),
                    image,
                )
        else:
            with Image.open(path, formats=[kind.upper()]) as image:
                if image.mode not in _CHANNELS or (kind == "png" and start[_BIT_DEPTH] != 8):
                    raise ValueError(f"mode {image.mode} of Pillow, expected grey or RGB of 8 or 16 bits")
                width, height = image.size
                channels = _CHANNELS[image.mode]
                yield Header(kind, height, width, channels, "uint8", RGB if channels >= 3 else ("band 1",)), image


@contextmanager
def _readable(path: Path, driver: str) -> Iterator[rasterio.DatasetReader]:
    """The file; GDAL's reason, where it breaks off, instead of a hint where else to look."""
    try:
        with rasterio.open(path, driver=driver) as image:
            yield image
    except RasterioIOError as error:
        raise OSError(f"{error.__cause__ or error}") from None


def _data_type(image: rasterio.DatasetReader) -> str:
    """NumPy's name of it.

    Raises:
        ValueError: bands differ in it, or it is no real number.
    """
    found = sorted(set(image.dtypes))
    if len(found) > 1:
        raise ValueError(f"bands of different data types, {', '.join(found)}")
    if np.dtype(found[0]).kind not in "uif":
        raise ValueError(f"{found[0]} values, expected real numbers: intensity, amplitude or dB")
    return found[0]


def _names(image: rasterio.DatasetReader) -> tuple[str, ...]:
    """What the file calls its bands; colours by their interpretation, else the number."""
    colours = {band.name for band in image.colorinterp} >= set(RGB)
    return tuple(
        text or (colour.name if colours else f"band {number}")
        for number, (text, colour) in enumerate(zip(image.descriptions, image.colorinterp, strict=True), start=1)
    )


def _metres(image: rasterio.DatasetReader) -> float | None:
    """The side of a pixel, where the CRS has linear units and pixels are square."""
    if image.crs is None or not image.crs.is_projected:
        return None
    along, across = (np.hypot(*side) for side in zip(image.transform[:2], image.transform[3:5], strict=True))
    if abs(along - across) > 0.01 * across:
        return None
    return float(f"{along * image.crs.linear_units_factor[1]:.6g}")


def _decoded(image: Image.Image | rasterio.DatasetReader, bands: tuple[int, ...]) -> np.ma.MaskedArray:
    """[height, width, channel]; masked where the file marks a pixel as empty."""
    if isinstance(image, Image.Image):
        values = np.asarray(image).reshape(image.height, image.width, -1)
        return np.ma.array(values[..., [band - 1 for band in bands]])
    return np.moveaxis(image.read(list(bands), masked=True), 0, -1)
