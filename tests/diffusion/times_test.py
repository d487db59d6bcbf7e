import collections

import numpy as np
import pytest

from sar2opt_jax.diffusion import times


def test_consistency_times_are_those_of_the_method():
    expected = {
        1: [999],
        2: [999, 499],
        4: [999, 759, 499, 259],
        8: [999, 879, 759, 639, 499, 379, 259, 139],
    }
    assert {n: times.consistency(1000, n)[0].tolist() for n in expected} == expected


@pytest.mark.parametrize("num_steps", range(1, 51))
def test_consistency_times_are_free_of_rounding(num_steps):
    t, _ = times.consistency(1000, num_steps)
    assert t.tolist() == [999 - 20 * (50 * j // num_steps) for j in range(num_steps)]


def test_solver_grid_is_every_twentieth_time():
    grid = times.solver_grid(1000, 50)
    assert grid.dtype == np.int32
    assert grid.tolist() == [20 * (i + 1) - 1 for i in range(50)]


@pytest.mark.parametrize(
    ("spacing", "num_steps", "expected"),
    [
        # The tables of arXiv 2305.08891 and the times that diffusers' schedulers list for T = 1000.
        ("trailing", 1, [999]),
        ("trailing", 5, [999, 799, 599, 399, 199]),
        ("trailing", 7, [999, 856, 713, 570, 428, 285, 142]),
        ("leading", 1, [0]),
        ("leading", 5, [800, 600, 400, 200, 0]),
        ("leading", 7, [852, 710, 568, 426, 284, 142, 0]),
        ("linspace", 1, [0]),
        ("linspace", 5, [999, 749, 500, 250, 0]),
        ("linspace", 7, [999, 832, 666, 500, 333, 166, 0]),
    ],
)
def test_spacings_are_those_of_diffusers(spacing, num_steps, expected):
    assert times.GRIDS[spacing](1000, num_steps)[0].tolist() == expected


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 50, 333, 667, 999, 1000])
def test_grids_descend_and_end_clean(spacing, num_steps):
    t, t_next = times.GRIDS[spacing](1000, num_steps)
    assert t.dtype == t_next.dtype == np.int32
    assert len(t) == len(t_next) == num_steps
    assert np.all(t_next < t) and t.min() >= 0 and t.max() <= 999
    assert t_next.tolist() == [*t[1:].tolist(), -1]
    if spacing == "trailing":
        assert t[0] == 999


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_as_many_steps_as_in_training_are_all_times(spacing):
    assert times.GRIDS[spacing](1000, 1000)[0].tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("num_steps", [0, 1001])
def test_impossible_numbers_of_steps_are_named(spacing, num_steps):
    with pytest.raises(ValueError, match=rf"number of sampling steps must be 1 to 1000; got {num_steps}\."):
        times.GRIDS[spacing](1000, num_steps)


@pytest.mark.parametrize("num_steps", [0, 51])
def test_a_student_takes_no_more_steps_than_its_grid_has(num_steps):
    with pytest.raises(ValueError, match=rf"A student takes 1 to 50 steps.*got {num_steps}\."):
        times.consistency(1000, num_steps)


def test_solver_steps_must_divide_the_schedule():
    with pytest.raises(ValueError, match=r"solver_steps \(30\) must divide the schedule's steps \(1000\)\."):
        times.solver_grid(1000, 30)


def test_direct_is_one_evaluation_at_time_zero():
    t, t_next = times.direct(1)
    assert (t.tolist(), t_next.tolist()) == ([0], [-1])
    for num_steps in (0, 2):
        with pytest.raises(ValueError, match=f"A one-step generator takes 1 step; got {num_steps}"):
            times.direct(num_steps)


def test_visits_share_a_draw_evenly_among_numbers_of_steps_and_then_among_their_times():
    found = dict(zip(times.solver_grid(1000, 50), times.visits(1000, (1, 2, 4), solver_steps=50), strict=True))
    expected = {999: 1 / 3 + 1 / 6 + 1 / 12, 499: 1 / 6 + 1 / 12, 759: 1 / 12, 259: 1 / 12}
    np.testing.assert_allclose(sum(found.values()), 1)
    for t, probability in found.items():
        np.testing.assert_allclose(probability, expected.get(t, 0), err_msg=str(t))


def test_visits_of_no_number_of_steps_are_refused():
    with pytest.raises(ValueError, match="must be at least one; got none"):
        times.visits(1000, ())


def test_histories_are_the_ways_that_lead_to_a_time_as_often_as_they_are_taken():
    before, ways = times.histories(1000, (1, 2, 4), solver_steps=50)
    assert before.shape == (50, 3, 3)
    np.testing.assert_allclose(ways.sum(axis=1), 1)
    found = {}
    for i, t in enumerate(times.solver_grid(1000, 50)):
        found[int(t)] = collections.Counter()
        for way in np.flatnonzero(ways[i]):
            found[int(t)][tuple(before[i, way][before[i, way] >= 0].tolist())] += ways[i, way]
    expected = {759: {(999,): 1}, 499: {(999,): 2 / 3, (999, 759): 1 / 3}, 259: {(999, 759, 499): 1}}
    for t, way in found.items():
        assert way == pytest.approx(expected.get(t, {(999,): 1})), t


def test_histories_end_where_the_times_of_a_sampler_stand():
    before, ways = times.histories(1000, (8,), solver_steps=50)
    visited, _ = times.consistency(1000, 8, solver_steps=50)
    for position, entry in enumerate(np.searchsorted(times.solver_grid(1000, 50), visited)):
        way = before[entry, 0]
        assert way[way >= 0].tolist() == visited[: max(position, 1)].tolist()
    assert before.shape == (50, 1, 7)
    assert np.all(ways == 1)


def test_histories_of_no_number_of_steps_are_refused():
    with pytest.raises(ValueError, match="must be at least one; got none"):
        times.histories(1000, ())
