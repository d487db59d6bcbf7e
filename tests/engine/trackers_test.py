"""Trackers of metrics, with stand-ins for their services."""

import itertools
import json
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from sar2opt_jax.engine import trackers

CONFIG = {"seed": 1, "train": {"batch_size": 2}}
IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in: the calls of ``init`` and of the run that it returns."""
    runs = itertools.count()
    service = mock.Mock()

    def init(**given):
        service.run.id = given["id"] or f"run{next(runs)}"
        return service.run

    service.init.side_effect = init
    monkeypatch.setitem(sys.modules, "wandb", service)
    return service


@pytest.fixture
def mlflow(monkeypatch):
    """A stand-in: the calls of its client."""
    client = mock.Mock()
    client.get_experiment_by_name.return_value = None
    client.create_experiment.return_value = "7"
    runs = itertools.count()
    client.create_run.side_effect = lambda *_, **__: SimpleNamespace(info=SimpleNamespace(run_id=f"run{next(runs)}"))
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: client))
    return client


def report(name, workdir, *, stage="teacher", values=None):
    (tracker,) = trackers.make((name,), workdir, stage=stage, config=CONFIG)
    tracker.resume(0)
    tracker.scalars(10, values or {"loss/teacher": np.float32(0.5), "bad": np.nan})
    tracker.image(20, IMAGE)
    tracker.close()


def test_wandb_is_told_metrics_previews_and_the_end(wandb, tmp_path):
    report("wandb", tmp_path / "acd")
    (call,) = wandb.init.call_args_list
    assert call.kwargs["project"] == "sar2opt" and call.kwargs["name"] == "acd-teacher"
    assert call.kwargs["id"] is None and call.kwargs["config"] == CONFIG
    assert wandb.run.log.call_args_list == [
        mock.call({"step": 10, "loss/teacher": 0.5}),
        mock.call({"step": 20, "preview": wandb.Image.return_value}),
    ]
    assert wandb.run.define_metric.call_args_list == [mock.call("*", step_metric="step")]
    assert wandb.run.finish.call_count == 1


def test_mlflow_is_told_metrics_previews_and_the_end(mlflow, tmp_path):
    report("mlflow", tmp_path / "acd")
    assert mlflow.create_run.call_args == mock.call("7", run_name="acd-teacher")
    assert mlflow.log_dict.call_args == mock.call("run0", CONFIG, "config.json")
    assert mlflow.log_metric.call_args_list == [mock.call("run0", "loss/teacher", 0.5, step=10)]
    assert mlflow.log_image.call_args.kwargs == {"artifact_file": "previews/0000020.png"}
    assert mlflow.set_terminated.call_args == mock.call("run0")


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_resumed_stage_goes_on_in_its_run_and_another_stage_has_its_own(wandb, mlflow, tmp_path, name):
    for stage in ("teacher", "teacher", "distill"):
        report(name, tmp_path, stage=stage)
    known = json.loads((tmp_path / "trackers.json").read_text())
    assert known == {f"{name}/teacher": "run0", f"{name}/distill": "run1"}
    if name == "wandb":
        assert [call.kwargs["id"] for call in wandb.init.call_args_list] == [None, "run0", None]
    else:
        assert [call.args[0] for call in mlflow.set_terminated.call_args_list] == ["run0", "run0", "run1"]


def test_service_that_fails_is_said_once_and_stops_nothing(mlflow, tmp_path, caplog):
    mlflow.log_metric.side_effect = ConnectionError("no route to host\nand so on")
    report("mlflow", tmp_path / "acd")
    assert caplog.messages == ["Nothing more of acd-teacher is sent to mlflow: no route to host"]
    assert mlflow.log_image.call_count == mlflow.set_terminated.call_count == 0


def test_unknown_service_and_missing_package_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"Unknown train.trackers 'comet'; known: wandb, mlflow"):
        trackers.check(("comet",))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"wandb needs its package: pip install 'sar2opt-jax\[wandb\]'"):
        trackers.check(("wandb",))
