import numpy as np
import pytest

from sar2opt_jax.report.verdict import verdict


def shift(result, metric: str, by: float) -> None:
    result.metrics[metric][:] += by


def test_a_better_student_is_told_against_all_it_must_beat(fabricate):
    found = verdict(fabricate([("ddpm", 1000), ("ddim", 4), ("generator", 1), ("lcm", 4)]))
    assert found.lead == "The student in 4 steps beats the original in 1,000 steps."
    assert found.text == (
        "By PSNR, SSIM, LPIPS and colour shift, the student in 4 steps beats the linear baseline in all of them; "
        "beats pix2pix in all of them; beats the original in 1,000 steps in all of them, at 250× its speed; "
        "beats DDIM in 4 steps in all of them (4 images, one training run; a difference counts where its 95% interval "
        "excludes zero)."
    )


@pytest.mark.parametrize(("sampler", "lead"), [("generator", "pix2pix wins."), (None, "The linear baseline wins.")])
def test_a_baseline_or_floor_that_wins_leads(fabricate, sampler, lead):
    results = fabricate([("ddpm", 1000), ("generator", 1), ("lcm", 4)])
    winner = results.linear if sampler is None else results.methods[1]
    for metric, by in (("psnr", 20), ("ssim", 0.3), ("lpips_alexnet", -0.3), ("colour_shift", -5)):
        shift(winner, metric, by)
    found = verdict(results)
    assert found.lead == lead
    assert "beats the original" in found.text


def test_a_tie_is_no_win(fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    original, student = results.methods
    for metric in student.metrics:
        student.metrics[metric][:] = original.metrics[metric] + np.array([-1, 1, -1, 1]) * 0.01
    found = verdict(results)
    assert found.lead == "The student in 4 steps is on a par with the original in 1,000 steps."
    assert "is not clearly different from the original in 1,000 steps in all of them" in found.text


def test_a_student_that_loses_falls_short(fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    student = results.methods[1]
    shift(student, "psnr", -1.5)
    shift(student, "ssim", -0.05)
    shift(student, "colour_shift", 0.7)
    found = verdict(results)
    assert found.lead == "The student in 4 steps falls short of the original in 1,000 steps."
    assert "beats the original in 1,000 steps in LPIPS and loses to it in PSNR, SSIM and colour shift" in found.text


@pytest.mark.parametrize("settings", [{"count": 1}, {"methods": []}])
def test_nothing_is_decided_without_a_basis(fabricate, settings):
    assert verdict(fabricate(**settings)).lead == "No verdict."
