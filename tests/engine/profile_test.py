"""Traces of training steps: which are traced, and that a trace of real steps is written."""

import jax
import jax.numpy as jnp
import pytest

from sar2opt_jax.engine.profile import WARM_UP, Profile


@pytest.fixture
def calls(monkeypatch):
    """What the profiler and the loop are told, in order."""
    told = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda directory: told.append(("start", directory)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: told.append("stop"))
    return told


def run(profile, calls, *, steps):
    for done in range(steps):
        profile.before_step(done, lambda: calls.append("settled"))
        calls.append(done)
    profile.close(lambda: calls.append("settled"))


def test_steps_after_the_warm_up_are_traced_whole(calls, tmp_path):
    run(Profile(tmp_path, steps=2), calls, steps=WARM_UP + 4)
    begin, end = calls.index(("start", tmp_path)), calls.index("stop")
    assert calls[begin - 1] == calls[end - 1] == "settled"
    assert calls[begin + 1 : end - 1] == [WARM_UP, WARM_UP + 1]
    assert calls.count("stop") == 1


def test_trace_ends_with_a_run_that_is_shorter(calls, tmp_path):
    run(Profile(tmp_path, steps=5), calls, steps=WARM_UP + 2)
    assert calls[-2:] == ["settled", "stop"]


@pytest.mark.parametrize("steps", [3, WARM_UP])
def test_run_that_never_is_warm_is_not_traced(calls, tmp_path, steps):
    run(Profile(tmp_path, steps=5), calls, steps=steps)
    assert calls == list(range(steps))


def test_without_steps_nothing_is_traced(calls, tmp_path):
    run(Profile(None, steps=0), calls, steps=WARM_UP + 3)
    assert calls == list(range(WARM_UP + 3))


def test_profiler_writes_a_file_that_tensorboard_finds(tmp_path):
    profile = Profile(tmp_path, steps=1)
    for done in range(WARM_UP, WARM_UP + 2):
        profile.before_step(done, lambda: None)
        jax.block_until_ready(jnp.arange(4.0) + done)
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
