"""Radar images that fit into memory, as files: PNG, JPEG and GeoTIFF of any depth and number of bands."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sar2opt_jax import paths
from sar2opt_jax.description import ImageFormat
from sar2opt_jax.scene import bands

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Of files that are read; their case does not matter."""
PNG_BIT_DEPTH = 24
"""The byte of a PNG file that holds the bits a channel."""


def read(path: Path, radar: ImageFormat, *, band_names: Sequence[str] | None = None) -> np.ma.MaskedArray:
    """The bands that a network takes, [height, width, bands], in the file's own type; masked where a pixel is missing.

    Bands are matched by their names where file and network name them, else taken in their order.

    Args:
      path: of an 8-bit grey PNG or JPEG file, stored as grey or as equal colours, or of a raster that GDAL reads.
      radar: the network's radar images.
      band_names: names or numbers of the bands of a raster, in the network's order; None: by the names of both.

    Raises:
      OSError: where it cannot be read.
      ValueError: for an image of another kind, or other bands.
    """
    if path.suffix.lower() in (".tif", ".tiff") or _bits(path) == 16:
        return _read_raster(path, radar, band_names)
    values = _read_grey(path)
    if len(radar.bands) != 1:
        raise ValueError(f"it has one grey band; the network takes {len(radar.bands)}: {', '.join(radar.bands)}.")
    return np.ma.asarray(values)


def write(path: Path, image: np.ndarray) -> None:
    """Writes an image, [height, width, 3] uint8, as PNG; a file that is never half-written."""
    with paths.atomic_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def _bits(path: Path) -> int:
    with path.open("rb") as file:
        start = file.read(PNG_BIT_DEPTH + 1)
    return start[PNG_BIT_DEPTH] if start.startswith(b"\x89PNG") and len(start) > PNG_BIT_DEPTH else 8


def _read_raster(path: Path, radar: ImageFormat, band_names: Sequence[str] | None) -> np.ma.MaskedArray:
    # The reader that prepares datasets, so that masks and orientation cannot differ. GDAL takes a while to import.
    from tfds_builders import imagery

    try:
        with imagery.opened(path) as image:
            raster = image.decoded(bands.choose(image.header.bands, radar, given=band_names))
    except imagery.UNREADABLE as error:
        raise ValueError(str(error).strip() or type(error).__name__) from error
    return np.ma.array(raster.values, mask=raster.mask)


def _read_grey(path: Path) -> np.ndarray:
    """An 8-bit grey image, [height, width, 1]."""
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    try:
        with Image.open(path, formats=[kind]) as image:
            image.load()
    except UnidentifiedImageError:
        raise ValueError(f"not a {kind} image.") from None
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)[..., None]
    if image.mode not in ("L", "LA", "P", "RGB", "RGBA"):
        raise ValueError(
            f"its pixels are of mode {image.mode!r}; expected 8-bit grey, scaled as the model's training data were."
        )
    *colours, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0)
    if (alpha != 255).any():
        raise ValueError("it is transparent in places; expected 8-bit grey without transparency.")
    if any((colour != colours[0]).any() for colour in colours):
        raise ValueError("it is a colour image; expected one grey SAR channel.")
    return colours[0][..., None]
