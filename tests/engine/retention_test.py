import dataclasses
import datetime
import json

import pytest
from orbax.checkpoint import checkpoint_managers as policies

from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.retention import Policy, Retention

META = {"stage": "teacher"}
LOSSES = {10: 0.5, 20: 0.1, 30: 0.4, 40: 0.3, 50: 0.2, 60: 0.6}


@dataclasses.dataclass
class Info:
    step: int
    time: datetime.datetime = datetime.datetime.min
    metrics: None = None


def kept(retention, logged):
    """Which of some checkpoints stay when all of them are there at once."""
    infos = [Info(step) for step in sorted(logged)]
    stay = Policy(retention, logged).should_preserve(infos, context=policies.PreservationContext())
    return [info.step for info, stays in zip(infos, stay, strict=True) if stays]


def named(losses, name="loss/teacher"):
    return {step: {} if loss is None else {name: loss} for step, loss in losses.items()}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"newest": 2}, [50, 60]),
        ({"newest": 1, "every_steps": 20}, [20, 40, 60]),
        ({"newest": 1, "every_steps": 30, "best_metric": "loss/teacher"}, [20, 30, 60]),
        ({"newest": 1, "best_metric": "loss/teacher"}, [20, 60]),
        ({"newest": 1, "best_metric": "loss/teacher", "best": 3}, [20, 40, 50, 60]),
        ({"newest": 2, "best_metric": "loss/teacher", "best": 2}, [20, 50, 60]),
        ({"newest": 9, "best_metric": "loss/teacher"}, [10, 20, 30, 40, 50, 60]),
        ({"newest": 1, "best_metric": "loss/student", "best": 3}, [60]),
    ],
)
def test_checkpoint_stays_by_any_rule(rules, expected):
    assert kept(Retention(**rules), named(LOSSES)) == expected


def test_checkpoint_without_the_metric_is_not_among_the_best():
    rules = Retention(newest=1, best_metric="loss/teacher", best=2)
    assert kept(rules, named(LOSSES | {20: None, 50: None})) == [30, 40, 60]
    assert rules.best_of(named(LOSSES | {20: None})) == [50, 40]


def test_newer_of_equals_is_the_better():
    assert Retention(newest=1, best_metric="loss/teacher").best_of(named({1: 0.5, 2: 0.5, 3: 0.7})) == [2]


def test_what_cannot_be_read_stays():
    rules = Retention(newest=1, best_metric="loss/teacher")
    assert kept(rules, named(LOSSES) | {30: None}) == [20, 30, 60]


@pytest.mark.parametrize(
    ("field", "name"),
    [("newest", "keep_checkpoints"), ("every_steps", "keep_every_steps"), ("best", "keep_best_checkpoints")],
)
def test_keeping_none_raises(field, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        Retention(**{"newest": 1, field: 0})


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "teacher" / "checkpoints"


@pytest.fixture
def save(linear_stage, batches, directory):
    """Saves at some steps under a retention, each step's loss having been logged before; one start of a run."""

    def save(losses, **rules):
        stage, iterator = linear_stage(), batches()
        state = stage.init(None)
        with Checkpoints(directory, keep=Retention(**rules), meta=META) as checkpoints:
            for step, loss in losses.items():
                logged = {} if loss is None else {"logged": {"loss/teacher": loss, "grad_norm/unet": 1.0}}
                checkpoints.save(step, state, iterator, stage.export(state), progress=logged)
            checkpoints.wait()
            return checkpoints.best_step()

    return save


def steps_in(directory):
    return sorted(int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal())


BEST = {"newest": 1, "best_metric": "loss/teacher"}


def test_best_and_newest_stay_also_when_a_run_was_started_again(save, directory):
    assert save({1: 0.4, 2: 0.1, 3: 0.3}, **BEST) == 2
    assert steps_in(directory) == [2, 3]
    assert save({4: 0.5, 5: 0.2}, **BEST) == 2
    assert steps_in(directory) == [2, 5]
    assert save({6: 0.05, 7: 0.3}, **BEST) == 6
    assert steps_in(directory) == [6, 7]


def test_rule_that_is_added_later_knows_what_was_logged_before(save, directory):
    assert save({1: 0.4, 2: 0.1, 3: 0.3}, newest=3) is None
    assert save({4: 0.5}, **BEST) == 2
    assert steps_in(directory) == [2, 4]


def test_multiples_stay_for_good(save, directory):
    save(dict.fromkeys(range(1, 8)), newest=2, every_steps=3)
    assert steps_in(directory) == [3, 6, 7]
    save({8: None, 9: None}, newest=1, every_steps=3)
    assert steps_in(directory) == [3, 6, 9]


def test_metric_that_is_not_logged_is_said_once_and_keeps_nothing(save, directory, caplog):
    save({1: None, 2: 0.2, 3: 0.1}, newest=1, best_metric="loss/techer")
    assert steps_in(directory) == [3]
    said = [line for line in caplog.messages if "keep_best_metric" in line]
    assert said == [
        "keep_best_metric is 'loss/techer', which stage teacher has not logged; logged are: grad_norm/unet, "
        "loss/teacher. Its checkpoints are kept by the other rules alone."
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"progress": 3}', b"\xff"])
def test_best_whose_description_is_damaged_is_said_and_stays(save, directory, caplog, content):
    save({1: 0.1, 2: 0.2, 3: 0.3}, newest=1, best_metric="loss/teacher", best=2)
    path = directory / "1" / "meta" / "metadata"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    save({4: 0.4, 5: 0.5}, **BEST)
    assert steps_in(directory) == [1, 2, 5]
    assert f"{path} cannot be read" in caplog.text


def test_checkpoint_of_an_earlier_version_has_no_metric(save, directory):
    save({1: 0.1, 2: 0.2}, newest=2)
    path = directory / "1" / "meta" / "metadata"
    meta = json.loads(path.read_text())
    del meta["progress"]["logged"]
    path.write_text(json.dumps(meta))
    save({3: 0.4, 4: 0.5}, **BEST)
    assert steps_in(directory) == [2, 4]
