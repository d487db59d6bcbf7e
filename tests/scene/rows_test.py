import numpy as np
import pytest

from sar2opt_jax.scene.rows import Rows


@pytest.mark.parametrize("spill", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_what_was_appended_however_often_they_move(tmp_path, spill, axis):
    rng = np.random.default_rng(0)
    scene = rng.random((100, 2, 3)).astype(np.float32)
    expected = np.moveaxis(scene, 0, axis)
    rows = Rows((2, 3), capacity=12, axis=axis, start=5, spill=tmp_path if spill else None)
    while rows.stop < 100:
        stop = min(rows.stop + int(rng.integers(1, 6)), 100)
        new = slice(rows.stop, stop)
        rows.extend(stop)[...] = np.moveaxis(scene[new], 0, axis)
        held = slice(rows.start, rows.stop)
        np.testing.assert_array_equal(rows.view(held.start, held.stop), np.take(expected, range(100)[held], axis))
        rows.drop(rows.stop - int(rng.integers(0, 7)))
    assert not [*tmp_path.iterdir()]


def test_a_view_changes_what_is_held():
    rows = Rows((2,), capacity=4)
    rows.extend(4)[...] = 0
    rows.view(1, 2)[...] += 1
    assert rows.view(0, 4)[:, 0].tolist() == [0, 1, 0, 0]


def test_rows_that_are_not_held_and_too_many_are_refused():
    rows = Rows((1,), capacity=3)
    rows.extend(3)
    rows.drop(2)
    with pytest.raises(IndexError, match="rows 1 to 2 of those from 2 to 3"):
        rows.view(1, 2)
    with pytest.raises(IndexError, match="rows up to 6, of at most 3 from 2 on"):
        rows.extend(6)
