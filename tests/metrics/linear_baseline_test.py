import numpy as np
import pytest
from scipy.ndimage import correlate

from sar2opt_jax.metrics.linear_baseline import LinearBaseline


def radar(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def filtered(sar: np.ndarray, kernels: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Correlates all channels with kernels [window, window, channel, 3]; the border is a mirror."""
    images = []
    for image in sar:
        colours = [
            sum(correlate(image[..., c], kernels[..., c, k], mode="mirror") for c in range(image.shape[-1]))
            for k in range(3)
        ]
        images.append(np.stack(colours, axis=-1) + constant)
    return np.stack(images)


@pytest.mark.parametrize(("window", "channels"), [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_floor_recovers_an_exactly_linear_relation(window, channels):
    rng = np.random.default_rng(1)
    kernels = rng.uniform(-1, 1, (window, window, channels, 3)) / (2 * window**2 * channels)
    constant = np.array([-0.2, 0.0, 0.3])
    sar, unseen = radar(3, 16, 12, channels), radar(2, 9, 10, channels, seed=5)
    baseline = LinearBaseline.fit(sar, filtered(sar, kernels, constant), window=window)
    np.testing.assert_allclose(baseline.predict(unseen), filtered(unseen, kernels, constant), atol=1e-6)


def test_floor_of_useless_sar_is_the_mean_colour():
    optical = radar(4, 8, 8, 3)
    baseline = LinearBaseline.fit(np.full((4, 8, 8, 1), -1, np.float32), optical, window=3)
    predicted = baseline.predict(np.full((1, 8, 8, 1), -1, np.float32))
    np.testing.assert_allclose(predicted, np.broadcast_to(optical.mean((0, 1, 2)), (1, 8, 8, 3)), atol=1e-6)


def test_no_other_weights_fit_better():
    sar, optical = radar(2, 12, 12, 1), 0.3 * radar(2, 12, 12, 3, seed=3)
    baseline = LinearBaseline.fit(sar, optical, window=3)

    def error(weights: np.ndarray) -> float:
        return float(np.mean((LinearBaseline(weights=weights, window=3).predict(sar) - optical) ** 2))

    rng = np.random.default_rng(7)
    for _ in range(10):
        assert error(baseline.weights + 1e-2 * rng.standard_normal(baseline.weights.shape)) > error(baseline.weights)


def test_predictions_are_images_in_range():
    sar = radar(1, 8, 8, 1)
    predicted = LinearBaseline.fit(sar, 5 * np.repeat(sar, 3, axis=-1), window=1).predict(sar)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, np.clip(5 * np.repeat(sar, 3, axis=-1), -1, 1), atol=1e-5)


@pytest.mark.parametrize("window", [4, 17])
def test_a_window_that_is_even_or_too_large_is_refused(window):
    with pytest.raises(ValueError, match=rf"window \({window}\) must be odd"):
        LinearBaseline.fit(radar(1, 8, 8, 1), radar(1, 8, 8, 3), window=window)


def test_pairs_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="pairs of images of one size"):
        LinearBaseline.fit(radar(2, 8, 8, 1), radar(3, 8, 8, 3))
    with pytest.raises(ValueError, match="pairs of images of one size"):
        LinearBaseline.fit(radar(0, 8, 8, 1), radar(0, 8, 8, 3))


def test_other_channels_than_fitted_are_refused():
    baseline = LinearBaseline.fit(radar(1, 8, 8, 1), radar(1, 8, 8, 3), window=3)
    with pytest.raises(ValueError, match="fitted to 1 SAR channels; got 2"):
        baseline.predict(radar(1, 8, 8, 2))
