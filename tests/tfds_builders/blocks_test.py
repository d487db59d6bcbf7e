import numpy as np
import pytest

from tfds_builders.pairs import blocks

TRAIN, VALIDATION, TEST = range(3)


def grid(rows, columns, *, step=1.0):
    row, column = np.mgrid[:rows, :columns]
    return step * np.stack([column.ravel(), row.ravel()], axis=-1) + 0.5


def gap(centres, labels):
    """Between the nearest tiles of two splits, in tiles."""
    apart = np.abs(centres[:, None] - centres[None]).max(axis=-1) - 1
    kept = labels < blocks.LEFT_OUT
    return apart[(labels[:, None] != labels[None]) & kept[:, None] & kept[None]].min()


@pytest.mark.parametrize(
    ("rows", "columns", "step"), [(3, 3, 1), (4, 4, 1), (1, 5, 1), (8, 8, 1), (30, 20, 1), (15, 15, 0.5), (20, 9, 0.3)]
)
def test_tiles_of_two_splits_are_a_tile_apart(rows, columns, step):
    centres = grid(rows, columns, step=step)
    found = blocks.deal(centres, size=1.0, name="porto")
    assert {TRAIN, VALIDATION, TEST} <= set(found.labels.tolist())
    assert gap(centres, found.labels) >= 1 - 1e-6


@pytest.mark.parametrize(("rows", "columns"), [(30, 20), (24, 60)])
def test_large_ground_is_shared_eight_to_one_to_one(rows, columns):
    found = blocks.deal(grid(rows, columns), size=1.0, name="porto")
    share = np.bincount(found.labels, minlength=4) / (rows * columns)
    assert share[TRAIN] >= 0.64 and share[VALIDATION] >= 0.08 and share[TEST] >= 0.08
    assert share[blocks.LEFT_OUT] < 0.2
    # Several blocks, from all over the ground.
    assert np.ptp(grid(rows, columns)[found.labels == TEST], axis=0).max() > 3 * found.side


def test_only_tiles_that_are_there_count():
    """A scene that was turned on its grid is a diamond: its corners hold no tiles."""
    centres = grid(24, 24)
    centres = centres[np.abs(centres - 12).sum(axis=1) < 12]
    share = np.bincount(blocks.deal(centres, size=1.0, name="porto").labels, minlength=4) / len(centres)
    assert min(share[VALIDATION], share[TEST]) > 0.05 and share[TRAIN] > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 4), (2, 3)])
def test_too_few_tiles_are_not_divided(shape):
    assert blocks.deal(grid(*shape), size=1.0, name="porto") is None


def test_deal_depends_on_ground_and_name_alone():
    centres = grid(12, 12)
    first = blocks.deal(centres, size=1.0, name="porto").labels
    order = np.random.default_rng(0).permutation(len(centres))
    np.testing.assert_array_equal(blocks.deal(10 * centres[order] - 70, size=10.0, name="porto").labels, first[order])
    assert (blocks.deal(centres, size=1.0, name="lagos").labels != first).any()


def test_tiles_of_one_place_stay_together():
    centres = np.concatenate([grid(6, 6), grid(6, 6)])
    labels = blocks.deal(centres, size=1.0, name="porto").labels
    np.testing.assert_array_equal(labels[:36], labels[36:])
