"""A run killed at any moment, any number of times, ends as one that never was."""

import signal
import sys

import harness
import pytest
from harness import Kill

from sar2opt_jax.engine import lock
from tfds_builders.lock import FILE

FLAGS = {"seconds": 0.03}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run leaves that nothing happened to."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    harness.run_to_end(harness.driver(workdir, **FLAGS))
    return harness.remains(workdir)


def test_run_killed_three_times_is_the_undisturbed_run_to_the_bit(tmp_path, undisturbed):
    kills = [Kill(moment="write"), Kill(moment="step", count=7, seconds=0.01), Kill(moment="step", count=9)]
    deaths = harness.run_with_kills(harness.driver(tmp_path, **FLAGS), tmp_path, kills)
    assert all(death.early for death in deaths)
    found = harness.remains(tmp_path)
    assert harness.differences(found, undisturbed) == []
    for metric, expected in (("loss/tiny", (3, 6, 9, 12)), ("validation/mean", (5, 10, 12))):
        steps = [(line["stage"], line["step"]) for line in found["lines"] if metric in line]
        assert steps == [(stage, step) for stage in ("teacher", "distill") for step in expected]
    pictures = [name for name in found if name.startswith("previews/")]
    assert pictures == [f"previews/{stage}_{step:07d}.png" for stage in ("distill", "teacher") for step in (5, 10, 12)]
    assert list(tmp_path.glob(harness.TORN)) == []


def test_second_run_in_a_workdir_is_refused_and_a_killed_one_gives_the_lock_back(tmp_path):
    first = harness.Process(harness.driver(tmp_path, seconds=0.5))
    try:
        assert first.wait_for_step(1)
        second = harness.Process(harness.driver(tmp_path))
        assert second.wait() == 1
        assert f"Another run is at work in {tmp_path} (process {first.popen.pid} on " in second.said
        assert first.popen.poll() is None
    finally:
        first.kill()
    assert first.popen.returncode == -signal.SIGKILL
    harness.run_to_end(harness.driver(tmp_path))


def test_command_says_in_one_sentence_that_the_workdir_is_taken(tmp_path):
    flags = ["--config=configs/acd.py:smoke", f"--config.data.data_dir={tmp_path / 'data'}"]
    with lock.hold(tmp_path / "run"):
        process = harness.Process([sys.executable, "-m", "sar2opt_jax.main", *flags, f"--workdir={tmp_path / 'run'}"])
        assert process.wait() == 1
    assert process.said.splitlines()[-1].startswith(f"WorkdirError: Another run is at work in {tmp_path / 'run'} (")
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [FILE]
