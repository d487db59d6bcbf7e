import numpy as np
import pytest

from sar2opt_jax.evaluation.results import Quantity
from sar2opt_jax.report import selection


def quantity(better: str, digits: int = 2) -> Quantity:
    return Quantity(label="", better=better, digits=digits, meaning="")


@pytest.mark.parametrize(
    ("better", "values", "marks"),
    [
        ("higher", [1, 3, 2], [False, True, False]),
        ("lower", [1, 3, 2], [True, False, False]),
        ("one", [0.8, 1.1, 2.0], [False, True, False]),
        ("one", [0.9, 1.1, 2.0], [True, True, False]),
        ("higher", [20.001, 20.0, 19], [True, True, False]),  # A reader sees equal numbers.
        ("higher", [np.inf, 3, np.nan], [True, False, False]),
        ("lower", [None, 3, np.nan, 4], [False, True, False, False]),
        ("lower", [None, 3, np.nan], [False, False, False]),  # There is no choice.
    ],
)
def test_best_marks_what_a_reader_takes_for_the_best(better, values, marks):
    assert selection.best(values, quantity(better)) == marks


def test_images_are_ranked_by_lpips_where_it_was_measured(fabricate):
    results = fabricate()
    assert selection.ranking_key(results) == "lpips_alexnet"
    assert selection.ranked(results) == [0, 1, 2, 3]


def test_images_are_ranked_by_psnr_otherwise_and_perfect_ones_come_first(fabricate):
    results = fabricate(keys=("psnr", "sharpness"), psnr=[15, np.nan, np.inf, 18])
    assert selection.ranked(results) == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [("Only image", 1, 0)]),
        (2, [("Best", 1, 0), ("Worst", 2, 1)]),
        (3, [("Best", 1, 0), ("Median", 2, 1), ("Worst", 3, 2)]),
        (5, [("Best", 1, 0), ("Median", 3, 2), ("Worst", 5, 4)]),
    ],
)
def test_examples_are_best_median_and_worst(fabricate, count, expected):
    assert selection.examples(fabricate(count=count)) == expected


@pytest.mark.parametrize("count", range(1, 30))
def test_no_example_is_shown_twice(fabricate, count):
    positions = [position for _, _, position in selection.examples(fabricate(count=count))]
    assert len(set(positions)) == len(positions)


def test_the_few_that_stand_for_all(fabricate):
    results = fabricate([("ddpm", 1000), ("ddim", 1), ("ddim", 8), ("generator", 1), ("lcm", 1), ("lcm", 4)])
    chosen = [(r.sampler, r.num_steps) for r in selection.compared(results, figure_steps=8)]
    assert chosen == [("ddpm", 1000), ("ddim", 8), ("generator", 1), ("lcm", 4)]


def test_a_method_is_compared_with_ddim_at_its_own_steps(fabricate):
    rival = selection.fastest_rival(fabricate())
    assert (rival.sampler, rival.num_steps) == ("ddim", 4)
    assert selection.fastest_rival(fabricate([("ddim", 8), ("lcm", 4)])) is None


def test_a_student_of_many_steps_has_few_columns(fabricate):
    results = fabricate([("ddim", 8), *(("lcm", n) for n in (1, 2, 3, 4, 5, 8, 16, 50))])
    (_, teacher), (_, student) = selection.side_by_side(results, figure_steps=8)
    assert [r.num_steps for r in teacher] == [8]
    assert [r.num_steps for r in student] == [1, 2, 4, 8]
