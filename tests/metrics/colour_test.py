from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import our_metrics
import pytest

from sar2opt_jax.metrics import colour

with np.load(Path(__file__).with_name("metrics_reference.npz")) as _file:
    REFERENCE = dict(_file)

# Table 1 of Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: Implementation notes, supplementary test
# data, and mathematical observations", Color Research and Application 30 (2005): L a b of both colours and ΔE.
SHARMA = np.loadtxt(
    """
    50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
    50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
    50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
    50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
    50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
    50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
    50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
    50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
    50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
    50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
    50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
    50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
    50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
    50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
    50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
    50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
    50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
    50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
    60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
    63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
    61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
    35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
    22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
    36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
    90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
    90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
     6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
     2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
    """.strip().splitlines(),
    np.float32,
)


def images(seed: int, *, height: int = 24, width: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).random((2, height, width, 3), np.float32)


def test_ciede2000_of_the_published_pairs_is_the_published_difference():
    a, b, expected = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]
    assert len(SHARMA) == 34
    # Compiled and not: where hues are opposite, the last bit must not decide.
    for function in (colour.ciede2000, jax.jit(colour.ciede2000)):
        np.testing.assert_allclose(function(a, b), expected, atol=1.5e-4)
        np.testing.assert_allclose(function(b, a), expected, atol=1.5e-4)


def test_ciede2000_of_equal_colours_is_zero():
    np.testing.assert_array_equal(colour.ciede2000(SHARMA[:, :3], SHARMA[:, :3]), np.zeros(34))


def test_ciede2000_of_greys_is_their_weighted_lightness():
    a, b = jnp.array([40.0, 0, 0]), jnp.array([60.0, 0, 0])
    np.testing.assert_allclose(colour.ciede2000(a, b), 20, rtol=1e-6)  # Around 50 the weight is one.
    a, b = jnp.array([0.0, 0, 0]), jnp.array([2.0, 0, 0])
    np.testing.assert_allclose(colour.ciede2000(a, b), 2 / (1 + 0.015 * 49**2 / np.sqrt(20 + 49**2)), rtol=1e-5)


def test_lab_of_the_corners_of_srgb_is_the_published_one():
    # skimage 0.26: rgb2lab of black, white, red, green, blue, a middle and a dark grey.
    srgb = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5] * 3, [0.02] * 3], np.float32)
    expected = [
        [0, 0, 0],
        [100, -0.002455, 0.004653],
        [53.240588, 80.092308, 67.202751],
        [87.735099, -86.183030, 83.179703],
        [32.295673, 79.185591, -107.857300],
        [53.388965, -0.001468, 0.002784],
        [1.398285, -0.000089, 0.000168],
    ]
    np.testing.assert_allclose(colour.srgb_to_lab(srgb), expected, atol=1e-4)


def test_lab_and_ciede2000_of_images_are_scikit_images():
    lab = [colour.srgb_to_lab(image) for image in our_metrics.pairs(40, 56)]
    np.testing.assert_allclose(lab[0][0, 0], REFERENCE["lab"], atol=1e-3)
    np.testing.assert_allclose(colour.ciede2000(*lab).mean(axis=(1, 2)), REFERENCE["ciede2000"], rtol=1e-4)


def test_low_pass_is_the_mean_of_each_whole_block():
    image = images(0)
    means = colour.low_pass(image)
    assert means.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(means[1, 2, 1], image[1, 16:24, 8:16].mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(7, 32), (32, 7)])
def test_images_smaller_than_a_block_are_refused(height, width):
    image = images(0, height=height, width=width)
    with pytest.raises(ValueError, match=f"at least 8 x 8 pixels; got {height} x {width}"):
        colour.colour_shift(image, image)


def test_colour_shift_of_equal_images_is_zero():
    np.testing.assert_array_equal(colour.colour_shift(images(0), images(0)), [0, 0])


def test_colour_shift_of_flat_images_is_the_difference_of_their_colours():
    a, b = (np.full((1, 9, 8, 3), rgb, np.float32) for rgb in ([0.2, 0.4, 0.1], [0.3, 0.4, 0.1]))
    expected = colour.ciede2000(colour.srgb_to_lab(a[0, 0, 0]), colour.srgb_to_lab(b[0, 0, 0]))
    assert expected > 5
    np.testing.assert_allclose(colour.colour_shift(a, b), [expected], rtol=1e-4)


def test_colour_shift_does_not_see_detail_inside_a_block():
    image = images(1, height=16, width=16)
    moved = image.reshape(2, 2, 8, 2, 8, 3)[:, :, ::-1, :, ::-1].reshape(image.shape)
    np.testing.assert_allclose(colour.colour_shift(image, moved), [0, 0], atol=1e-4)
