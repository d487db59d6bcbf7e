import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio


@pytest.fixture(name="tiff")
def tiff_writer(tmp_path):
    """Writes [height, width] or [height, width, band] values as GeoTIFF; returns the path."""

    def write(name, values, *, dtype=None, descriptions=(), colours=(), tags=(), mask=None, gcps=None, **options):
        values = np.atleast_3d(values)
        path = Path(tmp_path, f"{name}.tif")
        height, width, count = values.shape
        options = {"height": height, "width": width, "count": count, "dtype": dtype or values.dtype} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver=options.pop("driver", "GTiff"), **options) as file:
                file.write(np.moveaxis(values, -1, 0))
                if descriptions:
                    file.descriptions = descriptions
                if colours:
                    file.colorinterp = colours
                if tags:
                    file.update_tags(**dict(tags))
                if mask is not None:
                    file.write_mask(mask)
                if gcps:
                    file.gcps = gcps
        return path

    return write


@pytest.fixture(name="ramp")
def different_values():
    """[6, 4] values of which no two are equal, so that every turn shows."""
    return np.arange(24, dtype=np.uint8).reshape(6, 4) * 10
