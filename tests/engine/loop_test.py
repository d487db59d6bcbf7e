import errno
import itertools
import json
import logging
import os
import signal
import threading
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from tqdm import tqdm

from sar2opt_jax.engine import digests, loop, networks
from sar2opt_jax.engine.checkpoint import Checkpoints, SaveError
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.writer import make_writer

NUM_STEPS = 10


class DisturbedParallel(DataParallel):
    """Something happens to batch ``number``, counted from 1 in this process, before its step."""

    def disturb(self, number, action):
        self.number, self.action, self.count = number, action, itertools.count(1)

    def shard(self, batch):
        if next(self.count) == self.number:
            self.action(batch)
        return super().shard(batch)


def kill(*signals):
    return lambda batch: [os.kill(os.getpid(), number) for number in signals]


def spoil(batch):
    batch.optical[0] = np.nan


@pytest.fixture
def train(linear_stage, batches):
    """Trains in a workdir; ``disturb`` is (batch number, action)."""

    def train(workdir, *, disturb=(None, None), **changed):
        stage = linear_stage(optax.adam(0.05))
        parallel = DisturbedParallel(stage)
        parallel.disturb(*disturb)
        settings = {
            "num_steps": NUM_STEPS,
            "log_every_steps": 3,
            "preview_every_steps": 5,
            "validate_every_steps": 5,
            "save_every_steps": 4,
            "nonfinite": "stop",
            "initial": lambda: stage.init(jax.random.key(0)),
            "preview": lambda step, networks: np.full((8, 8, 3), 127, np.uint8),
            "validate": lambda step, state, networks: {},
            "explain": "How step {} came about.".format,
            **changed,
        }
        workdir.mkdir(exist_ok=True)
        with (
            Checkpoints(workdir / "linear" / "checkpoints", keep=2, meta={"stage": "linear"}) as checkpoints,
            make_writer(workdir, stage="linear") as writer,
        ):
            return loop.train(
                stage,
                name="linear",
                parallel=parallel,
                batches=batches(),
                checkpoints=checkpoints,
                writer=writer,
                rng=jax.random.key(1),
                **settings,
            )

    return train


@pytest.fixture
def undisturbed(train, tmp_path):
    """The workdir and export of a run from end to end."""
    return tmp_path / "undisturbed", train(tmp_path / "undisturbed")


def logged(workdir):
    """All logged lines, but for what the clock put in."""
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in loop.TIMED} for line in found]


def saved_steps(workdir, aside=None):
    names = {entry.name for entry in (workdir / "linear" / "checkpoints").iterdir()}
    return sorted(int(name) for name in names - {aside})


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def assert_same_run(workdir, export, undisturbed):
    assert_equal(export, undisturbed[1])
    assert logged(workdir) == logged(undisturbed[0])


def test_run_leaves_lines_previews_and_checkpoints(undisturbed):
    workdir, export = undisturbed
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 9]
    assert {"loss/linear", "grad_norm/unet", "skipped_steps", "steps_per_second"} <= lines[0].keys()
    np.testing.assert_allclose(lines[1]["examples_per_second"], 8 * lines[1]["steps_per_second"], rtol=1e-12)
    previews = sorted(entry.name for entry in (workdir / "previews").iterdir())
    assert previews == ["linear_0000005.png", "linear_0000010.png"]
    assert saved_steps(workdir) == [8, 10]
    assert_equal(networks.read(networks.newest(networks.as_directory(workdir / "linear" / "checkpoints")))[0], export)


def test_logged_value_is_the_mean_over_its_interval(train, tmp_path, undisturbed):
    train(tmp_path / "each", log_every_steps=1)
    each = [line["loss/linear"] for line in logged(tmp_path / "each")]
    means = [line["loss/linear"] for line in logged(undisturbed[0])]
    np.testing.assert_allclose(means, np.mean(np.reshape(each[:9], (3, 3)), axis=1), rtol=1e-12)


@pytest.mark.parametrize("number", [1, 4, 5, 6])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_saves_and_the_next_run_goes_on_to_the_bit(train, tmp_path, undisturbed, name, number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(loop.Interrupted, match=f"stage linear is saved at step {number}"):
        train(tmp_path / "run", disturb=(number, kill(getattr(signal, name))))
    assert saved_steps(tmp_path / "run")[-1] == number
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert_same_run(tmp_path / "run", train(tmp_path / "run"), undisturbed)


def test_goodput_leaves_out_what_is_no_training(monkeypatch):
    now, logged = [0.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    writer = SimpleNamespace(scalars=lambda step, values: logged.append((step, values)))
    meter = loop.Meter("linear", 2, writer, "stop", str, lambda steps_per_second: {"twice": 2 * steps_per_second})
    meter.show_in(tqdm(total=4, disable=True))

    def step(number):
        meter.add(number, {"loss": np.float32(1), "finite": np.float32(1)}, examples=8)
        now[0] += 1

    step(1)
    step(2)
    with meter.apart():
        now[0] += 3
    step(3)
    step(4)
    meter.catch_up()
    (_, first), (_, second) = logged
    assert (first["steps_per_second"], first["goodput"]) == (1, 1)
    assert (second["steps_per_second"], second["goodput"], second["twice"]) == (2 / 5, 2 / 5, 4 / 5)


def test_death_without_warning_resumes_to_the_bit(train, tmp_path, undisturbed):
    def die(batch):
        raise MemoryError

    with pytest.raises(MemoryError):
        train(tmp_path / "run", disturb=(8, die))
    assert [line["step"] for line in logged(tmp_path / "run")] == [3, 6]  # Step 6 is after the checkpoint of step 4.
    assert saved_steps(tmp_path / "run") == [4]
    assert_same_run(tmp_path / "run", train(tmp_path / "run"), undisturbed)


@pytest.mark.parametrize("step", [4, NUM_STEPS])
def test_preview_that_a_kill_prevented_is_made_by_the_next_run(train, tmp_path, step):
    def die(at, networks):
        if at == step:
            raise MemoryError
        return picture(at, networks)

    def picture(at, networks):
        return np.full((8, 8, 3), at, np.uint8)

    with pytest.raises(MemoryError):
        train(tmp_path, preview=die, preview_every_steps=4)
    train(tmp_path, preview=picture, preview_every_steps=4)
    found = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert found == [f"linear_{made:07d}.png" for made in (4, 8, NUM_STEPS)]


def test_checkpoint_knows_what_was_logged_last_however_often_the_run_was_stopped_since(train, tmp_path):
    for number in (7, 1):  # Stopped at step 7, and again one step later; step 5 is the last that was logged.
        with pytest.raises(loop.Interrupted):
            train(tmp_path, disturb=(number, kill(signal.SIGTERM)), log_every_steps=5)
    [line] = logged(tmp_path)
    for step in ("7", "8"):
        path = tmp_path / "linear" / "checkpoints" / step / "meta" / "metadata"
        known = json.loads(path.read_text())["progress"]["logged"]
        assert line == {"stage": "linear", "step": 5, **known}


def test_signal_in_the_last_step_keeps_later_stages_from_beginning(train, tmp_path, undisturbed):
    with pytest.raises(loop.Interrupted, match=f"saved at step {NUM_STEPS}"):
        train(tmp_path / "run", disturb=(NUM_STEPS, kill(signal.SIGTERM)))
    assert_same_run(tmp_path / "run", train(tmp_path / "run"), undisturbed)


def test_second_interrupt_leaves_at_once(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, disturb=(6, kill(signal.SIGINT, signal.SIGINT)))
    assert saved_steps(tmp_path) == [4]


def test_finished_stage_is_not_run_again(train, undisturbed):
    workdir, export = undisturbed
    written = (workdir / "metrics.jsonl").read_text()
    assert_equal(train(workdir, initial=pytest.fail, disturb=(1, pytest.fail)), export)
    assert (workdir / "metrics.jsonl").read_text() == written


def test_finished_stage_with_a_damaged_checkpoint_is_finished_again(train, undisturbed, caplog):
    workdir, export = undisturbed
    (workdir / "linear" / "checkpoints" / str(NUM_STEPS) / "meta" / "metadata").write_text("{}")
    written = logged(workdir)
    assert_equal(train(workdir), export)
    assert logged(workdir) == written
    assert saved_steps(workdir, aside=f"unreadable.{NUM_STEPS}") == [8, NUM_STEPS]
    assert "The last checkpoint of stage linear cannot be used" in caplog.text


@pytest.fixture
def disk_is_full(monkeypatch):
    """Fails every save of the given steps, in the background."""

    write = digests.write

    def fail(*steps):
        def write_digests(directory):
            if int(directory.name.split(".")[0]) in steps:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(directory)

        monkeypatch.setattr(digests, "write", write_digests)

    return fail


def test_full_disk_in_the_middle_changes_nothing(train, tmp_path, undisturbed, disk_is_full, caplog):
    disk_is_full(4)
    assert_same_run(tmp_path / "run", train(tmp_path / "run"), undisturbed)
    assert saved_steps(tmp_path / "run") == [8, 10]
    assert "could not be written: [Errno 28] No space left on device" in caplog.text


def test_full_disk_at_the_end_raises_and_the_next_run_goes_on(train, tmp_path, undisturbed, disk_is_full):
    disk_is_full(10)
    with pytest.raises(SaveError, match=r"The state of step 10 could not be saved .*No space left.* is of step 8;"):
        train(tmp_path / "run")
    assert saved_steps(tmp_path / "run") == [4, 8]
    disk_is_full()
    assert_same_run(tmp_path / "run", train(tmp_path / "run"), undisturbed)


def test_full_disk_at_a_signal_raises_instead_of_saying_that_all_is_saved(train, tmp_path, disk_is_full):
    disk_is_full(6)
    with pytest.raises(SaveError, match="The state of step 6 could not be saved"):
        train(tmp_path / "run", disturb=(6, kill(signal.SIGTERM)))


def test_run_that_is_already_longer_raises(train, undisturbed):
    with pytest.raises(ValueError, match=r"Stage linear stands at step 10 .* beyond num_steps \(6\)"):
        train(undisturbed[0], num_steps=6)


@pytest.mark.parametrize("what", ["log", "preview", "validate", "save"])
def test_number_of_steps_below_one_raises(train, tmp_path, what):
    with pytest.raises(ValueError, match=f"{what}_every_steps must be at least 1; got 0"):
        train(tmp_path, **{f"{what}_every_steps": 0})


def test_nonfinite_step_stops_the_run_before_it_is_saved(train, tmp_path):
    message = r"Stage linear, step 8: .* not finite.* How step 8 came about.*nonfinite=skip"
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, disturb=(8, spoil))  # Step 8 would be saved.
    assert saved_steps(tmp_path) == [4]


def test_nonfinite_step_is_skipped_where_asked_for(train, tmp_path, caplog):
    train(tmp_path / "run", nonfinite="skip", disturb=(2, spoil), log_every_steps=5)
    train(tmp_path / "each", nonfinite="skip", disturb=(2, spoil), log_every_steps=1)
    each, line = logged(tmp_path / "each"), logged(tmp_path / "run")[0]
    assert "loss/linear" not in each[1] and each[1]["skipped_steps"] == 1
    assert line["skipped_steps"] == 1
    np.testing.assert_allclose(line["loss/linear"], np.mean([each[i]["loss/linear"] for i in (0, 2, 3, 4)]), rtol=1e-12)
    assert "step 2: a loss or gradient is not finite" in caplog.text
    assert saved_steps(tmp_path / "run") == [8, 10]


def test_log_shows_loss_speed_and_time_left(train, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="sar2opt_jax"):
        train(tmp_path)
    shown = [record.getMessage() for record in caplog.records]
    assert shown[0].endswith("compiling the training step.") and " compiled in " in shown[1]
    assert len([line for line in shown if line.startswith("linear ")]) == 3
    assert all(part in shown[3] for part in ("linear 6/10: linear ", " steps/s, ", " left"))


def test_loop_runs_outside_the_main_thread(train, tmp_path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path / "run")))
    thread.start()
    thread.join()
    assert_equal(found[0], undisturbed[1])


def test_stage_has_its_say_when_it_is_finished(train, linear_stage, tmp_path, caplog, monkeypatch):
    said = []

    def remark(self, metrics):
        said.append(metrics)
        return "it learned next to nothing."

    monkeypatch.setattr(type(linear_stage()), "remark", remark, raising=False)
    with caplog.at_level(logging.WARNING):
        train(tmp_path / "run")
    assert "Stage linear: it learned next to nothing." in caplog.text
    assert len(said) == 1 and said[0]["loss/linear"] == logged(tmp_path / "run")[-1]["loss/linear"]
