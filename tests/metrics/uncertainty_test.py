"""The spread of several translations against their error: closed forms of Gaussian samples."""

import numpy as np
import pytest

from sar2opt_jax.metrics.uncertainty import GROUPS, Uncertainty, deviation
from sar2opt_jax.scene.translate import _outputs as outputs_of_samples


def measured(num_samples, *, truth_spread=1.0, images=6, seed=0):
    """Samples that deviate by 4 to 24 levels, and a truth that deviates ``truth_spread`` times as much."""
    rng = np.random.default_rng(seed)
    found = Uncertainty(num_samples)
    for _ in range(images):
        spread = rng.uniform(4, 24, (48, 48, 1))
        mean = rng.uniform(100, 156, (48, 48, 3))
        samples = mean + spread * rng.standard_normal((num_samples, 48, 48, 3))
        truth = mean + truth_spread * spread * rng.standard_normal((48, 48, 3))
        found.add(np.rint(samples).clip(0, 255).astype(np.uint8), np.rint(truth).clip(0, 255).astype(np.uint8))
    return found.result()


@pytest.mark.parametrize(("num_samples", "nominal"), [(2, 1 / 3), (3, 0.5), (19, 0.9), (39, 0.9)])
def test_a_truth_that_is_one_more_sample_is_covered_as_often_as_nominal(num_samples, nominal):
    found = measured(num_samples)
    assert found.nominal == pytest.approx(nominal)
    assert found.coverage.shape == (6,)
    assert found.coverage.mean() == pytest.approx(nominal, abs=0.03)  # Rounding to levels covers a little more.


def test_the_error_of_their_mean_is_their_deviation():
    found = measured(19)
    assert found.deviation.shape == found.error.shape == (GROUPS,)
    assert (np.diff(found.deviation) > 0).all()
    # Groups are made by the estimated deviation, whose own noise draws the extreme ones apart.
    np.testing.assert_allclose(found.error[2:-2], found.deviation[2:-2] * np.sqrt(1 + 1 / 19), rtol=0.06)


def test_samples_that_agree_too_much_are_found_out():
    found = measured(19, truth_spread=3.0)
    assert found.coverage.mean() < 0.5
    assert (found.error > 2 * found.deviation).all()


def test_samples_that_are_all_alike_have_no_deviation():
    found = Uncertainty(5)
    found.add(np.full((5, 8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 110, np.uint8))
    result = found.result()
    assert result.coverage.tolist() == [0] and result.deviation.tolist() == [0] and result.error.tolist() == [10]


def test_deviation_is_the_root_mean_square_over_the_colours():
    levels = np.zeros((2, 1, 1, 3))
    levels[1, 0, 0] = (0, 2, 4)  # Variances 0, 2 and 8.
    assert deviation(levels)[0, 0] == pytest.approx(np.sqrt(10 / 3))


def test_deviation_is_what_is_written_beside_a_scene():
    images = np.random.default_rng(0).uniform(-1.1, 1.1, (4, 3, 5, 3)).astype(np.float32)
    _, written = outputs_of_samples(images)
    np.testing.assert_allclose(deviation((images.clip(-1, 1) + 1) * 127.5), written[..., 0], rtol=1e-5)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="2 translations of an image or more; got 1"):
        Uncertainty(1)
