"""Small pictures of scenes of any size."""

import os
import warnings
from pathlib import Path

import numpy as np

from sar2opt_jax.scene import raster
from sar2opt_jax.scene.outputs import SceneSettings
from sar2opt_jax.scene.translate import SceneTranslator

SIDE = 1024
"""The longer side of a preview in pixels, at most."""


def of_raster(path: str | os.PathLike[str], *, side: int = SIDE) -> np.ndarray:
    """An output, [height, width, bands] in its own type, of which GDAL reads the overviews."""
    import rasterio  # Late: GDAL takes a while to import.
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():  # What has no coordinates is said where it is translated.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(Path(path))
    with file:
        shrink = max(1.0, max(file.height, file.width) / side)
        shape = (file.count, max(1, round(file.height / shrink)), max(1, round(file.width / shrink)))
        return np.moveaxis(file.read(out_shape=shape), 0, -1)


def of_radar(
    source: str | os.PathLike[str], translator: SceneTranslator, settings: SceneSettings, *, side: int = SIDE
) -> np.ndarray:
    """The first band of a scene as a network sees it, every n-th pixel, grey [height, width, 3] uint8.

    Raises:
      OSError, ValueError: as translating it does.
    """
    with raster.opened(
        str(source),
        translator.described(settings),
        band_names=settings.bands,
        unit=settings.unit,
        resample=settings.resample,
    ) as scene:
        step = -(-max(scene.height, scene.width) // side)
        rows = [scene.read(row, row + 1)[0][0, ::step, 0] for row in range(0, scene.height, step)]
    return np.repeat(np.stack(rows)[..., None], 3, axis=-1)
