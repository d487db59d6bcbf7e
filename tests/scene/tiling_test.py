import jax
import numpy as np
import pytest

from sar2opt_jax.scene.tiling import BLOCK, Axis, Grid, Tiling, block_noise, filled
from sar2opt_jax.types import make_key

TILINGS = [Tiling(tile=16, overlap=overlap) for overlap in (0, 3, 4, 8)]


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 28, 29, 40, 100, 101])
def test_weights_sum_to_one_at_every_pixel(length, tiling):
    axis = Axis.cover(length, tiling)
    total = np.zeros(axis.length)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        total[start : start + axis.tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert axis.weights.min() >= 0
    assert axis.length == max(length, tiling.tile)


@pytest.mark.parametrize("tiling", TILINGS)
def test_neighbours_share_at_least_the_overlap_and_no_tile_is_in_vain(tiling):
    for length in range(17, 120):
        axis = Axis.cover(length, tiling)
        assert np.diff(axis.starts).max() <= tiling.tile - tiling.overlap
        assert len(axis.starts) == 1 + np.ceil((length - 16) / (16 - tiling.overlap))
        assert axis.starts[0] == 0 and axis.starts[-1] + 16 == length


def test_what_is_final_is_covered_by_no_later_tile():
    axis = Axis.cover(61, TILINGS[2])
    for index, start in enumerate(axis.starts):
        assert all(later >= axis.final(index) for later in axis.starts[index + 1 :])
        assert axis.final(index) > start
    assert axis.final(len(axis.starts) - 1) == 61
    for pixel in range(61):
        first = axis.first(pixel)
        assert axis.starts[first] <= pixel and all(start + 16 <= pixel for start in axis.starts[:first])


def test_weights_of_a_tile_are_those_of_its_row_and_column():
    grid = Grid.cover(40, 16, TILINGS[2])
    weights = grid.weights(1, 0)
    assert weights.shape == (16, 16, 1)
    np.testing.assert_array_equal(weights[:, 3, 0], grid.rows.weights[1])  # One column of tiles: weight 1.


@pytest.mark.parametrize("overlap", [-1, 9])
def test_an_overlap_beyond_half_of_a_tile_is_refused(overlap):
    with pytest.raises(ValueError, match=f"0 to half of a tile's side; got {overlap} pixels of 16"):
        Tiling(tile=16, overlap=overlap)


def test_a_window_of_the_noise_is_that_part_of_a_larger_one():
    key = make_key(3)
    wide = np.concatenate([block_noise(key, row, 0, columns=3) for row in range(2)])
    window = block_noise(key, 1, 1, columns=2)
    np.testing.assert_array_equal(window, wide[BLOCK:, BLOCK:])
    assert (np.asarray(window) != np.asarray(block_noise(key, 0, 1, columns=2))).mean() > 0.99
    assert (np.asarray(window) != np.asarray(block_noise(make_key(4), 1, 1, columns=2))).mean() > 0.99


def test_noise_is_standard_normal_and_independent_between_blocks():
    noise = np.asarray(jax.jit(lambda: block_noise(make_key(0), 5, 7, columns=8))())
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    blocks = noise.reshape(BLOCK, 8, BLOCK, 3).transpose(1, 0, 2, 3).reshape(8, -1)
    assert np.abs(np.corrcoef(blocks) - np.eye(8)).max() < 0.05


def test_missing_pixels_mirror_the_valid_ones_beyond_the_nearest():
    levels = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
    missing = np.array([[False, False, False, False, True, True, True, True]])
    assert filled(levels, missing)[0, :, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 0]
    assert filled(levels, ~missing)[0, :, 0].tolist() == [7, 7, 6, 5, 4, 5, 6, 7]
    assert filled(levels, np.zeros_like(missing)) is levels


def test_missing_pixels_leave_the_statistics_of_the_valid_ones():
    rng = np.random.default_rng(0)
    levels = np.clip(rng.normal(150, 20, (64, 64, 2)), 0, 255).astype(np.uint8)
    missing = np.add.outer(np.arange(64), np.arange(64)) > 64  # The slanted border of a scene.
    levels[missing] = 0
    full = filled(levels, missing)
    np.testing.assert_array_equal(full[~missing], levels[~missing])
    assert abs(full.mean() - levels[~missing].mean()) < 1 and abs(full.std() - levels[~missing].std()) < 1
