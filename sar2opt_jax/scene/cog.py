"""A translated scene on disk: rows as they are finished, then a cloud-optimised GeoTIFF.

Rows are collected in a directory beside the output, ``.NAME.partial``, whose state says what they are of and how many
are complete. A run that was interrupted resumes after those; the output appears under its name when it is complete.
"""

import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from sar2opt_jax import paths

if TYPE_CHECKING:
    from tfds_builders.imagery.georeference import Georeference

SAVE_EVERY_SECONDS = 5.0
"""How often it is recorded which rows are complete."""
OPTIONS = {
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "OVERVIEW_RESAMPLING": "AVERAGE",
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": "ALL_CPUS",
}
"""Of GDAL's COG driver; lossless, and read by everything that reads TIFF."""
IDENTITY_TAG = "SAR2OPT_IDENTITY"
"""Digest of what an output was made of and by."""


class Layer(NamedTuple):
    """One output of a scene.

    Attributes:
      path: of the finished file.
      dtype: of the values.
      bands: colour interpretation and description of each.
    """

    path: Path
    dtype: str
    bands: tuple[tuple[str, str], ...]

    @property
    def rows_file(self) -> str:
        """Of its rows, pixel by pixel, with the mask (255: valid) beside them."""
        return f"{self.dtype}.rows"


def optical(path: Path) -> Layer:
    """The translation: red, green and blue, 8-bit."""
    return Layer(path, "uint8", tuple((colour, colour.lower()) for colour in ("Red", "Green", "Blue")))


def uncertainty(path: Path, samples: int) -> Layer:
    """Its standard deviation."""
    about = f"standard deviation of {samples} translations, root mean square over the colours, in levels of 0 .. 255"
    return Layer(path, "float32", (("Gray", about),))


class Moments(NamedTuple):
    """Of the valid values of one band."""

    number: int
    total: float
    squares: float
    lowest: float
    highest: float

    def statistics(self, pixels: int) -> dict[str, str]:
        """As GDAL stores them; ``pixels`` is how many the band has."""
        mean = self.total / self.number
        numbers = {
            "MINIMUM": self.lowest,
            "MAXIMUM": self.highest,
            "MEAN": mean,
            "STDDEV": math.sqrt(max(self.squares / self.number - mean**2, 0)),
            "VALID_PERCENT": 100 * self.number / pixels,
        }
        return {f"STATISTICS_{name}": f"{number:.14g}" for name, number in numbers.items()}


class PartialScene:
    """The rows of outputs that are not complete.

    Attributes:
      rows: how many are complete.
      resumed: whether an interrupted run had written them.
    """

    def __init__(self, layers: tuple[Layer, ...], *, identity: Mapping[str, Any], height: int, width: int):
        """Continues what an interrupted run of the same identity left; what another one left is removed.

        Args:
          layers: the outputs; the directory is beside the first.
          identity: what they are made of and by, plain JSON.
          height: of the scene in pixels.
          width: see ``height``.
        """
        self._layers, self._identity, self._height, self._width = layers, dict(identity), height, width
        self.directory = directory(layers[0].path)
        state = paths.read_json(self.directory / "state.json") or {}
        sizes = [rows_bytes(layer, height=1, width=self._width) for layer in layers]
        held = [self.directory / layer.rows_file for layer in layers]
        complete = state.get("identity") == self._identity and all(
            path.is_file() and path.stat().st_size >= state["rows"] * size
            for path, size in zip(held, sizes, strict=True)
        )
        if not complete:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir(parents=True)
            state = {"rows": 0, "missing": False, "moments": [[] for _ in layers]}
        self.rows, self._missing = state["rows"], state["missing"]
        self._moments = [[Moments(*band) for band in layer] for layer in state["moments"]]
        self.resumed = self.rows > 0
        self._files = [open(path, "r+b" if path.exists() else "w+b") for path in held]  # noqa: SIM115
        for file, size in zip(self._files, sizes, strict=True):
            file.seek(self.rows * size)
        self._saved = time.monotonic()

    def write(self, images: tuple[np.ndarray, ...], missing: np.ndarray) -> None:
        """Appends rows: of each layer [rows, width, bands]; and where they are missing, [rows, width] bool.

        Raises:
          OSError: where they cannot be written, such as to a full disk; complete rows stay.
        """
        valid = np.where(missing, np.uint8(0), np.uint8(255))[..., None]
        for layer, file, image, moments in zip(self._layers, self._files, images, self._moments, strict=True):
            image = np.where(missing[..., None], np.zeros((), layer.dtype), image.astype(layer.dtype))
            file.write(np.concatenate([_as_bytes(image), valid], axis=-1).data)
            moments[:] = _added(moments, image[~missing])
        self.rows += len(missing)
        self._missing |= bool(missing.any())
        if time.monotonic() - self._saved > SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Records which rows are complete."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        state = {
            "identity": self._identity,
            "rows": self.rows,
            "missing": self._missing,
            "moments": [list(map(list, layer)) for layer in self._moments],
        }
        paths.write_json(self.directory / "state.json", state)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Closes the files of rows."""
        for file in self._files:
            file.close()

    def finish(self, georeference: "Georeference | None", tags: Mapping[str, str]) -> None:
        """Writes the outputs, and removes the rows.

        Raises:
          ValueError: where no pixel of the scene has a value.
          OSError: where they cannot be written; the rows stay.
        """
        import rasterio
        import rasterio.shutil
        from rasterio._err import CPLE_BaseError  # GDAL's own errors, which are public nowhere
        from rasterio.errors import RasterioError

        if not self._moments[0]:
            self.remove()
            raise ValueError("no pixel of it has a value in all bands that the network takes.")
        self.save()
        self.close()
        written = []
        for layer, moments in zip(self._layers, self._moments, strict=True):
            source, target = self.directory / f"{layer.dtype}.vrt", self.directory / f"{layer.dtype}.tif"
            source.write_text(self._vrt(layer, moments, georeference, tags), encoding="utf-8")
            try:
                with rasterio.Env(GDAL_CACHEMAX=256):
                    rasterio.shutil.copy(source, target, driver="COG", **OPTIONS)
            except (RasterioError, CPLE_BaseError) as error:
                target.unlink(missing_ok=True)
                raise OSError(f"{layer.path} cannot be written: {error}") from error
            written.append(target)
        for target, layer in reversed([*zip(written, self._layers, strict=True)]):  # The translation comes last.
            os.replace(target, layer.path)
        self.remove()

    def remove(self) -> None:
        """Removes the rows."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _vrt(
        self,
        layer: Layer,
        moments: "Sequence[Moments]",
        georeference: "Georeference | None",
        tags: Mapping[str, str],
    ) -> str:
        """The rows as a raster in the words of GDAL's virtual format."""
        size = np.dtype(layer.dtype).itemsize
        pixel = rows_bytes(layer, height=1, width=self._width) // self._width
        kinds = {"uint8": "Byte", "float32": "Float32"}

        def band(kind: str, offset: int, about: str = "") -> str:
            return (
                f'<VRTRasterBand dataType="{kind}" subClass="VRTRawRasterBand">{about}'
                f'<SourceFilename relativeToVRT="1">{layer.rows_file}</SourceFilename>'
                f"<ImageOffset>{offset}</ImageOffset><PixelOffset>{pixel}</PixelOffset>"
                f"<LineOffset>{pixel * self._width}</LineOffset>"
                "<ByteOrder>LSB</ByteOrder></VRTRasterBand>"
            )

        parts = [f'<VRTDataset rasterXSize="{self._width}" rasterYSize="{self._height}">']
        if georeference is not None:
            a, b, c, d, e, f = georeference.transform
            if georeference.crs is not None:
                parts.append(f"<SRS>{escape(georeference.crs)}</SRS>")
            parts.append(f"<GeoTransform>{c!r}, {a!r}, {b!r}, {f!r}, {d!r}, {e!r}</GeoTransform>")
        parts.append(_metadata(tags))
        total = self._height * self._width
        for number, ((colour, text), band_moments) in enumerate(zip(layer.bands, moments, strict=True)):
            about = _metadata(band_moments.statistics(total)) + f"<Description>{escape(text)}</Description>"
            about += f"<ColorInterp>{colour}</ColorInterp>"
            parts.append(band(kinds[layer.dtype], number * size, about))
        if self._missing:
            parts.append(f"<MaskBand>{band('Byte', len(layer.bands) * size)}</MaskBand>")
        return "\n".join([*parts, "</VRTDataset>"])


def directory(path: Path) -> Path:
    """Where the rows of an output are collected."""
    return path.with_name(f".{path.name}.partial")


def rows_bytes(layer: Layer, *, height: int, width: int) -> int:
    """How much is collected of an output."""
    return height * width * (len(layer.bands) * np.dtype(layer.dtype).itemsize + 1)


def identity_of(path: Path) -> str | None:
    """The identity that an output states; None for other files, and where there is none."""
    import rasterio
    from rasterio.errors import RasterioError

    if not path.is_file():
        return None
    try:
        with rasterio.open(path) as image:
            return image.tags().get(IDENTITY_TAG)
    except RasterioError:
        return None


def _added(moments: "Sequence[Moments]", values: np.ndarray) -> list[Moments]:
    """The moments of each band with more of its values, [n, bands]."""
    if not len(values):
        return list(moments)
    wide = values.astype(np.float64)
    found = np.stack([wide.sum(axis=0), (wide**2).sum(axis=0), wide.min(axis=0), wide.max(axis=0)], axis=-1)
    new = [Moments(len(values), *map(float, band)) for band in found]
    if not moments:
        return new
    return [
        Moments(
            old.number + band.number,
            old.total + band.total,
            old.squares + band.squares,
            min(old.lowest, band.lowest),
            max(old.highest, band.highest),
        )
        for old, band in zip(moments, new, strict=True)
    ]


def _metadata(items: Mapping[str, str]) -> str:
    inside = "".join(f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in items.items())
    return f"<Metadata>{inside}</Metadata>"


def _as_bytes(image: np.ndarray) -> np.ndarray:
    """[rows, width, bands] of any type as [rows, width, bytes] uint8, little-endian."""
    little = np.ascontiguousarray(image.astype(image.dtype.newbyteorder("<")))
    return little.view(np.uint8).reshape(*image.shape[:2], -1)
