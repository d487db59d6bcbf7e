"""Small scenes as files, and a network that is a formula."""

from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import rasterio

from sar2opt_jax.description import ImageFormat
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.translator import Translator

DB = ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32")
DUAL = ImageFormat(bands=("VV", "VH"), quantity="dB", limits=((-25.0, 0.0), (-32.5, 0.0)), dtype="float32")
TRANSFORM = rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000)


def db(height=90, width=70, count=1, seed=0) -> np.ndarray:
    """Backscatter, [band, height, width] float32."""
    return np.random.default_rng(seed).normal(-12, 4, (count, height, width)).astype(np.float32)


def write(path: Path, bands: np.ndarray, *, names: tuple[str, ...] = (), **profile) -> Path:
    """A GeoTIFF of [band, height, width], in UTM unless stated otherwise."""
    count, height, width = bands.shape
    settings = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    place = {"crs": "EPSG:32630", "transform": TRANSFORM}
    with rasterio.open(path, "w", **{**settings, **place, **profile}) as image:
        image.write(bands)
        for number, name in enumerate(names, start=1):
            image.set_band_description(number, name)
    return path


def about(radar: ImageFormat = DB, **settings) -> SimpleNamespace:
    """A description with what scenes ask for."""
    return SimpleNamespace(
        **{"radar": radar, "image_size": 16, "ground_sampling_m": 10.0, "fingerprint": "0123@9", **settings}
    )


def shows_the_radar(params, x_t, t, sar):
    """The first band as grey."""
    del t
    return params["gain"] * jnp.broadcast_to(sar[..., :1], x_t.shape)


def mixes(params, x_t, t, sar):
    """Radar and noise, whatever the time."""
    del t
    return params["gain"] * (0.7 * sar[..., :1] + 0.3 * x_t)


def trained(model=mixes, radar: ImageFormat = DB, *, kind: str = "student", gain: float = 1.0, **settings):
    """An export."""
    schedule = make_schedule("cosine", num_steps=100)
    kinds = {"teacher": {}, "student": {"solver_steps": 50}, "generator": {"is_generator": True}}
    return SimpleNamespace(
        description=about(radar, **settings),
        translator=Translator(model=model, schedule=schedule, prediction="x_0", **kinds[kind]),
        params={"gain": np.float32(gain)},
        size_multiple=8,
    )
