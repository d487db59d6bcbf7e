"""The Slurm script: what it submits, and what the job does when it is told to stop."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "slurm.sh"
TRAINING = ("--config=configs/acd.py:sen12", "--workdir=/shared/it's here")

STEP = """#!/usr/bin/env bash
# In place of srun: a training that saves and leaves when it is told to, or ends by itself.
trap 'echo saved; exit 75' TERM
echo "step: $*"
echo started > "$(dirname "$0")/started"
if [[ ${ENDS:-} ]]; then exit "$ENDS"; fi
for _ in {1..600}; do sleep 0.05; done
"""


def run(fakes, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment |= {"PATH": fakes.path}
    return subprocess.run([SCRIPT, *arguments], env=kept | environment, capture_output=True, text=True, check=False)


@pytest.fixture
def cluster(fakes):
    """Commands of Slurm inside a job, of which squeue says that it is running."""
    for name in ("sbatch", "scontrol"):
        fakes.add(name)
    fakes.add("squeue", ("", 0, "RUNNING"))
    (fakes.folder / "srun").write_text(STEP)
    (fakes.folder / "srun").chmod(0o755)
    return fakes


def test_job_is_submitted_with_a_process_for_each_gpu(cluster):
    done = run(cluster, "--nodes=2", "--gpus_per_node=4", "--partition=gpu", "--", *TRAINING)
    assert done.returncode == 0, done.stderr
    (call,) = cluster.calls()
    sizes = ["--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--cpus-per-task=8", "--time=24:00:00"]
    assert call == ["sbatch", *sizes, "--partition=gpu", "launch/slurm.sh", *TRAINING]


def test_dry_run_prints_what_would_be_submitted(cluster):
    printed = run(cluster, "--dry_run", "--time=1:00:00", "--", *TRAINING).stdout
    assert cluster.calls() == []
    assert shlex.split(printed)[-3:] == ["launch/slurm.sh", *TRAINING]


def test_script_asks_for_a_signal_before_the_time_limit():
    options = [line.removeprefix("#SBATCH ") for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH ")]
    assert {"--requeue", "--signal=B:TERM@120", "--open-mode=append"} <= {*options}


def interrupted(cluster, *, state: str = "RUNNING") -> tuple[int, str]:
    """Status and output of a job whose batch shell is sent SIGTERM while it trains."""
    cluster.add("squeue", ("", 0, state))
    environment = os.environ | {"SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "8", "PATH": cluster.path}
    with subprocess.Popen(
        [SCRIPT, *TRAINING], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        deadline = time.monotonic() + 30
        while not (cluster.folder / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        said, _ = job.communicate(timeout=60)
    return job.returncode, said


def test_interrupted_training_saves_and_goes_into_the_queue_again(cluster):
    status, said = interrupted(cluster)
    assert status == 75 and "saved" in said and "goes into the queue again" in said
    assert "--cpus-per-task=8 .venv/bin/python -m sar2opt_jax.main --multihost --config=configs/acd.py:sen12" in said
    assert cluster.calls()[-1] == ["scontrol", "requeue", "77"]


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "PENDING", ""])
def test_cancelled_or_preempted_job_is_left_to_slurm(cluster, state):
    status, said = interrupted(cluster, state=state)
    assert status == 75 and "saved" in said
    assert [call[0] for call in cluster.calls()] == ["squeue"]


@pytest.mark.parametrize("ends", [0, 1])
def test_training_that_ends_by_itself_ends_the_job(cluster, ends):
    assert run(cluster, *TRAINING, SLURM_JOB_ID="77", ENDS=str(ends)).returncode == ends
    assert cluster.calls() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Flags of the training are missing, after --."),
        (("--nodes=2",), "Flags of the training are missing"),
        (("nodes=2", "--", "--config=acd"), "Unexpected 'nodes=2'; options of sbatch are written --NAME=VALUE"),
    ],
)
def test_bad_flags_are_refused(cluster, arguments, said):
    done = run(cluster, *arguments)
    assert done.returncode == 2 and said in done.stderr and cluster.calls() == []


def test_help_is_the_usage(cluster):
    done = run(cluster, "--help")
    assert done.returncode == 0 and "launch/slurm.sh [--nodes=1]" in done.stdout and "#" not in done.stdout
