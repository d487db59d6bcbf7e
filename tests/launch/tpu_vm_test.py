"""The commands of the TPU script, as a shell reads them, and what it makes of the answers of a stand-in for gcloud."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "tpu_vm.sh"
WHERE = ("--name=acd", "--zone=us-west4-a")


def launch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TPU_")}
    return subprocess.run([SCRIPT, *arguments], env=kept | environment, capture_output=True, text=True, check=False)


def dry_run(command: str, *options: str, **environment: str) -> list[list[str]]:
    """The words of every command that would run."""
    done = launch(command, "--dry_run", *options, **environment)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def remote_command(command: list[str]) -> str:
    """What a gcloud command runs on the workers."""
    (found,) = [word.removeprefix("--command=") for word in command if word.startswith("--command=")]
    return found


def training_flags(*arguments: str) -> list[str]:
    """What the training would read as its flags."""
    (command,) = dry_run("train", *WHERE, *arguments)
    words = shlex.split(remote_command(command))
    flags = words[words.index("sar2opt_jax.main") + 1 :]
    return flags[: flags.index(">")]


READY, LOST = "tpu-vm describe", ("tpu-vm describe", 1, "ERROR: (gcloud) NOT_FOUND: Resource 'acd' was not found")
BUCKET = "--workdir=gs://bucket/acd"


def watch(fakes, *options, **environment) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Watches a slice; what gcloud was asked to do, by the words that tell one step from another."""
    done = launch("watch", *WHERE, *options, PATH=fakes.path, TPU_POLL_SECONDS="0", **environment)
    steps = []
    for _, *words in fakes.calls():
        line = " ".join(words)
        names = ("describe", "create", "delete", "scp", "pgrep", "uv venv", "sar2opt_jax.main")
        steps.append(next((name for name in names if name in line), line))
    return done, steps


def test_create_names_slice_and_place():
    gcloud = ["gcloud", "compute", "tpus", "tpu-vm", "create", "acd"]
    (default,) = dry_run("create", *WHERE)
    kind = ["--accelerator-type=v5litepod-8", "--version=v2-alpha-tpuv5-lite"]
    assert default == [*gcloud, *kind, "--zone=us-west4-a"]
    (chosen,) = dry_run("create", *WHERE, "--accelerator=v6e-16", "--version=v2-alpha-tpuv6e", "--spot", "--project=p")
    kind = ["--accelerator-type=v6e-16", "--version=v2-alpha-tpuv6e", "--spot"]
    assert chosen == [*gcloud, *kind, "--zone=us-west4-a", "--project=p"]


def test_setup_sends_the_commit_to_all_workers():
    _, bundle, copy, install = dry_run("setup", *WHERE)
    assert bundle[:3] == ["git", "bundle", "create"]
    assert bundle[-2] == copy[copy.index("scp") + 1]
    assert "--worker=all" in copy and "--worker=all" in install
    words = shlex.split(remote_command(install))
    assert words[-5:] == [".venv/bin/python", "-c", "constraints.txt", "-e", ".[tpu]"]
    assert ">=3.11" in words  # Quoted: not a redirection.


def test_train_runs_on_all_workers():
    (command,) = dry_run("train", *WHERE, "--workdir=runs/acd")
    assert "--worker=all" in command
    flags = training_flags("--workdir=runs/acd")
    assert flags == ["--config=configs/acd.py:sen12", "--workdir=runs/acd", "--multihost"]


def test_train_mounts_buckets():
    folders = ("--workdir=gs://bucket/runs/acd", "--data_dir=gs://other-bucket/datasets")
    assert training_flags(*folders)[1:] == [
        "--workdir=/mnt/bucket/runs/acd",
        "--multihost",
        "--config.data.data_dir=/mnt/other-bucket/datasets",
    ]
    (command,) = dry_run("train", *WHERE, *folders)
    remote = remote_command(command)
    assert remote.index("mount_bucket.sh bucket") < remote.index("mount_bucket.sh other-bucket")
    assert remote.index("mount_bucket.sh other-bucket") < remote.index("sar2opt_jax.main")
    subprocess.run(["bash", "-n", "-c", remote], check=True)


def test_train_passes_overrides_unchanged():
    overrides = ["--config.model.widths=(32, 64)", "--config.data.name=it's", "--config.train.batch_size=64"]
    assert training_flags("--workdir=runs/acd", "--", *overrides)[-3:] == overrides


def test_training_leaves_its_status(tmp_path):
    """What runs on a worker, run here: the log, the status, and each flag as it was given."""
    (command,) = dry_run("train", *WHERE, "--workdir=runs/acd", "--", "--config.data.name=it's $HOME")
    (tmp_path / "sar2opt_jax" / ".venv" / "bin").mkdir(parents=True)
    training = tmp_path / "sar2opt_jax" / ".venv" / "bin" / "python"
    # The status of a training before it would end a watch at once.
    training.write_text('#!/bin/sh\nfor word; do echo "$word"; done\ntest -e ../train.status || exit 75\n')
    training.chmod(0o755)
    (tmp_path / "train.status").write_text("0")
    subprocess.run(["bash", "-c", f"{remote_command(command)}; wait"], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "train.status").read_text() == "75\n"
    assert (tmp_path / "train.log").read_text().splitlines()[-1] == "--config.data.name=it's $HOME"


def test_dry_run_prints_what_would_run(fakes):
    fakes.add("gcloud")
    arguments = [*WHERE, "--workdir=gs://bucket/a b", "--", "--config.data.name=it's"]
    printed = launch("train", "--dry_run", *arguments).stdout
    subprocess.run(["bash", "-c", printed], env={"PATH": fakes.path}, check=True)
    launch("train", *arguments, PATH=fakes.path)
    pasted, ran = fakes.calls()
    assert pasted == ran


def test_queued_slice_is_a_queued_resource():
    (created,) = dry_run("create", *WHERE, "--queued", "--reserved")
    assert created[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "acd"]
    kind = ["--node-id=acd", "--accelerator-type=v5litepod-8", "--runtime-version=v2-alpha-tpuv5-lite", "--reserved"]
    assert created[6:] == [*kind, "--zone=us-west4-a"]
    (deleted,) = dry_run("delete", *WHERE, TPU_QUEUED="true")
    assert deleted[3:] == ["queued-resources", "delete", "acd", "--force", "--quiet", "--zone=us-west4-a"]
    (asked,) = dry_run("state", *WHERE, "--queued")
    assert asked[3:6] == ["queued-resources", "describe", "acd"] and "--format=value(state.state)" in asked


@pytest.mark.parametrize(
    ("answer", "said", "status"),
    [
        ((0, "READY"), "READY\n", 0),
        ((1, "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource was not found"), "", 0),
        ((1, "ERROR: (gcloud) There was a problem refreshing your current auth tokens"), "", 2),
    ],
)
def test_state_tells_a_missing_slice_from_a_failure(fakes, answer, said, status):
    fakes.add("gcloud", ("describe", *answer))
    done = launch("state", *WHERE, PATH=fakes.path)
    assert (done.stdout, done.returncode) == (said, status)
    assert status == 0 or "auth tokens" in done.stderr


def test_watch_creates_sets_up_and_trains_to_the_end(fakes):
    fakes.add("gcloud", LOST, (READY, 0, "CREATING"), (READY, 0, "READY"), ("pgrep", 0, ""), ("pgrep", 0, "running"),
              ("pgrep", 0, "0"))  # fmt: skip
    done, steps = watch(fakes, BUCKET, "--spot")
    assert done.returncode == 0, done.stderr
    assert steps == ["describe", "create", "describe", "describe", "pgrep", "scp", "uv venv", "sar2opt_jax.main",
                     "describe", "pgrep", "describe", "pgrep"]  # fmt: skip
    assert "--spot" in fakes.calls()[1] and "results are in gs://bucket/acd" in done.stderr


@pytest.mark.parametrize(("queued", "lost"), [(False, "PREEMPTED"), (True, "SUSPENDED")])
def test_watch_creates_a_preempted_slice_again(fakes, queued, lost):
    describe = "queued-resources describe" if queued else "tpu-vm describe"
    ready = "ACTIVE" if queued else "READY"
    states = (ready, ready, lost, "NOT_FOUND", ready)
    fakes.add(
        "gcloud",
        *((describe, int(state == "NOT_FOUND"), state) for state in states),
        *(("pgrep", status, said) for status, said in ((0, "running"), (255, "connection lost"), (0, ""), (0, "0"))),
    )
    done, steps = watch(fakes, BUCKET, *(["--queued"] if queued else []))
    assert done.returncode == 0, done.stderr
    recreated = ["describe", "delete", "describe", "create", "describe", "pgrep", "scp", "uv venv", "sar2opt_jax.main"]
    assert steps == ["describe", "pgrep", "describe", "pgrep", *recreated, "describe", "pgrep"]
    made, deleted = ([call for call in fakes.calls() if name in call] for name in ("create", "delete"))
    assert {call[3] for call in (*made, *deleted)} == {"queued-resources" if queued else "tpu-vm"}
    # Both trainings are the same command: the second resumes from the bucket.
    assert "--workdir=/mnt/bucket/acd" in " ".join(
        next(call for call in fakes.calls() if "sar2opt_jax.main" in call[-2])
    )


def test_watch_trains_again_what_was_told_to_stop(fakes):
    fakes.add("gcloud", (READY, 0, "READY"), ("pgrep", 0, "75"), ("pgrep", 0, "0"))
    done, steps = watch(fakes, BUCKET)
    assert done.returncode == 0 and steps == ["describe", "pgrep", "sar2opt_jax.main", "describe", "pgrep"]


def test_watch_ends_with_the_status_of_a_training_that_fails(fakes):
    fakes.add("gcloud", (READY, 0, "READY"), ("pgrep", 0, "1"))
    done, steps = watch(fakes, BUCKET)
    assert done.returncode == 1 and steps == ["describe", "pgrep"] * 2  # Twice, in case the slice is on its way out.
    assert "The training failed with status 1" in done.stderr


def test_watch_stops_where_a_step_fails(fakes):
    fakes.add("gcloud", (READY, 0, "READY"), ("pgrep", 0, ""), ("scp", 3, "no space left"))
    done, steps = watch(fakes, BUCKET)
    assert done.returncode == 3 and steps == ["describe", "pgrep", "scp"]


def test_watch_needs_a_bucket():
    done = launch("watch", *WHERE, "--workdir=runs/acd")
    assert done.returncode == 2 and "a preempted slice is lost with its disks" in done.stderr


def test_dry_run_of_watch_prints_a_slice_from_creation_to_training():
    commands = dry_run("watch", *WHERE, BUCKET, "--queued", "--spot")
    assert [command[0] for command in commands] == ["gcloud", "gcloud", "mkdir", "git", *["gcloud"] * 4]
    assert all(command[-1] == "--zone=us-west4-a" for command in commands if command[0] == "gcloud")


@pytest.mark.parametrize(
    ("workdir", "source"),
    [
        ("runs/acd", "acd:sar2opt_jax/runs/acd"),
        ("/data/acd", "acd:/data/acd"),
        ("gs://bucket/acd", "gs://bucket/acd"),
    ],
)
def test_fetch_copies_from_where_the_workdir_is(workdir, source):
    _, copy = dry_run("fetch", *WHERE, f"--workdir={workdir}")
    assert copy[copy.index(source) + 1] == "runs/"


def test_environment_stands_in_for_options():
    given = {"TPU_NAME": "acd", "TPU_ZONE": "us-west4-a", "TPU_WORKDIR": "runs/acd"}
    assert dry_run("train", **given) == dry_run("train", *WHERE, "--workdir=runs/acd")
    (command,) = dry_run("delete", "--name=mine", **given)
    assert command[4:6] == ["delete", "mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Unknown command ''; known: watch, create, state, setup, train"),
        (("run",), "Unknown command 'run'"),
        (("delete", "--zone=z"), "--name=VALUE is needed, or TPU_NAME"),
        (("delete", "--name=acd"), "--zone=VALUE is needed, or TPU_ZONE"),
        (("train", *WHERE), "--workdir=VALUE is needed, or TPU_WORKDIR"),
        (("delete", *WHERE, "--nmae=acd"), "Unknown option '--nmae=acd'"),
        (("delete", *WHERE, "--project", "p"), "Unknown option '--project'; options are written --name=VALUE"),
        (("create", *WHERE, "--spot", "--reserved"), "--spot and --reserved exclude each other"),
        (("train", *WHERE, "--config.seed=1"), "flags of the training come after --"),
    ],
)
def test_bad_flags_are_refused(arguments, message):
    done = launch(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout


def test_help_is_the_usage():
    done = launch("--help")
    assert done.returncode == 0
    assert "launch/tpu_vm.sh create --name=NAME" in done.stdout
