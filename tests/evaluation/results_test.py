import numpy as np
import pytest

from sar2opt_jax.evaluation.results import Result, Results, series, steps_text
from sar2opt_jax.translator import Method


def result(sampler, steps, psnr, ms=None, *, kind=None, name="", **metrics):
    kind = kind or {None: "linear", "lcm": "student"}.get(sampler, "teacher")
    return Result(
        name=name or kind,
        kind=kind,
        method=Method(sampler=sampler, num_steps=steps) if sampler else None,
        metrics={"psnr": np.asarray(psnr, np.float32), **metrics},
        distances={"frechet_alexnet": 3.0},
        images=lambda positions: np.zeros((len(positions), 4, 4, 3), np.uint8),
        ms_per_image=ms,
    )


def results(*methods, count=4, **settings):
    def images(positions):
        return np.zeros((len(positions), 4, 4, 3), np.uint8)

    return Results(
        ids=[f"p{i}" for i in range(count)],
        groups={},
        sar=images,
        optical=images,
        image_size=(4, 4),
        truth_sharpness=settings.pop("truth_sharpness", np.full(count, 0.5)),
        linear=result(None, 0, np.full(count, 10.0)),
        methods=methods,
    )


def test_speed_up_is_against_the_ancestral_sampler_with_most_steps():
    short, long, student = result("ddpm", 10, [1] * 4, 2.0), result("ddpm", 100, [1] * 4, 30.0), result("lcm", 1, [1])
    found = results(short, long, student)
    assert found.original is long
    assert found.speed_up(long) == 1 and found.speed_up(short) == 15
    assert found.speed_up(found.linear) is None and found.speed_up(student) is None
    assert results(student).original is None and results(student).speed_up(student) is None


def test_titles_are_those_of_the_paper():
    short, long = result("ddpm", 10, [1] * 4), result("ddpm", 100, [1] * 4)
    found = results(short, long)
    assert [found.title(r) for r in found.all] == ["Linear baseline", "DDPM", "Original"]
    named = [("teacher", "teacher", "dpm_solver_pp"), ("old", "teacher", "ddim"), ("CD", "student", "lcm")]
    assert [series(*names) for names in named] == ["DPM++", "old, DDIM", "CD"]
    assert [series(name, "generator", "direct") for name in ("cyclegan", "pix2pix", "mine")] == [
        "CycleGAN", "pix2pix", "Mine",
    ]  # fmt: skip
    assert [steps_text(n) for n in (1, 2, 1000)] == ["1 step", "2 steps", "1,000 steps"]


def test_sharpness_is_relative_to_the_mean_of_the_truth():
    found = results(result("ddim", 1, [1] * 2, sharpness=np.array([0.1, 0.3])), count=2, truth_sharpness=[0.2, 0.6])
    (method,) = found.methods
    np.testing.assert_allclose(found.per_image(method, "sharpness"), [0.25, 0.75])
    assert found.value(method, "sharpness") == pytest.approx(0.5)
    flat = results(result("ddim", 1, [1] * 2, sharpness=np.ones(2)), count=2, truth_sharpness=[0.0, 0.0])
    assert np.isnan(flat.value(flat.methods[0], "sharpness"))


def test_value_is_a_mean_or_a_distance():
    found = results(result("ddim", 1, [1, 2, 3, 6]))
    (method,) = found.methods
    assert found.value(method, "psnr") == 3
    assert found.value(method, "psnr", where=[0, 3]) == 3.5
    assert found.value(method, "frechet_alexnet") == 3


def test_interval_holds_the_mean_of_normal_data_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        found = results(result("ddim", 1, rng.normal(5, 2, 40)), count=40)
        low, high = found.interval(found.methods[0], "psnr")
        hits += low <= 5 <= high
    assert 0.89 <= hits / 200 <= 0.98


def test_interval_of_a_difference_is_of_the_same_images():
    rng = np.random.default_rng(2)
    psnr = rng.normal(20, 5, 50)
    found = results(result("ddpm", 9, psnr), result("lcm", 1, psnr + 1), count=50)
    original, student = found.methods
    low, high = found.interval(student, "psnr", against=original)
    assert low == pytest.approx(1, abs=1e-4) and high == pytest.approx(1, abs=1e-4)
    wide = found.interval(student, "psnr")
    assert wide[1] - wide[0] > 1


def test_interval_of_sharpness_is_of_the_ratio_of_two_means():
    # Images that differ much in sharpness, each translated to exactly 0.8 of it: the ratio does not vary at all.
    truth = np.random.default_rng(3).uniform(0.01, 1, 40)
    found = results(result("ddim", 1, [1] * 40, sharpness=0.8 * truth), count=40, truth_sharpness=truth)
    assert found.interval(found.methods[0], "sharpness") == pytest.approx((0.8, 0.8))


def test_no_interval_where_there_is_none():
    found = results(result("ddpm", 1, [np.inf, 1, 2, 3]), result("ddim", 1, [np.inf, 1, 2, 3]))
    assert found.interval(found.methods[1], "psnr") is None
    assert found.interval(found.methods[1], "psnr", against=found.original) is None  # infinity - infinity
    assert found.interval(found.methods[0], "frechet_alexnet") is None
    alone = results(result("ddim", 1, [1]), count=1)
    assert alone.interval(alone.methods[0], "psnr") is None


def test_headline_is_a_student_near_four_steps_then_a_generator():
    teacher, generator = result("ddim", 4, [1] * 4), result("direct", 1, [1] * 4, kind="generator")
    students = [result("lcm", steps, [1] * 4) for steps in (1, 5, 50)]
    assert results(teacher, generator, *students).headline is students[1]
    assert results(teacher, generator).headline is generator
    assert results(teacher).headline is teacher
    assert results().headline.kind == "linear"


def test_quantities_are_those_that_were_measured():
    assert list(results().quantities) == ["psnr", "frechet_alexnet"]
