from pathlib import Path

import numpy as np
import our_metrics
import pytest

from sar2opt_jax.metrics import distances

with np.load(Path(__file__).with_name("metrics_reference.npz")) as _file:
    REFERENCE = dict(_file)


def normal(seed: int, *, images: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((images, width))


def with_moments(mean, covariance, *, images: int, seed: int) -> np.ndarray:
    """Features whose mean and covariance are exactly these."""
    draw = normal(seed, images=images, width=len(mean))
    draw -= draw.mean(axis=0)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(draw, rowvar=False))).T
    return draw @ whiten @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_normals_with_commuting_covariances_is_known():
    # Σ₁ and Σ₂ diagonal:  |μ₁ - μ₂|² + Σ (√a - √b)².
    a, b = np.array([4.0, 1.0, 9.0]), np.array([1.0, 16.0, 9.0])
    x = with_moments(np.array([1.0, 0, 0]), np.diag(a), images=40, seed=0)
    y = with_moments(np.array([0.0, 2, 0]), np.diag(b), images=30, seed=1)
    np.testing.assert_allclose(distances.frechet(x, y), 5 + 1 + 9, rtol=1e-10)


def test_frechet_of_normals_in_the_plane_is_known():
    # In two dimensions  tr (Σ₁ Σ₂)^½ = √(tr Σ₁ Σ₂ + 2 √(det Σ₁ det Σ₂)).
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.4], [-0.4, 3.0]])
    x, y = (with_moments(np.zeros(2), covariance, images=20, seed=i) for i, covariance in enumerate((a, b)))
    overlap = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    np.testing.assert_allclose(distances.frechet(x, y), np.trace(a) + np.trace(b) - 2 * overlap, rtol=1e-10)


def test_frechet_of_shifted_features_is_the_shift_even_with_fewer_images_than_features():
    x = normal(0, images=5, width=64)
    np.testing.assert_allclose(distances.frechet(x, x + 0.5), 64 * 0.25, rtol=1e-12)
    assert distances.frechet(x, x) < 1e-12


def test_frechet_of_singular_covariances_is_that_of_what_varies():
    # Features that are always zero change nothing; nor does a rotation of all of them.
    x, y = normal(0, images=12, width=3), normal(1, images=30, width=3) + 1
    rotation, _ = np.linalg.qr(normal(2, images=40, width=40))
    wide = [np.pad(features, ((0, 0), (0, 37))) @ rotation for features in (x, y)]
    np.testing.assert_allclose(distances.frechet(*wide), distances.frechet(x, y), rtol=1e-10)


def test_frechet_of_equal_images_is_finite():
    same = np.ones((4, 3))
    assert distances.frechet(same, same) == 0
    np.testing.assert_allclose(distances.frechet(same, same + 2), 12)
    x = normal(0, images=9, width=3)
    expected = np.sum((x.mean(axis=0) - 1) ** 2) + np.trace(np.cov(x, rowvar=False))
    np.testing.assert_allclose(distances.frechet(same, x), expected)


def test_kernel_of_two_images_each_is_that_by_hand():
    # Width 1: k(x, y) = (x y + 1)³.
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    expected = 1 + 27 - 2 * (1 + 1 + 8 + 27) / 4
    found = distances.kernel(x, y)
    np.testing.assert_allclose(found.mean, expected)
    assert found.std is None


def test_kernel_of_differently_many_images_is_the_mean_over_pairs():
    x, y = normal(0, images=3, width=4), normal(1, images=5, width=4)

    def mean(a, b, *, same):
        values = [(u @ v / 4 + 1) ** 3 for i, u in enumerate(a) for j, v in enumerate(b) if not (same and i == j)]
        return np.mean(values)

    expected = mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)
    np.testing.assert_allclose(distances.kernel(x, y).mean, expected)


@pytest.mark.parametrize("gram", [distances.GRAM, 10])
def test_kernel_averages_over_subsets(monkeypatch, gram):
    monkeypatch.setattr(distances, "GRAM", gram)
    x, y = normal(0, images=12, width=4), normal(1, images=15, width=4)
    found = distances.kernel(x, y, subset_size=6, num_subsets=3, seed=7)
    draw = np.random.RandomState(7)
    picks = [(draw.choice(12, 6, replace=False), draw.choice(15, 6, replace=False)) for _ in range(3)]
    each = [distances.kernel(x[i], y[j]).mean for i, j in picks]
    np.testing.assert_allclose(found, (np.mean(each), np.std(each)))


def test_kernel_of_one_distribution_is_around_zero():
    x, y = normal(0, images=400, width=8), normal(1, images=400, width=8)
    found = distances.kernel(x, y, subset_size=100, num_subsets=50)
    assert found.std is not None and abs(found.mean) < found.std
    assert distances.kernel(x, y + 1, subset_size=100, num_subsets=50).mean > 0.5


def test_kernel_of_equal_images_is_zero():
    np.testing.assert_allclose(distances.kernel(np.ones((3, 2)), np.ones((5, 2))).mean, 0, atol=1e-12)


def test_distances_are_torch_fidelitys():
    sets = our_metrics.feature_sets(counts=(150, 130), width=64)
    np.testing.assert_allclose(distances.frechet(*sets), REFERENCE["fid"], rtol=1e-6)
    np.testing.assert_allclose(distances.kernel(*sets, subset_size=100, num_subsets=20), REFERENCE["kid"], rtol=1e-6)


@pytest.mark.parametrize("distance", [distances.frechet, distances.kernel])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), r"at least 2 images of each; features has shape \(1, 3\)"),
        (np.zeros((4, 3)), np.zeros((0, 3)), r"at least 2 images of each; reference has shape \(0, 3\)"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "features have width 3, reference 2"),
        (np.zeros((4, 3)), np.array([[0.0, np.nan], [np.inf, 1], [0, 0]]), "reference of 2 of 3 images are not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(distance, x, y, message):
    with pytest.raises(ValueError, match=message):
        distance(x, y)


def test_subsets_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"subset_size \(1\) must be at least 2"):
        distances.kernel(np.zeros((4, 3)), np.zeros((4, 3)), subset_size=1)


def test_bootstrap_of_many_values_is_the_normal_interval():
    values = 5 + 2 * normal(0, images=1, width=4000)[0]
    low, high = distances.bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(values.size)
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.1 * half)
    narrow = distances.bootstrap(values, confidence=0.5)
    np.testing.assert_allclose(narrow.high - narrow.low, 2 * half * 0.6745 / 1.96, rtol=0.1)


def test_bootstrap_depends_on_the_seed_alone():
    values = np.arange(10.0)
    assert distances.bootstrap(values) == distances.bootstrap(list(values))
    assert distances.bootstrap(values, resamples=20) != distances.bootstrap(values, resamples=20, seed=1)


def test_bootstrap_of_equal_or_infinite_values_is_a_point():
    assert distances.bootstrap(np.full(5, 0.25)) == (0.25, 0.25)
    assert distances.bootstrap([3.0]) == (3, 3)
    assert distances.bootstrap(np.full(5, np.inf)) == (np.inf, np.inf)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        ([], 0.95, "one number per image"),
        ([[1.0]], 0.95, "one number per image"),
        ([1.0, np.nan], 0.95, "1 of 2 values are not numbers"),
        ([1.0], 95, r"confidence \(95\) must be between 0 and 1"),
    ],
)
def test_bootstrap_refuses_what_has_no_interval(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        distances.bootstrap(values, confidence=confidence)
