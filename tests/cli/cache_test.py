"""The compilation cache: where it is, that a second process compiles nothing, that a damaged entry does no harm."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest

from sar2opt_jax.cli import cache

PROGRAM = """
import jax
from sar2opt_jax.cli import cache

events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.rpartition("/")[2]))
cache.enable()
print(float(jax.jit(lambda x: jax.numpy.sin(x) * 3 + 1)(2.0)), jax.config.jax_compilation_cache_dir)
print(events.count("cache_hits"), events.count("cache_misses"))
"""
ANSWER = f"{3 * 0.9092974 + 1:.4f}"


@pytest.fixture
def env(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERS", "XLA"))}
    return kept | {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def run(env) -> tuple[str, str, int, int, str]:
    """The answer, the folder, hits, misses, and what was said to the standard error."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    answer, folder, hits, misses = done.stdout.split()
    assert f"{float(answer):.4f}" == ANSWER
    return answer, folder, int(hits), int(misses), done.stderr


def test_second_process_compiles_nothing(env, tmp_path):
    _, folder, hits, misses, _ = run(env)
    assert (hits, misses) == (0, misses) and misses > 0
    assert Path(folder) == tmp_path / "cache" / "sar2opt-jax" / "xla"
    assert Path(folder).stat().st_mode & 0o077 == 0  # Code is run from it.
    assert run(env)[2:4] == (misses, 0)


def test_folder_of_the_environment_takes_precedence(env, tmp_path):
    env["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "mine")
    assert run(env)[1] == str(tmp_path / "mine") and any((tmp_path / "mine").iterdir())
    assert not (tmp_path / "cache").exists()


def test_processes_share_a_folder(env):
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: run(env), range(3)))
    assert len({answer[:2] for answer in answers}) == 1
    assert run(env)[3] == 0


def test_half_written_entry_is_compiled_anew_once(env):
    _, folder, _, misses, _ = run(env)
    for entry in Path(folder).iterdir():
        entry.write_bytes(entry.read_bytes()[:-9])
    _, _, hits, _, said = run(env)
    assert hits == 0 and said == ""
    assert run(env)[2:4] == (misses, 0)


def test_folder_that_cannot_be_made_is_a_warning(env, tmp_path):
    (tmp_path / "cache").write_text("a file")
    _, folder, hits, misses, said = run(env)
    assert folder == "None" and hits == misses == 0
    assert "No compilation cache, every start compiles anew" in said and "JAX_COMPILATION_CACHE_DIR" in said


@pytest.mark.parametrize("given", ["", "relative/folder"])
def test_default_is_in_the_home_directory(given, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache.default() == tmp_path / ".cache" / "sar2opt-jax" / "xla"


def test_own_thresholds_stay(monkeypatch):
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "2")
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    cache.enable()
    assert "jax_persistent_cache_min_compile_time_secs" not in told


@pytest.mark.parametrize(("installed", "given", "level"), [((), None, "3"), ((), "0", "0"), (("libtpu",), None, None)])
def test_the_alarm_of_a_slow_compilation_is_silenced_on_a_cpu_alone(monkeypatch, installed, given, level):
    monkeypatch.setattr(cache.importlib.util, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", given or "")  # So that it is restored whatever it becomes.
    if given is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    cache.silence_alarm()
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == level
