"""GeoTIFF files, and PNG files of 16 bits, decoded by GDAL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from tfds_builders.imagery import formats
from tfds_builders.imagery.georeference import ORIENTATIONS, Georeference, from_control_points, north_up, turned
from tfds_builders.imagery.header import Band, Header, radiometry
from tfds_builders.imagery.raster import EXPECTED, Raster, numbers, transparent, upright

_DRIVERS = {"png": "PNG", "tiff": "GTiff"}
_PALETTE = "numbers of a palette's colours, expected grey or RGB: gdal_translate -expand rgb writes the colours"
_CMYK = "CMYK, expected grey or RGB"
_HUES = "hue and saturation, expected grey or RGB"
_FOREIGN_COLOURS = {
    ColorInterp.palette: _PALETTE,
    ColorInterp.cyan: _CMYK,
    ColorInterp.magenta: _CMYK,
    ColorInterp.yellow: _CMYK,
    ColorInterp.black: _CMYK,
    ColorInterp.hue: _HUES,
    ColorInterp.saturation: _HUES,
    ColorInterp.lightness: _HUES,
}
_FOREIGN_SPACES = ("CMYK", "CIELAB")
_ALPHA_NAMES = ("", "a", "alpha", "mask", "transparency")


@contextmanager
def opened_by_gdal(path: Path, kind: formats.Format) -> Iterator[rasterio.DatasetReader]:
    """The file; GDAL's reason, where it breaks off, instead of a hint where else to look."""
    try:
        with rasterio.open(path, driver=_DRIVERS[kind]) as image:
            yield image
    except RasterioIOError as error:
        raise OSError(f"{error.__cause__ or error}") from None


class GdalFile:
    """A TIFF file, or a PNG file of 16 bits."""

    def __init__(self, path: Path | None, image: rasterio.DatasetReader, kind: str, png: formats.Png | None):
        """Reads the header.

        Args:
            path: of a TIFF file on this machine, whose orientation GDAL does not tell; None for all others.
            image: the file.
            kind: its format.
            png: what the chunks of a PNG file say.

        Raises:
            ValueError: it is no image that can be used, and why.
        """
        structure = image.tags(ns="IMAGE_STRUCTURE")
        _check_structure(image, structure)
        self._image = image
        self._transparent = () if png is None or len(png.transparent) == 1 else png.transparent
        orientation = 1 if png is None else png.orientation
        if png is None and path is not None:
            with path.open("rb") as file:
                orientation = formats.tiff_orientation(file)
        place = _georeference(image)
        # Maps go by the georeference, and so do GDAL and all that is built on it.
        turn = ORIENTATIONS[orientation] if place is None else north_up(place)
        height, width = turn.size(image.height, image.width)
        if place is not None:
            transform = turned(place.transform, turn, height=image.height, width=image.width)
            place = Georeference(transform=transform, crs=place.crs, approximate=place.approximate)
        alpha = _alpha(image)
        self.header = Header(
            format=kind,
            height=height,
            width=width,
            dtype=_data_type(image),
            bands=tuple(band for band in _bands(image) if band.number != alpha),
            alpha=alpha,
            nodata=image.nodata,
            masked=bool(self._transparent) or any(MaskFlags.all_valid not in flags for flags in image.mask_flag_enums),
            white_is_zero=structure.get("MINISWHITE") == "YES",
            radiometry=radiometry(image.tags()),
            turn=turn,
            georeference=place,
        )

    def decoded(self, bands: Sequence[int] | None = None, *, rows: tuple[int, int] | None = None) -> Raster:
        """See ``Opened``."""
        chosen, window = numbers(self.header, bands), self._window(rows)
        values = np.moveaxis(self._image.read(chosen, window=window), 0, -1)
        mask = np.stack([self._empty(number, window) for number in chosen], axis=-1)
        if values.dtype.kind == "f":
            mask |= ~np.isfinite(values)
        if self._transparent:
            data = np.moveaxis(self._image.read([band.number for band in self.header.bands], window=window), 0, -1)
            mask |= (data == np.array(self._transparent)).all(axis=-1, keepdims=True)
        if (alpha := self.header.alpha) is not None:
            opaque = np.iinfo(self.header.dtype).max if values.dtype.kind in "ui" else 1
            mask |= transparent(self._image.read(alpha, window=window), band=alpha, opaque=opaque)[..., None]
        if self.header.white_is_zero:
            values = np.iinfo(np.uint8).max - values
        return upright(self.header, values, mask)

    def _empty(self, number: int, window: Window) -> np.ndarray:
        flags = self._image.mask_flag_enums[number - 1]
        if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
            return np.zeros((int(window.height), int(window.width)), bool)
        return self._image.read_masks(number, window=window) == 0

    def _window(self, rows: tuple[int, int] | None) -> Window:
        """Some rows of the upright image as a window of the stored one."""
        height, width = self._image.shape
        if rows is None:
            return Window(0, 0, width, height)  # pyright: ignore[reportCallIssue]: attrs, whose fields it does not see
        (start, stop), turn = rows, self.header.turn
        if turn.flip_rows:
            start, stop = self.header.height - stop, self.header.height - start
        if turn.transpose:
            return Window(start, 0, stop - start, height)  # pyright: ignore[reportCallIssue]
        return Window(0, start, width, stop - start)  # pyright: ignore[reportCallIssue]


def _check_structure(image: rasterio.DatasetReader, structure: dict[str, str]) -> None:
    """Raises ValueError for files whose numbers are not grey levels, colours or measurements."""
    if image.subdatasets:
        raise ValueError(
            f"{len(image.subdatasets)} pages, expected one: write them as bands of one page, such as by gdalbuildvrt "
            "-separate and gdal_translate, or as files of their own"
        )
    bits = min(int(image.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8)) for band in image.indexes)
    if bits < 8:
        raise ValueError(f"{bits} bit a value, {EXPECTED}, or floats")
    for colour in image.colorinterp:
        if colour in _FOREIGN_COLOURS:
            raise ValueError(_FOREIGN_COLOURS[colour])
    if (space := structure.get("SOURCE_COLOR_SPACE")) in _FOREIGN_SPACES:
        raise ValueError(f"colours in {space}, expected grey or RGB")
    if structure.get("MINISWHITE") == "YES" and set(image.dtypes) != {"uint8"}:
        raise ValueError("white is stored as 0 (MINISWHITE) in more than 8 bits: save it with black as 0")


def _data_type(image: rasterio.DatasetReader) -> str:
    """NumPy's name of it.

    Raises:
        ValueError: bands differ in it, or it is no real number.
    """
    found = sorted(set(image.dtypes))
    if len(found) > 1:
        raise ValueError(f"bands of different data types, {', '.join(found)}")
    # Complex integers have no counterpart in NumPy.
    if found[0].startswith("complex") or np.dtype(found[0]).kind not in "uif":
        raise ValueError(f"{found[0]} values, expected real numbers: intensity, amplitude or dB")
    return found[0]


def _alpha(image: rasterio.DatasetReader) -> int | None:
    """The band of transparency. GDAL marks a fourth band of 8 bits as such where its writer says nothing else."""
    for band, colour, text in zip(image.indexes, image.colorinterp, image.descriptions, strict=True):
        if colour == ColorInterp.alpha and (text or "").strip().lower() in _ALPHA_NAMES:
            return band
    return None


def _bands(image: rasterio.DatasetReader) -> Iterator[Band]:
    for number in image.indexes:
        yield Band(
            number=number,
            description=(image.descriptions[number - 1] or "").strip(),
            colour=image.colorinterp[number - 1].name,
            scale=image.scales[number - 1],
            offset=image.offsets[number - 1],
            unit=image.units[number - 1] or "",
        )


def _georeference(image: rasterio.DatasetReader) -> Georeference | None:
    """Of the image as it is stored."""
    transform = image.transform
    if not transform.is_identity:
        return Georeference(transform=tuple(transform[:6]), crs=image.crs.to_wkt() if image.crs else None)
    points, crs = image.gcps
    return from_control_points(points, crs) if points else None
