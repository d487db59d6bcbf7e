"""How far the colours of a translation are from the true ones, as an eye sees it.

A few-step sampler makes whole fields too green or too dark. PSNR mixes that with every misplaced edge; here the images
are averaged over blocks first, which leaves the colour and takes away the detail, and then compared by CIEDE2000.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.types import Array

COLOUR_BLOCK = 8
"""Side in pixels of the blocks that are averaged: smaller ones still hold edges and textures, which a right translation
may place a few pixels off; larger ones mix neighbouring fields, whose colours then cannot be told apart."""

SRGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
"""From linear red, green and blue to X, Y and Z (ITU-R BT.709 primaries, white D65), a row each."""
WHITE = (0.95047, 1.0, 1.08883)
"""X, Y and Z of the white D65, 2 degrees observer."""

OPPOSITE = np.pi + 2e-6
"""Hues further apart, in radians, are counted the other way around. Exactly opposite ones are not, and float32 cannot
tell opposite from further by less than this."""


def srgb_to_lab(image: Array) -> Array:
    """CIELAB of sRGB values, white D65, 2 degrees observer (IEC 61966-2-1, then CIE 15), as scikit-image's ``rgb2lab``.

    Args:
      image: [..., 3] in [0, 1].

    Returns:
      [..., 3]: lightness L* in [0, 100], a* (green to red) and b* (blue to yellow), each about -110 .. 110.
    """
    image = jnp.asarray(image)
    linear = jnp.where(image > 0.04045, ((jnp.maximum(image, 0.04045) + 0.055) / 1.055) ** 2.4, image / 12.92)
    to_relative = np.asarray(SRGB_TO_XYZ).T / np.asarray(WHITE)
    xyz = jnp.matmul(linear, to_relative.astype(image.dtype), precision=jax.lax.Precision.HIGHEST)
    # Below 0.008856 the cube root gives way to its tangent, which is finite at zero.
    f = jnp.where(xyz > 0.008856, jnp.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = jnp.moveaxis(f, -1, 0)
    return jnp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(lab_a: Array, lab_b: Array) -> Array:
    """Colour difference CIEDE2000 (Sharma, Wu and Dalal 2005, equations 2 to 22) with kL = kC = kH = 1.

    ΔE = √((ΔL'/S_L)² + (ΔC'/S_C)² + (ΔH'/S_H)² + R_T (ΔC'/S_C) (ΔH'/S_H)); about 1 is just noticeable. Not a metric in
    the strict sense, and with jumps where hues are opposite: differences are to be read, not to be trained on.

    Args:
      lab_a: [..., 3], CIELAB.
      lab_b: like ``lab_a``.

    Returns:
      [...], 0 for equal colours.
    """
    (lightness_a, a_a, b_a), (lightness_b, a_b, b_b) = (jnp.moveaxis(lab, -1, 0) for lab in (lab_a, lab_b))

    # Greys are stretched along a*, so that near-neutral colours count as they are seen. All below is in stretched a*.
    chroma_mean = (jnp.hypot(a_a, b_a) + jnp.hypot(a_b, b_b)) / 2
    stretch = 1 + (1 - _saturation(chroma_mean)) / 2
    chroma_a, hue_a = jnp.hypot(stretch * a_a, b_a), _hue(stretch * a_a, b_a)
    chroma_b, hue_b = jnp.hypot(stretch * a_b, b_b), _hue(stretch * a_b, b_b)

    # Hues are angles: their difference goes the shorter way, their mean lies on it. A grey has none, nor then a term.
    turn = 2 * np.pi
    difference, total = hue_b - hue_a, hue_a + hue_b
    around = jnp.abs(difference) > OPPOSITE
    difference = jnp.where(around, difference - jnp.sign(difference) * turn, difference)
    hue_difference = 2 * jnp.sqrt(chroma_a * chroma_b) * jnp.sin(difference / 2)
    hue_mean = jnp.where(around, total + jnp.where(total < turn, turn, -turn), total) / 2

    lightness_mean, chroma_mean = (lightness_a + lightness_b) / 2, (chroma_a + chroma_b) / 2
    hue_weight = (
        1
        - 0.17 * jnp.cos(hue_mean - math.radians(30))
        + 0.24 * jnp.cos(2 * hue_mean)
        + 0.32 * jnp.cos(3 * hue_mean + math.radians(6))
        - 0.20 * jnp.cos(4 * hue_mean - math.radians(63))
    )
    centred = (lightness_mean - 50) ** 2
    lightness_term = (lightness_b - lightness_a) / (1 + 0.015 * centred / jnp.sqrt(20 + centred))
    chroma_term = (chroma_b - chroma_a) / (1 + 0.045 * chroma_mean)
    hue_term = hue_difference / (1 + 0.015 * chroma_mean * hue_weight)
    # Among blues, differences of chroma and of hue are not independent.
    blue = math.radians(30) * jnp.exp(-(((jnp.rad2deg(hue_mean) - 275) / 25) ** 2))
    rotation = -2 * _saturation(chroma_mean) * jnp.sin(2 * blue)
    squared = lightness_term**2 + chroma_term**2 + hue_term**2 + rotation * chroma_term * hue_term
    return jnp.sqrt(jnp.maximum(squared, 0))


def low_pass(image: Array) -> Array:
    """Means of sRGB values over blocks of ``COLOUR_BLOCK`` x ``COLOUR_BLOCK`` pixels that do not overlap.

    Rows at the bottom and columns at the right that fill no block are left out. The means are of the stored sRGB
    values, as if a person averaged the pixels of a file, not of linear light.

    Args:
      image: [batch, height, width, channel].

    Returns:
      [batch, height // COLOUR_BLOCK, width // COLOUR_BLOCK, channel].

    Raises:
      ValueError: for images smaller than a block.
    """
    batch, height, width, channels = image.shape
    rows, columns = height // COLOUR_BLOCK, width // COLOUR_BLOCK
    if not rows or not columns:
        raise ValueError(
            f"The colour shift needs images of at least {COLOUR_BLOCK} x {COLOUR_BLOCK} pixels; got {height} x {width}."
        )
    whole = jnp.asarray(image)[:, : rows * COLOUR_BLOCK, : columns * COLOUR_BLOCK]
    return jnp.mean(whole.reshape(batch, rows, COLOUR_BLOCK, columns, COLOUR_BLOCK, channels), axis=(2, 4))


def colour_shift(image: Array, truth: Array) -> Array:
    """Mean CIEDE2000 between two images after ``low_pass`` of their sRGB values: how far the colours are off.

    Args:
      image: [batch, height, width, 3] in [0, 1].
      truth: like ``image``.

    Returns:
      [batch], 0 where all blocks have the right colour, about 1 where the difference is just noticeable.

    Raises:
      ValueError: for images smaller than a block of ``low_pass``.
    """
    difference = ciede2000(*(srgb_to_lab(low_pass(x)) for x in (image, truth)))
    return jnp.mean(difference, axis=(1, 2))


def _saturation(chroma: Array) -> Array:
    """√(C⁷ / (C⁷ + 25⁷)), from 0 for grey to 1."""
    seventh = (chroma / 25) ** 7
    return jnp.sqrt(seventh / (seventh + 1))


def _hue(a: Array, b: Array) -> Array:
    """The angle of (a, b) in [0, 2π) radians; 0 for grey."""
    angle = jnp.arctan2(b, a)
    return jnp.where(angle < 0, angle + 2 * np.pi, angle)
