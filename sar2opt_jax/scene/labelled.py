"""Radar images with named dimensions and coordinates, as ``xarray.DataArray`` has them.

Nothing is imported from xarray: what has ``dims``, ``coords`` and ``transpose`` is taken for one.
"""

from typing import Any

import numpy as np

SPATIAL = (("y", "x"), ("lat", "lon"), ("latitude", "longitude"), ("northing", "easting"))
"""Names of the dimensions of rows and columns."""
COLOURS = ("red", "green", "blue")


def is_labelled(image: Any) -> bool:
    """Whether an image has dimensions with names."""
    return all(hasattr(image, name) for name in ("dims", "coords", "transpose", "isel"))


def to_array(image: Any, bands: tuple[str, ...]) -> np.ndarray:
    """Its values, [height, width] or [height, width, bands]; bands are matched by their coordinate where it names them.

    Raises:
      ValueError: for other dimensions than rows, columns and bands.
    """
    rows, columns = _spatial(image)
    others = [dim for dim in image.dims if dim not in (rows, columns)]
    if len(others) > 1:
        raise ValueError(f"The radar image has the dimensions {image.dims}; expected rows, columns and at most bands.")
    if others:
        names = [str(name) for name in image.coords[others[0]].values] if others[0] in image.coords else []
        if set(bands) <= {*names}:
            image = image.isel({others[0]: [names.index(band) for band in bands]})
    return np.asarray(image.transpose(rows, columns, *others).values)


def like(image: Any, optical: np.ndarray) -> Any:
    """A translation with the coordinates of its radar image.

    Args:
      image: the radar image.
      optical: [height, width, 3] uint8.

    Returns:
      Of the same class, with the dimensions ``band``, rows, columns: that of rasters in xarray.
    """
    spatial = _spatial(image)
    coords = {name: values for name, values in image.coords.items() if set(values.dims) <= {*spatial}}
    coords["band"] = list(COLOURS)
    return type(image)(np.moveaxis(optical, -1, 0), dims=("band", *spatial), coords=coords, name="optical")


def _spatial(image: Any) -> tuple[str, str]:
    for rows, columns in SPATIAL:
        if rows in image.dims and columns in image.dims:
            return rows, columns
    known = " or ".join(", ".join(pair) for pair in SPATIAL)
    raise ValueError(f"The radar image has the dimensions {image.dims}; expected rows and columns called {known}.")
