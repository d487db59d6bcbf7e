"""Several processes on loopback are one run: the same result, one checkpoint, and none outlives another for long."""

import json
import shutil
import time

import driver
import harness
import pytest
import storage

FLAGS = {"steps": 6, "save_every": 2, "preview_every": 100, "seconds": 0.05}
SECONDS_TO_FALL = 30
"""A process that dies takes the rest with it after three missed heartbeats of the driver's ten seconds."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process with four devices leaves."""
    workdir = tmp_path_factory.mktemp("alone")
    harness.run_to_end(harness.driver(workdir, **FLAGS), environment=harness.with_devices(4))
    return harness.remains(workdir)


def test_two_processes_are_one_and_one_that_is_killed_takes_the_other_with_it(tmp_path, alone):
    workdir = tmp_path / "two"
    first, second = harness.start_several(workdir, processes=2, devices=2, **FLAGS)
    saved = workdir / "teacher" / "checkpoints"
    harness.wait_until((saved / "4").exists)
    second.kill()
    began = time.monotonic()
    assert first.wait(SECONDS_TO_FALL) != 0
    assert time.monotonic() - began < SECONDS_TO_FALL
    assert "examples [0, 1, 2, 3]" in first.lines and "examples [4, 5, 6, 7]" in second.lines

    shutil.copytree(workdir, tmp_path / "one")
    newest = max(int(entry.name) for entry in saved.iterdir() if entry.name.isdecimal())
    storage.flip(saved / str(newest) / "meta" / "metadata")
    for process in harness.start_several(workdir, processes=2, devices=2, **FLAGS):
        assert process.wait() == 0, process.said
    assert sorted(entry.name for entry in (workdir / "distill" / "checkpoints" / "6" / "data").glob("*.json")) == [
        "process_0-of-2.json",
        "process_1-of-2.json",
    ]
    assert (saved / f"unreadable.{newest}").exists()
    harness.assert_close(harness.remains(workdir, besides="unreadable.*"), alone)

    process = harness.run_to_end(harness.driver(tmp_path / "one", **FLAGS), environment=harness.with_devices(4))
    harness.assert_close(harness.remains(tmp_path / "one"), alone)
    assert examples_of(process) == list(range(8 * newest, 48)) + list(range(48))
    assert "2 process(es) with 4 device(s); now it is 1 with 4. The examples, their order and their" in process.said


def examples_of(*processes):
    """The positions of all examples that were trained on, in order."""
    lines = zip(*([line for line in p.lines if line.startswith("examples ")] for p in processes), strict=True)
    return [number for step in lines for line in step for number in json.loads(line.removeprefix("examples "))]


def test_run_of_one_process_goes_on_in_two_with_the_same_examples(tmp_path, alone):
    process = harness.Process(harness.driver(tmp_path, **FLAGS), environment=harness.with_devices(4))
    harness.wait_until((tmp_path / "teacher" / "checkpoints" / "2").exists)
    process.kill()
    newest = max(int(entry.name) for entry in (tmp_path / "teacher" / "checkpoints").glob("?"))
    several = harness.start_several(tmp_path, processes=2, devices=2, **FLAGS)
    for process in several:
        assert process.wait() == 0, process.said
    assert examples_of(*several) == list(range(8 * newest, 48)) + list(range(48))
    harness.assert_close(harness.remains(tmp_path), alone)


def test_checkpoint_that_one_of_two_processes_cannot_read_is_given_up_by_both(tmp_path, alone):
    workdir = tmp_path / "run"
    for process in harness.start_several(workdir, processes=2, devices=2, **FLAGS):
        assert process.wait() == 0, process.said
    shutil.rmtree(workdir / "distill")  # As if the run had been killed between its two stages.
    several = harness.start_several(workdir, processes=2, devices=2, unreadable="1:teacher/6", **FLAGS)
    statuses = [process.wait() for process in several]
    assert statuses == [0, 0], several[0].said + several[1].said
    saved = workdir / "teacher" / "checkpoints"
    for process in several:
        assert "The last checkpoint of stage teacher cannot be used: process 1: [Errno 5]" in process.said
        assert f"Checkpoint {saved / '6'} cannot be read: process 1: [Errno 5] Input/output error" in process.said
    assert (saved / "unreadable.6").is_dir()
    assert examples_of(*several) == list(range(32, 48)) + list(range(48))  # From step 4 on.
    harness.assert_close(harness.remains(workdir, besides="unreadable.*"), alone)


def test_notice_to_one_process_at_the_end_of_a_stage_stops_both_in_the_next(tmp_path, alone):
    flags = FLAGS | {"seconds": 0.3}
    several = harness.start_several(tmp_path, processes=2, devices=2, **flags)
    assert several[0].wait_for_step(6)  # The last one of the teacher.
    several[1].popen.terminate()
    statuses = [process.wait() for process in several]
    assert statuses == [driver.INTERRUPTED_STATUS] * 2, several[0].said + several[1].said
    harness.run_to_end(harness.driver(tmp_path, **FLAGS), environment=harness.with_devices(4))
    found = harness.remains(tmp_path)
    last = "distill/checkpoints/6"  # Beside it may be the one that the notice made.
    harness.assert_close(*({name: run[name] for name in run if name.startswith(last)} for run in (found, alone)))
    harness.assert_close(found["lines"], alone["lines"])
