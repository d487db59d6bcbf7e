"""8-bit PNG and JPEG files, decoded by Pillow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tfds_builders.imagery import formats
from tfds_builders.imagery.georeference import ORIENTATIONS, UPRIGHT, Georeference
from tfds_builders.imagery.header import COLOURS, Band, Header
from tfds_builders.imagery.raster import EXPECTED, Raster, numbers, stored_window, transparent, upright
from tfds_builders.imagery.tile import Span

_MODES = {"L": ("gray",), "LA": ("gray", "alpha"), "RGB": COLOURS, "RGBA": (*COLOURS, "alpha")}
_ORIENTATION = 274  # EXIF's tag


class PillowFile:
    """An 8-bit PNG or JPEG file."""

    def __init__(self, path: Path, image: Image.Image, kind: formats.Format, png: formats.Png | None):
        if image.mode not in _MODES or (png is not None and png.depth != 8):
            raise ValueError(f"mode {image.mode} of Pillow, {EXPECTED}")
        self._image = image
        self._transparent = () if png is None else png.transparent
        orientation = image.getexif().get(_ORIENTATION, 1) if png is None else png.orientation
        turn = ORIENTATIONS.get(orientation, UPRIGHT)
        height, width = turn.size(image.height, image.width)
        bands = [Band(number=i, colour=colour) for i, colour in enumerate(_MODES[image.mode], start=1)]
        alpha = next((band.number for band in bands if band.colour == "alpha"), None)
        self.header = Header(
            format=kind,
            height=height,
            width=width,
            dtype="uint8",
            bands=tuple(band for band in bands if band.number != alpha),
            alpha=alpha,
            masked=alpha is not None or bool(self._transparent),
            turn=turn,
            georeference=_world_file(path),
        )

    def load(self) -> None:
        """Decodes the image, all of it, as these formats ask for; then its file can be closed."""
        self._image.load()

    def decoded(
        self, bands: Sequence[int] | None = None, *, rows: Span | None = None, columns: Span | None = None
    ) -> Raster:
        """See ``Opened``."""
        part = stored_window(self.header, rows, columns)
        image = self._image
        if (part.height, part.width) != (image.height, image.width):
            image = image.crop((part.column, part.row, part.column + part.width, part.row + part.height))
        everything = np.asarray(image).reshape(image.height, image.width, -1)
        empty = np.zeros(everything.shape[:2], bool)
        if self._transparent:
            data = everything[..., [band.number - 1 for band in self.header.bands]]
            empty |= (data == np.array(self._transparent)).all(axis=-1)
        if self.header.alpha is not None:
            empty |= transparent(everything[..., self.header.alpha - 1], band=self.header.alpha, opaque=255)
        values = everything[..., [number - 1 for number in numbers(self.header, bands)]]
        return upright(self.header, values, np.repeat(empty[..., None], values.shape[-1], axis=-1))


def _world_file(path: Path) -> Georeference | None:
    """The georeference in the text file that GIS programs write beside PNG and JPEG files; it names no CRS."""
    suffix = path.suffix
    for name in (f"{suffix[:2]}{suffix[-1:]}w", f"{suffix}w", ".wld"):
        try:
            a, d, b, e, x, y = map(float, path.with_suffix(name).read_text().split())
        except (OSError, ValueError):
            continue
        # World files are about the centre of the first pixel.
        return Georeference(transform=(a, b, x - a / 2 - b / 2, d, e, y - d / 2 - e / 2), crs=None)
    return None
