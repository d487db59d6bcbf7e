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


@pytest.mark.parametrize(("limits", "low"), [(scaling.VV_LIMITS_DB, -25.0), (scaling.VH_LIMITS_DB, -32.5)])
def test_decibels_are_linear_and_clipped(limits, low):
    backscatter = np.array([-np.inf, low - 1, low, low / 2, 0.0, 3.0])
    np.testing.assert_allclose(scaling.from_db(backscatter, limits_db=limits), [-1, -1, -1, 0, 1, 1], atol=1e-6)


def test_decibels_come_back_within_the_limits():
    backscatter = np.linspace(-25, 0, 101, dtype=np.float32)
    scaled = scaling.from_db(backscatter, limits_db=scaling.VV_LIMITS_DB)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaling.to_db(scaled, limits_db=scaling.VV_LIMITS_DB), backscatter, atol=1e-5)


def test_no_data_stays_no_data():
    assert np.isnan(scaling.from_db(np.nan, limits_db=scaling.VV_LIMITS_DB))


def test_limits_must_be_ordered():
    with pytest.raises(ValueError, match=r"low < high, got \(0, -25\)"):
        scaling.from_db(0.0, limits_db=(0, -25))
