"""Opens PNG, JPEG and GeoTIFF files and gives their values upright, with a mask.

8-bit PNG and JPEG files are decoded by Pillow, with which TFDS decodes them too; all others by GDAL, as Pillow
reduces 16-bit colour to 8 bits without a warning.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rasterio
from PIL import Image
from rasterio._err import CPLE_BaseError  # GDAL's own errors, which are public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from tfds_builders.imagery import formats
from tfds_builders.imagery.gdal_file import GdalFile, opened_by_gdal
from tfds_builders.imagery.header import Header
from tfds_builders.imagery.pillow_file import PillowFile
from tfds_builders.imagery.raster import Opened, Raster

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    RasterioError,
    CPLE_BaseError,
    Image.DecompressionBombError,
)
"""What Pillow and GDAL raise for files that are broken or of another kind."""


def header(path: Path) -> Header:
    """What a file says of itself.

    Raises:
        UNREADABLE: it is no image that can be used, and why.
    """
    with opened(path) as image:
        return image.header


def read(path: Path, *, bands: Sequence[int] | None = None) -> Raster:
    """Decodes a file.

    Args:
        path: of the file.
        bands: by their numbers in the file, from 1; None is all that hold data.

    Raises:
        UNREADABLE: it is no image that can be used, and why.
    """
    with opened(path) as image:
        return image.decoded(bands)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The file, of which nothing is decoded yet. Errors as for ``header``."""
    kind = formats.file_format(path)
    png = formats.png_chunks(path) if kind == "png" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if png is not None and png.animated:
            raise ValueError("an animated PNG, expected one image")
        if kind == "tiff" or (png is not None and png.depth == 16):
            # Without GDAL's look at the folder of every file: among 100,000 files it would take longer than to read.
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"), opened_by_gdal(path, kind) as image:
                yield GdalFile(path, image, kind, png)
        else:
            with Image.open(path, formats=[kind.upper()]) as image:
                yield PillowFile(path, image, kind, png)
