"""Several processes on loopback are one run: the same result, one checkpoint, and none outlives another for long."""

import shutil
import time

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

    harness.run_to_end(harness.driver(tmp_path / "one", **FLAGS), environment=harness.with_devices(4))
    harness.assert_close(harness.remains(tmp_path / "one"), alone)
