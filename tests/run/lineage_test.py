"""Which checkpoints a config may use, on checkpoints that were never trained."""

import dataclasses
import json
import logging

import numpy as np
import pytest

from sar2opt_jax import export
from sar2opt_jax.description import Dataset, Description, ImageFormat, ScheduleSettings, UNetSettings
from sar2opt_jax.engine import networks
from sar2opt_jax.export import Export
from sar2opt_jax.run import lineage
from sar2opt_jax.run.lineage import Status

PLANNED = Description(
    stage="distill",
    kind="student",
    rank=3,
    unet=UNetSettings(widths=(8, 8), blocks_per_level=1, attention=(False, True), head_width=8, norm_groups=2),
    prediction="x_0",
    schedule=ScheduleSettings(name="linear", num_steps=100, rescale_zero_snr=False),
    consistency=None,
    radar=ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),)),
    optical=ImageFormat(bands=("red", "green", "blue")),
    image_size=32,
    dataset=Dataset(name="sen12", version="1.0.0", fingerprint="abc"),
    settings={
        "seed": 1,
        "train": {"batch_size": 4},
        "distill": {"loss": "l2", "dtype": "float32", "optimizer": {"learning_rate": 0.1}},
    },
    parent="teacher@8",
    preset="acd:sen12",
    step=10,
)


def write(workdir, *, step, about=PLANNED, **changes):
    about = dataclasses.replace(about, step=step, **changes)
    trained = {"unet": {"kernel": np.zeros(3, np.float32)}}
    export.save(workdir / about.stage / "checkpoints", Export(networks=trained, description=about))


def with_setting(name, value):
    settings = json.loads(json.dumps(PLANNED.settings))
    *groups, key = name.split(".")
    group = settings
    for part in groups:
        group = group[part]
    group[key] = value
    return {"settings": settings}


@pytest.mark.parametrize(("step", "status"), [(None, Status.NEW), (4, Status.HALFWAY), (10, Status.FINISHED)])
def test_checkpoints_of_the_same_recipe_are_used(tmp_path, step, status):
    if step is not None:
        write(tmp_path, step=step)
    found = lineage.stand(tmp_path, PLANNED)
    assert (found.status, found.step) == (status, step or 0)


OTHERS = {
    "distill.loss": (with_setting("distill.loss", "pseudo_huber"), "distill.loss = pseudo_huber .*this config has l2"),
    "schedule": (
        {"schedule": ScheduleSettings(name="cosine", num_steps=100, rescale_zero_snr=False)},
        "schedule.name = cosine .*this config has linear",
    ),
    "model": ({"prediction": "v"}, "model.prediction = v .*this config has x_0"),
    "data": (
        {"dataset": Dataset(name="sen12", version="1.0.0", fingerprint="other")},
        "the content of sen12 = fingerprint other .*this config has fingerprint abc",
    ),
    "parent": ({"parent": "another@8"}, "the parent export = another@8 .*this config has teacher@8"),
    "shorter parent": ({"parent": "teacher@9"}, "the parent export = teacher@9 .*this config has teacher@8"),
    "radar": (
        {"radar": ImageFormat(bands=("VV",), quantity="dB", limits=((-20.0, 0.0),))},
        r"the radar images' limits = \[\[-20.0, 0.0\]\] .*this config has \[\[-25.0, 0.0\]\]",
    ),
}


@pytest.mark.parametrize("step", [4, 10])
@pytest.mark.parametrize("what", OTHERS)
def test_checkpoints_of_another_recipe_are_refused_with_what_differs_and_the_ways_out(tmp_path, what, step):
    changes, message = OTHERS[what]
    write(tmp_path, step=step, **changes)
    with pytest.raises(ValueError, match=f"The workdir .* belongs to a run with {message}") as error:
        lineage.stand(tmp_path, PLANNED)
    for way_out in ("another --workdir", "go back to", f"move {tmp_path / 'distill'} away"):
        assert way_out in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 2), ("train.batch_size", 8), ("distill.optimizer.learning_rate", 0.2), ("distill.dtype", "bfloat16")],
)
def test_how_a_stage_is_trained_may_change_halfway_but_not_once_it_is_finished(tmp_path, name, value):
    write(tmp_path / "halfway", step=4, **with_setting(name, value))
    assert lineage.stand(tmp_path / "halfway", PLANNED).status is Status.HALFWAY
    write(tmp_path / "finished", step=10, **with_setting(name, value))
    with pytest.raises(ValueError, match=f"belongs to a run with {name} = {value} .*finished"):
        lineage.stand(tmp_path / "finished", PLANNED)


@pytest.mark.parametrize("step", [4, 10])
def test_a_parent_that_was_trained_on_makes_its_child_stale(tmp_path, step):
    write(tmp_path, step=step, parent="teacher@5")
    found = lineage.stand(tmp_path, PLANNED)
    assert found.status is Status.STALE
    assert found.reason == "it was trained from an export of 5 steps, which now has 8"


def test_more_steps_than_planned_are_refused(tmp_path):
    write(tmp_path, step=11)
    with pytest.raises(ValueError, match=r"Stage distill in .* is at step 11, beyond num_steps \(10\)"):
        lineage.stand(tmp_path, PLANNED)


def test_what_0_1_did_not_state_is_passed_over(tmp_path):
    model = {"prediction": "x_0", **PLANNED.to_json()["unet"]}
    meta = {"stage": "distill", "model": model, "schedule": PLANNED.to_json()["schedule"], "consistency": None}
    meta["image_size"] = 32
    networks.save(tmp_path / "distill" / "checkpoints", {"unet": {"w": np.zeros(1)}}, meta=meta, step=10)
    unitless = dataclasses.replace(PLANNED, radar=ImageFormat(bands=("VV",)))
    assert lineage.stand(tmp_path, unitless).status is Status.FINISHED
    cosine = ScheduleSettings(name="cosine", num_steps=100, rescale_zero_snr=False)
    with pytest.raises(ValueError, match=r"schedule\.name = linear"):
        lineage.stand(tmp_path, dataclasses.replace(unitless, schedule=cosine))


def test_settings_that_came_later_are_what_earlier_runs_did(tmp_path):
    meta = export.metadata(PLANNED)
    del meta["description"]["input_gain"], meta["description"]["settings"]["distill"]["loss"]
    networks.save(tmp_path / "distill" / "checkpoints", {"unet": {"w": np.zeros(1)}}, meta=meta, step=10)
    assert lineage.stand(tmp_path, PLANNED).status is Status.FINISHED
    with pytest.raises(ValueError, match=r"belongs to a run with model\.input_gain = none"):
        lineage.stand(tmp_path, dataclasses.replace(PLANNED, input_gain="wiener"))


def test_a_corrupt_newest_checkpoint_does_not_hide_what_the_others_are(tmp_path, caplog):
    write(tmp_path, step=4, **with_setting("distill.loss", "pseudo_huber"))
    newest = tmp_path / "distill" / "checkpoints" / "6"
    (newest / "meta").mkdir(parents=True)
    (newest / "meta" / "metadata").write_text("torn")
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match=r"distill\.loss = pseudo_huber"):
        lineage.stand(tmp_path, PLANNED)
    assert f"{newest} is corrupt" in caplog.text


def test_a_workdir_with_other_stages_is_refused(tmp_path):
    write(tmp_path, step=4)
    (tmp_path / "report").mkdir()
    lineage.check_stages(tmp_path, ("teacher", "distill"))
    lineage.check_stages(tmp_path / "nowhere", ("teacher",))
    with pytest.raises(
        ValueError, match=r"belongs to a run with stages = \['distill'\]; .*\['teacher', 'adversarial'\]"
    ):
        lineage.check_stages(tmp_path, ("teacher", "adversarial"))
    lineage.set_aside(tmp_path, "distill")
    lineage.check_stages(tmp_path, ("teacher", "adversarial"))
    (tmp_path / "distill.stale-1").rename(tmp_path / "of_last_week")
    lineage.check_stages(tmp_path, ("teacher", "adversarial"))


def test_setting_a_stage_aside_loses_nothing(tmp_path):
    for number in (1, 2):
        write(tmp_path, step=4)
        (tmp_path / "events" / "distill").mkdir(parents=True)
        lines = [json.dumps({"stage": stage, "step": number}) + "\n" for stage in ("teacher", "distill")]
        (tmp_path / "metrics.jsonl").write_text("".join([*lines, "torn"]))
        target = lineage.set_aside(tmp_path, "distill")
        assert target == tmp_path / f"distill.stale-{number}"
        assert (target / "checkpoints" / "4").is_dir() and (target / "events").is_dir()
        assert (target / "metrics.jsonl").read_text() == lines[1]
        assert not (tmp_path / "distill").exists()
