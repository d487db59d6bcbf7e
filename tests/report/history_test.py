import json

import pytest

from sar2opt_jax.report import history


def write(path, *entries, rest: str = "") -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + rest)


def line(stage: str, step: int, **values) -> dict:
    return {"stage": stage, "step": step, **values}


def test_time_is_the_steps_over_their_logged_speeds(tmp_path):
    write(
        tmp_path / "metrics.jsonl",
        line("teacher", 10, steps_per_second=2.0),
        line("teacher", 30, steps_per_second=4.0, skipped_steps=1.0),
        line("adversarial", 8, skipped_steps=2.0),
    )
    teacher, adversarial = history.read(tmp_path / "metrics.jsonl")
    assert (teacher.name, teacher.steps, teacher.seconds, teacher.skipped) == ("teacher", 30, 10.0, 1)
    assert teacher.steps_per_second == pytest.approx(3.0)
    assert (adversarial.steps, adversarial.seconds, adversarial.steps_per_second) == (8, None, None)


def test_curves_are_losses_and_validation_by_step(tmp_path):
    losses = {"loss/a": 1.5, "grad_norm/unet": 3.0}
    validated = {"validation/psnr": 20.0, "validation/loss/a": 1.25}
    entries = [line("teacher", 4, **losses), line("teacher", 2, **losses), line("teacher", 4, **validated)]
    write(tmp_path / "metrics.jsonl", *entries, line("teacher", 6, **{"loss/a": None}))
    (teacher,) = history.read(tmp_path / "metrics.jsonl")
    assert teacher.curves == {"loss/a": {2: 1.5, 4: 1.5}, "validation/psnr": {4: 20.0}, "validation/loss/a": {4: 1.25}}


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    write(tmp_path / "metrics.jsonl", line("teacher", 1), {"step": 3}, rest='[1]\n{"stage": "teac')
    assert [stage.steps for stage in history.read(tmp_path / "metrics.jsonl")] == [1]
    assert history.read(tmp_path / "none.jsonl") == ()
