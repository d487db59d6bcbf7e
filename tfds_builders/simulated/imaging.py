"""The two instruments of the simulator: a camera and a radar look at the same landscape.

The radar stands in the east, as on a descending orbit, and the sun in the south-east, as in the morning: a slope that
faces one nearly faces the other. Everything the camera's generator draws is unknown to the radar and the other way
round, so the spread of ``optical_image`` over its draws is what no translation can know.
"""

import numpy as np
from scipy import ndimage

from tfds_builders.simulated.landscape import (
    COVERS,
    CROPS,
    INDEX,
    PIXEL_M,
    SIZE,
    Cover,
    Landscape,
    smooth_noise,
)

LOOKS = 9
"""Independent looks that the radar averages: two passes of Sentinel-1, whose ground range product has 4.4 to 4.9."""
INCIDENCE = np.deg2rad(39.0)
"""Of the radar, on level ground; the middle of Sentinel-1's swath."""
SUN = np.array([-0.35, 0.61, 0.71])
"""Direction to the sun (north, east, up): 45 degrees high, azimuth 120 degrees."""
LIMITS_DB = (-25.0, 0.0)
"""Backscatter stored as 0 and 255."""
POINT_SPREAD = 0.6
"""Standard deviation of both instruments' point spread, in pixels."""
_TABLE = {field: np.array([getattr(cover, field) for cover in COVERS.values()]) for field in Cover._fields}
_CROPS = np.array([INDEX[crop] for crop in CROPS])
_BRIGHTEST_WALL = {"roof": 1.5, "hall": 4.0}  # double bounce of a wall that faces the radar exactly, added to sigma0


def optical_image(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Colours in the sun, with shadows, texture, haze and the camera's blur and noise.

    Args:
        landscape: the ground.
        rng: draws what no radar can see: the colours of single fields, texture, light, haze and noise.

    Returns:
        [256, 256, 3] float64 in [0, 1].
    """
    of_fields = np.append(rng.normal(scale=0.03, size=(landscape.field.max() + 1, 3)), np.zeros((1, 3)), axis=0)
    farmed = np.isin(landscape.cover, _CROPS)[..., None]
    colour = _TABLE["colour"][landscape.cover] + farmed * of_fields[landscape.field]

    fine, coarse = rng.standard_normal((SIZE, SIZE)), smooth_noise(rng, 3.0)
    texture = 1 + _TABLE["grain"][landscape.cover] * (0.8 * fine + 0.6 * coarse)
    north, east, up = SUN
    south_slope, east_slope = np.gradient(landscape.height, PIXEL_M)
    sun = (south_slope * north - east_slope * east + up) / np.sqrt(1 + south_slope**2 + east_slope**2)
    light = 0.25 + 0.75 * np.maximum(sun, 0) / up  # a quarter comes from the sky
    # Trees and buildings are about one pixel high; their shadow falls away from the sun.
    tall = landscape.is_cover("wood", "roof", "hall")
    light = np.where(~tall & _moved(tall, south=-1, east=-1), 0.6 * light, light)

    image = colour * (texture * light)[..., None] * (1 + rng.normal(scale=0.03))
    haze = np.abs(rng.normal(scale=0.02)) * np.array([0.8, 0.9, 1.0])
    image = ndimage.gaussian_filter(haze + (1 - haze) * image, (POINT_SPREAD, POINT_SPREAD, 0))
    return np.clip(image + rng.normal(scale=0.015, size=image.shape), 0, 1)


def radar_image(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Backscatter as it is measured: ``backscatter`` seen through the point spread and multiplied by speckle.

    Args:
        landscape: the ground.
        rng: draws what no camera can see: soil moisture, canopy structure, walls and speckle.

    Returns:
        [256, 256] float64, sigma0 in dB.
    """
    sigma0 = ndimage.gaussian_filter(backscatter(landscape, rng), POINT_SPREAD)
    return 10 * np.log10(sigma0 * speckle(rng))


def backscatter(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Mean intensity of the echo of every pixel, sigma0 as a number; arguments as in ``radar_image``."""
    of_fields = np.append(rng.normal(scale=0.3, size=landscape.field.max() + 1), 0.0)
    wind = rng.normal(scale=0.7)
    decibels = _TABLE["sigma0_db"][landscape.cover] + _TABLE["clumping_db"][landscape.cover] * smooth_noise(rng, 1.6)
    decibels += np.isin(landscape.cover, _CROPS) * of_fields[landscape.field] + landscape.is_cover("water") * wind

    cosine = cos_local_incidence(landscape.height)
    lambertian = (cosine / np.cos(INCIDENCE)) ** _TABLE["exponent"][landscape.cover]
    area = np.sin(INCIDENCE) / np.sqrt(1 - cosine**2)  # a slope that faces the radar has more ground in a pixel
    sigma0 = 10 ** (decibels / 10) * lambertian * area

    wood, building = landscape.is_cover("wood"), landscape.is_cover("roof", "hall")
    for tall in (wood, building):
        sigma0[~tall & _moved(tall, east=-1)] *= 0.4  # radar shadow
    sigma0[wood & ~_moved(wood, east=-1)] *= 2.0  # the edge of a wood shows its whole height
    alignment = 0.15 + 0.85 * np.cos(2 * landscape.street_angle) ** 4
    facade = alignment * np.exp(0.5 * rng.standard_normal((SIZE, SIZE)))
    wall = building & ~_moved(building, east=-1)
    for name, strength in _BRIGHTEST_WALL.items():
        sigma0 += (wall & landscape.is_cover(name)) * strength * facade
    return sigma0


def cos_local_incidence(height: np.ndarray) -> np.ndarray:
    """Cosine of the angle between the ground's normal and the direction to the radar, from 5 to 85 degrees.

    Args:
        height: [row, column] in metres.

    Returns:
        The same shape.
    """
    south_slope, east_slope = np.gradient(height, PIXEL_M)
    upright = np.cos(INCIDENCE) - east_slope * np.sin(INCIDENCE)
    cosine = upright / np.sqrt(1 + south_slope**2 + east_slope**2)
    return np.clip(cosine, np.cos(np.deg2rad(85)), np.cos(np.deg2rad(5)))


def speckle(rng: np.random.Generator) -> np.ndarray:
    """Intensity of ``LOOKS`` averaged circular Gaussian echoes, [256, 256]: gamma distributed, mean 1, variance 1/L."""
    echoes = rng.standard_normal((2 * LOOKS, SIZE, SIZE), dtype=np.float32)
    return np.einsum("lij,lij->ij", echoes, echoes) / (2 * LOOKS)


def to_uint8(image: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Linear between the limits, which become 0 and 255; clipped outside."""
    low, high = limits
    return np.rint(255 * np.clip((image - low) / (high - low), 0, 1)).astype(np.uint8)


def _moved(mask: np.ndarray, *, south: int = 0, east: int = 0) -> np.ndarray:
    """The mask moved by 0 or -1 pixels; what comes in from outside the scene is a copy of its edge."""
    return np.pad(mask, 1, mode="edge")[1 - south : SIZE + 1 - south, 1 - east : SIZE + 1 - east]
