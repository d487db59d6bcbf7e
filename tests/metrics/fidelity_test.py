import numpy as np
import pytest

from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.metrics import fidelity


def waves(phase: float) -> np.ndarray:
    y, x = np.mgrid[:24, :20]
    channels = [0.5 + 0.4 * np.sin(0.3 * x + 0.5 * y + c + phase * np.cos(0.7 * y)) for c in range(3)]
    return np.stack(channels, axis=-1)[None].astype(np.float32)


def test_to_unit_undoes_the_scaling_to_8_bits():
    np.testing.assert_allclose(
        fidelity.to_unit(to_uint8([-2.0, -1.0, 0.0, 0.6, 1.0, 3.0])), [0, 0, 128 / 255, 0.8, 1, 1]
    )


def test_psnr_of_a_constant_difference_is_its_logarithm():
    image = np.full((2, 12, 12, 3), 0.5, np.float32)
    truth = image + np.array([0.1, 0.01], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(fidelity.psnr(image, truth), [20, 40], rtol=1e-4)


def test_psnr_and_ssim_equal_scikit_image():
    # skimage 0.26: peak_signal_noise_ratio(a, b, data_range=1.0) and structural_similarity(a, b, data_range=1.0,
    # channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False) of waves(0) and waves(0.3).
    image, truth = waves(0.0), waves(0.3)
    np.testing.assert_allclose(fidelity.psnr(image, truth), [24.23777012], rtol=1e-5)
    np.testing.assert_allclose(fidelity.ssim(image, truth), [0.96899218], rtol=1e-5)


def test_ssim_of_equal_images_is_one():
    np.testing.assert_allclose(fidelity.ssim(waves(0.2), waves(0.2)), [1], rtol=1e-6)


def test_ssim_of_constant_images_is_its_luminance_term():
    image, truth = (np.full((1, 11, 11, 3), value, np.float32) for value in (0.2, 0.6))
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    np.testing.assert_allclose(fidelity.ssim(image, truth), [expected], rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 10, 32, 3), (1, 32, 10, 3)])
def test_ssim_refuses_images_smaller_than_its_window(shape):
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels; got"):
        fidelity.ssim(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def test_sharpness_of_a_ramp_is_its_slope():
    y, x = np.mgrid[:9, :7]
    ramp = (0.03 * x + 0.04 * y).astype(np.float32)
    image = np.stack([ramp] * 3, axis=-1)[None]
    np.testing.assert_allclose(fidelity.sharpness(image), [0.05], rtol=1e-4)


def test_sharpness_sees_a_checkerboard():
    y, x = np.mgrid[:8, :8]
    board = np.stack([((x + y) % 2).astype(np.float32)] * 3, axis=-1)[None]
    np.testing.assert_allclose(fidelity.sharpness(board), [np.sqrt(2)], rtol=1e-5)


def test_gradients_are_those_of_the_luminance():
    x = np.arange(6, dtype=np.float32) / 6
    image = np.zeros((1, 6, 6, 3), np.float32)
    image[..., 1] = x
    np.testing.assert_allclose(fidelity.gradient_magnitude(image), np.full((1, 5, 5), 0.7152 / 6), rtol=1e-4)


def test_gradient_distance_of_ramps_is_the_difference_of_their_slopes():
    x = np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8))
    steep, flat = (np.stack([slope * x] * 3, axis=-1)[None] for slope in (0.10, 0.04))
    np.testing.assert_allclose(fidelity.gradient_distance(steep, flat), [0.06], rtol=1e-4)


def test_gradient_distance_ignores_where_edges_stand():
    edge, moved = np.zeros((2, 1, 8, 8, 3), np.float32)
    edge[:, :, 3:], moved[:, :, 5:] = 1, 1
    np.testing.assert_allclose(fidelity.gradient_distance(edge, moved), [0], atol=1e-6)
    assert fidelity.psnr(edge, moved)[0] < 10


def test_gradient_distance_sees_noise_that_makes_up_for_blur():
    # The truth has one hard edge; the other has the same mean gradient, spread evenly.
    truth = np.zeros((1, 8, 8, 3), np.float32)
    truth[:, :, 4:] = 1
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None] / 7, (1, 8, 8, 3))
    np.testing.assert_allclose(fidelity.sharpness(ramp), fidelity.sharpness(truth), rtol=1e-5)
    assert fidelity.gradient_distance(ramp, truth)[0] > 0.2


def test_measure_takes_images_between_zero_and_one():
    measured = fidelity.measure(waves(0.0), waves(0.3))
    assert set(measured) == {"psnr", "ssim", "sharpness", "gradient_distance"}
    np.testing.assert_allclose(measured["psnr"], [24.23777012], rtol=1e-5)
