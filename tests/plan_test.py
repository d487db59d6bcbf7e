"""The command sar2opt plan, in processes of its own: what it prints and writes, and how it ends."""

import json
import os
import subprocess
import sys

import pytest

TINY = (
    "--config=teacher:smoke", "--topology=cpu", "--config.model.widths=(8,)", "--config.model.attention=(False,)",
    "--config.model.norm_groups=4",
)  # fmt: skip
TOO_LARGE = """
from sar2opt_jax import plan
from sar2opt_jax.planner import compiling

compiling._compile = lambda lowered: compiling.Usage(peak=20.0 * 2**30, capacity=15.75 * 2**30)
plan.run()
"""
"""The command, where every program is too large."""


def run(tmp_path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_plan_is_printed_and_written(tmp_path):
    done = run(tmp_path, "-m", "sar2opt_jax.plan", *TINY, f"--output={tmp_path / 'plan.json'}")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "plan.json").read_text())
    assert done.stdout.startswith("teacher:smoke on cpu: 4 x cpu, 4 examples a step.")
    assert [program["name"] for program in written["programs"]] == ["teacher", "translation, ddim in 50"]
    assert written["fits"] and written["programs"][0]["compiler"]["arguments"] > 0
    assert len([*(tmp_path / "cache" / "sar2opt-jax" / "plans").iterdir()]) == 2


def test_what_does_not_fit_ends_with_the_reason(tmp_path):
    done = run(tmp_path, "-c", TOO_LARGE, *TINY)
    assert done.returncode == 1 and "NO" in done.stdout
    assert "teacher does not fit: 1 examples at once take 20.00 GiB, a chip has 15.75." in done.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (
            "--topology=v5litepod-8",
            "ValueError: --topology=v5litepod-8 is no topology; expected cpu, gpu or",
        ),
        ("--output=gs://bucket/plan.json", "ValueError: --output: gs://bucket/plan.json is an address"),
        ("--config.train.batch_size=6", "ValueError: batch_size (6) must be divisible by the number of devices (4)"),
        ("--largest_batch=guessed", "should be one of <none|law|checked>"),
    ],
)
def test_mistakes_are_said_in_a_sentence(tmp_path, flag, said):
    done = run(tmp_path, "-c", TOO_LARGE, *TINY, flag)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "cache" / "sar2opt-jax" / "plans").exists()  # Said before anything is compiled.
