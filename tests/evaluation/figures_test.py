import numpy as np
import pytest

from sar2opt_jax.evaluation import figures


def test_grid_lays_out_examples_in_rows_and_kinds_in_columns():
    sar = np.stack([np.full((2, 3, 1), value, np.float32) for value in (-1, 1)])
    optical = np.zeros((2, 2, 3, 3), np.float32) + np.array([1, -1, -1], np.float32).reshape(1, 1, 1, 3)
    sheet = figures.grid(sar, optical, -optical, gap=1, min_side=3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    np.testing.assert_array_equal(sheet[:2, :3], 0)
    np.testing.assert_array_equal(sheet[3:, :3], 255)
    np.testing.assert_array_equal(sheet[:2, 4:7], np.broadcast_to([255, 0, 0], (2, 3, 3)))
    np.testing.assert_array_equal(sheet[3:, 8:], np.broadcast_to([0, 255, 255], (2, 3, 3)))
    np.testing.assert_array_equal(sheet[2], 255)
    np.testing.assert_array_equal(sheet[:, 3], 255)


def test_grid_enlarges_small_images_by_whole_factors_and_leaves_large_ones():
    small, large = (np.zeros((1, side, side, 1), np.float32) for side in (16, 100))
    assert figures.grid(small).shape == (64, 64, 3)
    assert figures.grid(large).shape == (100, 100, 3)


def test_grid_shows_the_first_of_several_sar_channels():
    sar = np.stack([np.full((1, 4, 4), -1), np.full((1, 4, 4), 1)], axis=-1).astype(np.float32)
    np.testing.assert_array_equal(figures.grid(sar), 0)


def test_grid_without_gaps_is_only_images():
    assert figures.grid(np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 3)), gap=0, min_side=8).shape == (16, 16, 3)


def test_grid_refuses_columns_of_another_shape():
    with pytest.raises(ValueError, match="must have shape"):
        figures.grid(np.zeros((2, 8, 8, 1)), np.zeros((1, 8, 8, 3)))


def test_enlarge_repeats_pixels():
    image = np.array([[[1], [2]]])
    np.testing.assert_array_equal(figures.enlarge(image, 2)[..., 0], [[1, 1, 2, 2], [1, 1, 2, 2]])
