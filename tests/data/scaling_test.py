import numpy as np
import pytest

from sar2opt_jax.data import scaling


def test_every_byte_comes_back():
    values = np.arange(256, dtype=np.uint8)
    scaled = scaling.to_float(values)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaling.to_uint8(scaled), values)


def test_bytes_fill_the_range_evenly():
    scaled = scaling.to_float(np.array([0, 51, 255], np.uint8))
    np.testing.assert_allclose(scaled, [-1, -0.6, 1], rtol=0, atol=1e-7)


def test_values_outside_the_range_saturate():
    np.testing.assert_array_equal(scaling.to_uint8(np.array([-7.0, 7.0, np.inf])), [0, 255, 255])


def test_scaling_refuses_what_is_not_8_bit():
    with pytest.raises(TypeError, match=r"uint8.*float64"):
        scaling.to_float(np.zeros(3))
    with pytest.raises(ValueError, match="1 of 2 values are NaN"):
        scaling.to_uint8(np.array([0.0, np.nan]))


@pytest.mark.parametrize(("low", "high"), [(-25.0, 0.0), (-32.5, 0.0)])
def test_decibels_are_linear_and_clipped(low, high):
    decibels = np.array([-np.inf, low - 1, low, low + 0.2 * (high - low), high, high + 3])[:, None]
    expected = np.array([0, 0, 0, 51, 255, 255])[:, None]
    np.testing.assert_array_equal(scaling.to_levels(decibels, scale="file", limits=[(low, high)]), expected)
    for scale, factor in (("linear", 10), ("amplitude", 20)):
        levels = scaling.to_levels(10 ** (decibels / factor), scale=scale, limits=[(low, high)])
        np.testing.assert_array_equal(levels, expected, err_msg=scale)


def test_each_channel_has_its_limits_and_missing_pixels_their_value():
    values = np.array([[0.0, 0.0], [np.nan, 10.0]])
    levels = scaling.to_levels(values, scale="file", limits=[(-5, 5), (0, 10)], masked_value=7)
    np.testing.assert_array_equal(levels, [[128, 0], [7, 255]])  # 127.5 is rounded to even.
    assert levels.dtype == np.uint8
