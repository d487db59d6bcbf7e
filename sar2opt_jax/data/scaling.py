"""Between stored values and the [-1, 1] of the networks: 8-bit images, and radar backscatter in decibels."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sar2opt_jax.types import look_up


def to_float(image: npt.ArrayLike) -> np.ndarray:
    """8-bit values to the networks' range: x = u / 127.5 - 1.

    Args:
        image: any shape, uint8.

    Returns:
        The same shape, float32 in [-1, 1]; ``to_uint8`` gives back exactly the same bytes.

    Raises:
        TypeError: the values are not uint8; scaling floats by 127.5 would hide a mistake made before.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"Images must be uint8 to be scaled to [-1, 1], got {image.dtype}.")
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: npt.ArrayLike) -> np.ndarray:
    """The networks' range to 8-bit values: u = round(127.5 (x + 1)), after clipping x to [-1, 1].

    Args:
        image: any shape, float, nominally in [-1, 1].

    Returns:
        The same shape, uint8.

    Raises:
        ValueError: a value is NaN, which has no 8-bit counterpart.
    """
    image = np.asarray(image, np.float32)
    if np.isnan(image).any():
        raise ValueError(f"{int(np.isnan(image).sum())} of {image.size} values are NaN; nothing to show for them.")
    return np.rint((np.clip(image, -1, 1) + 1) * np.float32(127.5)).astype(np.uint8)


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "file": lambda values: values,
    "linear": lambda values: 10 * np.log10(values),
    "amplitude": lambda values: 20 * np.log10(values),
}
"""From values in files to the unit of their limits; to dB of linear power or of amplitude."""


def to_levels(
    values: npt.ArrayLike, *, scale: str, limits: Sequence[tuple[float, float]], masked_value: int = 0
) -> np.ndarray:
    """Values in a file's unit to the 0 .. 255 that a prepared dataset stores of them.

    Args:
        values: [..., channel], real numbers; NaN where a pixel is missing.
        scale: a name of ``SCALES``.
        limits: for each channel what becomes 0 and 255, after ``scale``; values outside are clipped.
        masked_value: what a missing pixel becomes, 0 .. 255.

    Returns:
        The same shape, uint8.
    """
    low, high = np.array(limits, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):  # No echo is minus infinity in dB, and clipped.
        scaled = look_up("scale", scale, SCALES)(np.asarray(values))
    share = ((scaled.astype(np.float64) - low) / (high - low)).clip(0, 1)
    return np.where(np.isnan(share), masked_value, np.round(255 * share)).astype(np.uint8)
