"""Images for people to look at, plain numpy."""

import numpy as np
import numpy.typing as npt

from sar2opt_jax.data.scaling import to_uint8


def grid(sar: npt.ArrayLike, *columns: npt.ArrayLike, gap: int = 2, min_side: int = 64) -> np.ndarray:
    """One row per example: SAR, then the optical images of each column; white gaps between them.

    Args:
      sar: [n, height, width, channel] in [-1, 1]; the first channel is shown.
      *columns: optical images, [n, height, width, 3], nominally in [-1, 1].
      gap: pixels between images.
      min_side: smaller images are enlarged by a whole factor, to about this many pixels.

    Returns:
      [rows, columns, 3] uint8.

    Raises:
      ValueError: for columns that differ from ``sar`` in number or size of images, or hold NaN.
    """
    expected = (*np.shape(sar)[:3], 3)
    for column in columns:
        if np.shape(column) != expected:
            raise ValueError(
                f"A column must have shape {expected} to stand beside the SAR images; got {np.shape(column)}."
            )
    images = np.stack([show(sar), *(to_uint8(column) for column in columns)], axis=1)
    images = enlarge(images, max(1, round(min_side / images.shape[-2])))
    images = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows = images.transpose(0, 2, 1, 3, 4)  # [n, height, column, width, 3]
    sheet = rows.reshape(rows.shape[0] * rows.shape[1], -1, 3)
    return sheet[:-gap, :-gap] if gap else sheet


def show(sar: npt.ArrayLike) -> np.ndarray:
    """The first SAR channel as grey, [..., channel] in [-1, 1] to [..., 3] uint8."""
    return to_uint8(np.repeat(np.asarray(sar)[..., :1], 3, axis=-1))


def enlarge(images: np.ndarray, factor: int) -> np.ndarray:
    """Repeats pixels of [..., height, width, channel] by a whole factor: no interpolation embellishes a result."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)
