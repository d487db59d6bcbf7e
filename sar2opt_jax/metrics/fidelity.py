"""How far a translation is from the true image: fidelity (PSNR, SSIM) and sharpness, one number per image.

PSNR and SSIM alone mislead: a blurred image wins both. Hence the gradients beside them, which blur cannot win.
"""

import dm_pix
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sar2opt_jax.types import Array

SSIM_WINDOW = 11
"""Side in pixels of SSIM's Gaussian window (sigma 1.5), and so of the smallest image that it is defined for."""

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in the luminance (ITU-R BT.709)."""


def to_unit(image: npt.ArrayLike) -> np.ndarray:
    """From 8-bit values to the metrics' [0, 1]:  u / 255.

    With u = round(127.5 (x + 1)) this is (x + 1) / 2 of the networks' x. Not x + 0.5, the habit of data in
    [-0.5, 0.5]: it doubles every error and clips half of the range, and the same images differ by 4 to 6 dB of PSNR
    from those of a paper that scales rightly.
    """
    return np.asarray(image, np.float32) / np.float32(255)


def psnr(image: Array, truth: Array) -> Array:
    """Peak signal-to-noise ratio  -10 log10 mean (a - b)², in dB for data of range 1.

    Args:
      image: [batch, height, width, channel] in [0, 1].
      truth: like ``image``.

    Returns:
      [batch]; infinite for equal images.
    """
    return jnp.asarray(dm_pix.psnr(image, truth))


def check_image_size(height: int, width: int) -> None:
    """Raises ValueError for images smaller than SSIM's window."""
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels; got {height} x {width}.")


def ssim(image: Array, truth: Array) -> Array:
    """Structural similarity (Wang et al. 2004): 11 x 11 Gaussian window, sigma 1.5, K = 0.01, 0.03, range 1.

    Mean over the channels and over the positions where the window lies inside the image, as in scikit-image's
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.

    Args:
      image: [batch, height, width, channel] in [0, 1].
      truth: like ``image``.

    Returns:
      [batch], 1 for equal images.

    Raises:
      ValueError: for images smaller than the window.
    """
    check_image_size(*image.shape[1:3])
    similarity = dm_pix.ssim(image, truth, filter_size=SSIM_WINDOW, filter_sigma=1.5, k1=0.01, k2=0.03)
    return jnp.asarray(similarity, image.dtype)  # dm_pix makes its window in floats of the default width.


def gradient_magnitude(image: Array) -> Array:
    """|∇Y| = √((Y[i, j+1] - Y[i, j])² + (Y[i+1, j] - Y[i, j])²) of the luminance Y.

    Differences of neighbours, because central differences do not see the finest detail, of period two pixels.

    Args:
      image: [batch, height, width, 3] in [0, 1].

    Returns:
      [batch, height - 1, width - 1], in intensity per pixel.
    """
    luminance = image @ jnp.asarray(LUMINANCE, image.dtype)
    corner = luminance[:, :-1, :-1]
    dx, dy = luminance[:, :-1, 1:] - corner, luminance[:, 1:, :-1] - corner
    return jnp.sqrt(dx**2 + dy**2)


def sharpness(image: Array) -> Array:
    """Mean of ``gradient_magnitude``, [batch]. Blur lowers it, noise and artefacts raise it."""
    return jnp.mean(gradient_magnitude(image), axis=(1, 2))


def gradient_distance(image: Array, truth: Array) -> Array:
    """Wasserstein-1 distance between the gradient magnitudes of two images, wherever in the image they stand.

    Mean |sort(|∇a|) - sort(|∇b|)|: 0 where flat areas, soft and hard edges are as frequent as in the truth. Noise that
    makes up for lost edges leaves the mean sharpness right, but not this.

    Args:
      image: [batch, height, width, 3] in [0, 1].
      truth: like ``image``.

    Returns:
      [batch], in intensity per pixel.
    """
    ranked, wanted = (jnp.sort(gradient_magnitude(x).reshape(x.shape[0], -1), axis=-1) for x in (image, truth))
    return jnp.mean(jnp.abs(ranked - wanted), axis=-1)


def measure(image: Array, truth: Array) -> dict[str, Array]:
    """The metrics that need no other network.

    Args:
      image: translations, [batch, height, width, 3] in [0, 1].
      truth: the true images, like ``image``.

    Returns:
      ``psnr`` in dB, ``ssim``, ``sharpness`` and ``gradient_distance``, [batch] each.
    """
    return {
        "psnr": psnr(image, truth),
        "ssim": ssim(image, truth),
        "sharpness": sharpness(image),
        "gradient_distance": gradient_distance(image, truth),
    }
