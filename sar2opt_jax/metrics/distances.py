"""How far two sets of images are apart, from the features that a network gives of each; and intervals of a mean.

On Inception's features (``inception.py``) these are the Fréchet and the kernel Inception distance, FID and KID; on
others they are the same distances of those features, and must not be called FID and KID.
"""

from typing import NamedTuple

import numpy as np

GRAM = 4096
"""Up to this many images all kernels are computed once and subsets are taken of them (three times 128 MiB)."""

RESAMPLES, CONFIDENCE = 1_000, 0.95
"""Of a bootstrap: the number of resamples, and the confidence level of an interval."""


class Kernel(NamedTuple):
    """A kernel distance: the mean over subsets and its standard deviation, None where there was one estimate only."""

    mean: float
    std: float | None


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def frechet(features: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet distance of two normal distributions with the features' means and covariances (Heusel et al. 2017).

    |μ₁ - μ₂|² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁ Σ₂)^½. With Σ = AᵀA, A the centred features over √(n - 1), the eigenvalues of
    Σ₁ Σ₂ that are not zero are the squares of the singular values of A₁ A₂ᵀ, whose sum is the last trace. So there is
    no matrix square root, which loses half of the digits, or all, where there are fewer images than features.

    It is biased upwards where images are few: compare only distances of equally many images.

    Args:
      features: [n, width], of the images to compare with the true ones.
      reference: [m, width], of the true images.

    Returns:
      The distance, at least 0.

    Raises:
      ValueError: for fewer than two images, features that are not finite, or two different widths.
    """
    features, reference = _checked(features, reference)
    (mean_1, root_1), (mean_2, root_2) = _moments(features), _moments(reference)
    overlap = np.linalg.svd(root_1 @ root_2.T, compute_uv=False).sum()
    distance = np.sum((mean_1 - mean_2) ** 2) + np.sum(root_1**2) + np.sum(root_2**2) - 2 * overlap
    return max(float(distance), 0.0)


def kernel(
    features: np.ndarray,
    reference: np.ndarray,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
    seed: int = 2020,
) -> Kernel:
    """Unbiased squared maximum mean discrepancy under k(x, y) = (x·y / width + 1)³ (Binkowski et al. 2018, KID).

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over pairs x ≠ x' and y ≠ y'; averaged over random subsets of both,
    which are those of torch-fidelity for the same ``seed``. Where there are not more images than a subset takes,
    it is the one estimate of all images, which has no spread. Unbiased, hence below zero now and then.

    Args:
      features: [n, width], of the images to compare with the true ones.
      reference: [m, width], of the true images.
      subset_size: images of each kind in a subset.
      num_subsets: subsets to average over.
      seed: of the draw.

    Returns:
      Mean and standard deviation over subsets; the latter None where n or m is at most ``subset_size``.

    Raises:
      ValueError: as of ``frechet``; for a subset of fewer than two images, or no subset.
    """
    if subset_size < 2 or num_subsets < 1:
        raise ValueError(f"subset_size ({subset_size}) must be at least 2 and num_subsets ({num_subsets}) at least 1.")
    x, y = _checked(features, reference)
    pairs = ((x, x), (y, y), (x, y))
    if min(len(x), len(y)) <= subset_size:
        return Kernel(mean=_discrepancy(*(_cubic(a, b) for a, b in pairs)), std=None)

    whole = [_cubic(a, b) for a, b in pairs] if max(len(x), len(y)) <= GRAM else None
    draw = np.random.RandomState(seed)  # Not the newer Generator: published numbers are of these subsets.
    estimates = []
    for _ in range(num_subsets):
        i = draw.choice(len(x), subset_size, replace=False)
        j = draw.choice(len(y), subset_size, replace=False)
        subsets = ((i, i), (j, j), (i, j))
        if whole is None:
            kernels = [_cubic(a[p], b[q]) for (a, b), (p, q) in zip(pairs, subsets, strict=True)]
        else:
            kernels = [k[np.ix_(p, q)] for k, (p, q) in zip(whole, subsets, strict=True)]
        estimates.append(_discrepancy(*kernels))
    return Kernel(mean=float(np.mean(estimates)), std=float(np.std(estimates)))


def bootstrap(
    values: np.ndarray,
    *,
    over: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean of one number per image, or of a ratio of two such means (Efron 1979).

    It holds what another draw of images from the same source would change, not what another training would.

    Args:
      values: [n], one per image; infinities, such as the PSNR of equal images, are allowed.
      over: [n], of the same images, positive: the interval is that of mean(values) / mean(over).
      resamples: how often n values are drawn with replacement.
      confidence: share of the means inside the interval, in (0, 1).
      seed: of the draw; equal seeds draw the same images, so that intervals of two methods are of the same draws.

    Returns:
      The interval, which is one point for a single image.

    Raises:
      ValueError: for no values, values that are no numbers, or a ``confidence`` outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"A bootstrap needs one number per image; got an array of shape {values.shape}.")
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {values.size} values are not numbers.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence ({confidence}) must be between 0 and 1.")
    draw = np.random.default_rng(seed)
    draws = (draw.integers(values.size, size=values.size) for _ in range(resamples))
    over = np.ones_like(values) if over is None else np.asarray(over, np.float64)
    means = [values[i].mean() / over[i].mean() for i in draws]
    # A mean that was drawn, not one between two: between infinities there is nothing. scipy.stats.bootstrap subtracts
    # the two, and refuses a single image.
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    return Interval(low=float(low), high=float(high))


def _checked(features: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, after what is asked of them."""
    x, y = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    for name, array in (("features", x), ("reference", y)):
        if array.ndim != 2 or len(array) < 2:
            raise ValueError(f"A distance of sets needs at least 2 images of each; {name} has shape {array.shape}.")
        if bad := int((~np.isfinite(array)).any(axis=1).sum()):
            raise ValueError(f"{name} of {bad} of {len(array)} images are not finite.")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features have width {x.shape[1]}, reference {y.shape[1]}; both must come from the same network."
        )
    return x, y


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and a matrix A of at most [width, width] with covariance AᵀA."""
    mean = features.mean(axis=0)
    root = (features - mean) / np.sqrt(len(features) - 1)
    if len(root) > root.shape[1]:
        root = np.asarray(np.linalg.qr(root, mode="r"))
    return mean, root


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _discrepancy(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    within = sum((np.sum(k) - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    return float(within - 2 * np.mean(xy))
