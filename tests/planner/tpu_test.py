"""The TPU compiler itself, on a toy network: takes minutes. `make plan-check` installs it and runs this file."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: make plan-check does"
)
TOY = (
    "--config=teacher:smoke", "--topology=v5e:2x2", "--config.data.image_size=16", "--config.model.widths=(8,)",
    "--config.model.attention=(False,)", "--config.model.norm_groups=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Runs the command in a process of its own, as libtpu wants it; the results are kept from one to the next."""
    folder = tmp_path_factory.mktemp("plan")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}

    def plan(*flags: str) -> tuple[int, str, str, dict]:
        output = folder / "plan.json"
        command = [sys.executable, "-m", "sar2opt_jax.plan", *TOY, f"--output={output}", *flags]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr, json.loads(output.read_text()) if output.exists() else {}

    return plan


def test_toy_is_compiled_for_a_slice(plan):
    status, printed, said, written = plan()
    assert status == 0, said
    assert printed.startswith("teacher:smoke on v5e:2x2: 4 x TPU v5 lite, 4 examples a step.")
    teacher, translation = written["programs"]
    usage = teacher["compiler"]
    assert 0 < usage["arguments"] < usage["peak"] < 2**30
    # Each gradient is four bytes, and is exchanged once; the two moments, the average and the parameters are arguments.
    gradients = usage["collectives"]["all-reduce"]
    assert usage["arguments"] > 4 * gradients and teacher["bytes_sent"] == pytest.approx(1.5 * gradients)
    assert 0.5 < usage["flops"] / teacher["flops"] < 3  # The compiler counts more than convolutions.
    assert teacher["most_examples_at_once"] > 1000 and translation["compiler"]["collectives"] == {}
    again = plan()
    assert again[2].count("compiled before") == 4 and again[3] == written


def test_batch_too_large_is_refused_by_the_compiler(plan):
    status, _, said, written = plan("--config.train.batch_size=4194304", "--largest_batch=none")
    assert status == 1 and not written["programs"][0]["fits"]
    assert "teacher does not fit: 1048576 examples at once take" in said and "--config.train.micro_batches=" in said


def test_slice_that_there_is_not_is_refused(plan):
    status, _, said, _ = plan("--topology=v5e:3x5")
    assert status == 1 and "--topology=v5e:3x5: the TPU compiler does not know this slice" in said
