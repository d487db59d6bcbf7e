"""The linear baseline: the best linear translation of a small SAR window into a pixel's colour.

It sees local backscatter and no shapes; what a network adds is what it gains over this.
"""

import dataclasses

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearBaseline:
    """Linear regression from a window of SAR pixels to the optical pixel at its centre.

    Attributes:
      weights: [window * window * channel + 1, 3] float64; the last row is the constant.
      window: side of the window in pixels, odd.
    """

    weights: np.ndarray
    window: int

    @classmethod
    def fit(cls, sar: npt.ArrayLike, optical: npt.ArrayLike, *, window: int = 7) -> "LinearBaseline":
        """Least squares over all pixels of the training pairs.

        The normal equations  AᵀA w = Aᵀb  are summed up image by image: memory is that of one image.

        Args:
          sar: [n, height, width, channel] in [-1, 1].
          optical: [n, height, width, 3] in [-1, 1].
          window: side of the window in pixels.

        Raises:
          ValueError: for pairs that do not match, none at all, or a window that is even or too large.
        """
        sar, optical = np.asarray(sar), np.asarray(optical)
        if len(sar) == 0 or sar.shape[:3] != optical.shape[:3]:
            raise ValueError(
                f"The linear baseline needs pairs of images of one size; got sar {sar.shape}, optical {optical.shape}."
            )
        size = window**2 * sar.shape[-1] + 1
        gram, moment = np.zeros((size, size)), np.zeros((size, optical.shape[-1]))
        for image, truth in zip(sar, optical, strict=True):
            design = _design(image, window)
            gram += design.T @ design
            moment += design.T @ truth.reshape(-1, truth.shape[-1])
        # lstsq, because neighbouring pixels that are always equal (flat data) make the equations singular.
        weights, *_ = np.linalg.lstsq(gram, moment)
        return cls(weights=weights, window=window)

    def predict(self, sar: npt.ArrayLike) -> np.ndarray:
        """Translates [n, height, width, channel] in [-1, 1] to [n, height, width, 3] float32, clipped to [-1, 1]."""
        sar = np.asarray(sar)
        channels = (len(self.weights) - 1) // self.window**2
        if sar.shape[-1] != channels:
            raise ValueError(f"The linear baseline was fitted to {channels} SAR channels; got {sar.shape[-1]}.")
        optical = np.stack([(_design(image, self.window) @ self.weights) for image in sar])
        return np.clip(optical, -1, 1).astype(np.float32).reshape(*sar.shape[:3], -1)


def _design(image: np.ndarray, window: int) -> np.ndarray:
    """The windows of an image's pixels as rows, [height * width, window * window * channel + 1], a 1 last.

    Beyond the border the image is mirrored.
    """
    height, width, _ = image.shape
    margin = window // 2
    if window % 2 == 0 or margin >= min(height, width):
        raise ValueError(
            f"window ({window}) must be odd and reach less than one image over its border ({height} x {width})."
        )
    padded = np.pad(image.astype(np.float64), ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(0, 1))
    windows = windows.reshape(height * width, -1)
    return np.concatenate([windows, np.ones((height * width, 1))], axis=1)
