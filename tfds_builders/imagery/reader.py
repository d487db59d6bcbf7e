"""Opens PNG, JPEG and GeoTIFF files, or parts of them, and gives their values upright, with a mask.

8-bit PNG and JPEG files are decoded by Pillow, with which TFDS decodes them too; all others by GDAL, as Pillow
reduces 16-bit colour to 8 bits without a warning.
"""

import functools
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rasterio
import rasterio.enums
import rasterio.vrt
from PIL import Image
from rasterio._err import CPLE_BaseError  # GDAL's own errors, which are public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from tfds_builders.imagery import formats
from tfds_builders.imagery.gdal_file import GdalFile, open_by_gdal
from tfds_builders.imagery.header import Header
from tfds_builders.imagery.pillow_file import PillowFile
from tfds_builders.imagery.raster import Opened, Part, Raster
from tfds_builders.imagery.tile import Source, Tile

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


SCENE_CACHE_MB = 256
"""Of decoded blocks of a scene."""


def header(source: Source) -> Header:
    """What a file says of itself, or of a part of it.

    Raises:
        UNREADABLE: it is no image that can be used, and why.
    """
    with opened(source) as image:
        return image.header


def read(source: Source, *, bands: Sequence[int] | None = None) -> Raster:
    """Decodes a file, or a part of one.

    Args:
        source: the file or the part.
        bands: by their numbers in the file, from 1; None is all that hold data.

    Raises:
        UNREADABLE: it is no image that can be used, and why.
    """
    with opened(source) as image:
        return image.decoded(bands)


@contextmanager
def opened(source: Source) -> Iterator[Opened]:
    """The file, of which nothing is decoded yet; or a part of a file, which stays open for the next part.

    Errors as for ``header``.
    """
    if isinstance(source, Tile):
        status = source.path.stat()
        yield Part(_kept_open(source.path, status.st_mtime_ns, status.st_size), source.window)
        return
    image, stack = _open(source)
    with stack:
        yield image


@functools.lru_cache(maxsize=2)
def _kept_open(path: Path, _modified: int, _size: int) -> Opened:
    """A file of which parts are read one after the other, or its partner: what they share is decoded once."""
    image, stack = _open(path)
    if isinstance(image, PillowFile):
        with stack:
            image.load()
    else:
        stack.pop_all()  # GDAL closes a file that nothing refers to any more.
    return image


def close_tiled() -> None:
    """Closes the files that stay open for their next tiles."""
    _kept_open.cache_clear()


def _open(path: Path) -> tuple[Opened, ExitStack]:
    """The file, and what closes it."""
    kind = formats.file_format(path)
    png = formats.png_chunks(path) if kind == "png" else None
    if png is not None and png.animated:
        raise ValueError("an animated PNG, expected one image")
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if kind == "tiff" or (png is not None and png.depth == 16):
            image = GdalFile(path, stack.enter_context(open_by_gdal(path, kind)), kind, png)
        else:
            image = PillowFile(path, stack.enter_context(_open_by_pillow(path, kind)), kind, png)
        return image, stack.pop_all()


def _open_by_pillow(path: Path, kind: formats.Format) -> Image.Image:
    try:
        return Image.open(path, formats=[kind.upper()])
    except Image.DecompressionBombError:
        raise ValueError(
            f"more pixels than are decoded of a {kind.upper()} file, which is read as a whole: if it is a scene, "
            f"convert it to GeoTIFF, such as by gdal_translate {path.name} {path.stem}.tif"
        ) from None


@contextmanager
def opened_scene(address: str, *, size: tuple[int, int] | None = None) -> Iterator[GdalFile]:
    """Any raster that GDAL opens, by path or address (``https://``, ``s3://``, ``/vsi...``); nothing is decoded yet.

    Args:
        address: of the file.
        size: height and width that it is resampled to, of the same extent; None leaves it as it is. It needs a CRS.

    Raises:
        UNREADABLE: as for ``header``; also for a file of several rasters, which are named.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        # A strip of tiles is all that is read again; by default GDAL keeps up to a twentieth of the memory.
        with rasterio.Env(GDAL_CACHEMAX=SCENE_CACHE_MB), _opened_by_any_driver(address) as image:
            if image.subdatasets:
                names = "; ".join(image.subdatasets[:8])
                raise ValueError(f"it holds {len(image.subdatasets)} rasters, name one of them: {names}")
            if image.rpcs is not None and image.transform.is_identity:
                raise ValueError("it is in sensor geometry (rational polynomials, no grid): orthorectify it first")
            is_local_tiff = image.driver in ("GTiff", "COG") and Path(address).is_file()
            path = Path(address) if is_local_tiff else None
            if size is None:
                yield GdalFile(path, image, image.driver, None)
                return
            with _resampled(image, size) as resampled:
                yield GdalFile(path, resampled, image.driver, None)


@contextmanager
def _opened_by_any_driver(address: str) -> Iterator[rasterio.DatasetReader]:
    try:
        image = rasterio.open(address)
    except RasterioError as error:
        raise OSError(f"{error.__cause__ or error}") from None
    with image:
        yield image


def _resampled(image: rasterio.DatasetReader, size: tuple[int, int]) -> rasterio.vrt.WarpedVRT:
    height, width = size
    a, b, c, d, e, f, *_ = image.transform
    across, down = image.width / width, image.height / height
    shrinks = height * width < image.height * image.width
    method = rasterio.enums.Resampling.average if shrinks else rasterio.enums.Resampling.cubic
    # Missing pixels take no part in the means: as nodata where there is such a value, else by transparency.
    if image.nodata is not None:
        missing = {"nodata": image.nodata}
    elif image.dtypes[0].startswith("float"):
        missing = {"src_nodata": float("nan"), "nodata": float("nan")}
    else:
        missing = {"add_alpha": rasterio.enums.ColorInterp.alpha not in image.colorinterp}
    return rasterio.vrt.WarpedVRT(
        image,
        crs=image.crs,
        transform=rasterio.Affine(a * across, b * down, c, d * across, e * down, f),
        height=height,
        width=width,
        resampling=method,
        **missing,
    )
