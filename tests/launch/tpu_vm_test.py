"""The commands of the TPU script, read as a shell reads them; gcloud itself is not needed."""

import json
import os
import shlex
import subprocess
import sys
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
    assert remote.index(" bucket /mnt/bucket") < remote.index(" other-bucket /mnt/other-bucket")
    assert remote.index("/mnt/other-bucket") < remote.index("sar2opt_jax.main")
    subprocess.run(["bash", "-n", "-c", remote], check=True)


def test_train_passes_overrides_unchanged():
    overrides = ["--config.model.widths=(32, 64)", "--config.data.name=it's", "--config.train.batch_size=64"]
    assert training_flags("--workdir=runs/acd", "--", *overrides)[-3:] == overrides


def test_dry_run_prints_what_would_run(tmp_path):
    stub = tmp_path / "gcloud"
    stub.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    stub.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    arguments = [*WHERE, "--workdir=gs://bucket/a b", "--", "--config.data.name=it's"]
    ran = launch("train", *arguments, PATH=path).stdout
    printed = launch("train", "--dry_run", *arguments).stdout
    pasted = subprocess.run(["bash", "-c", printed], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert json.loads(pasted.stdout) == json.loads(ran)


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
        ((), "Unknown command ''; known: create, setup, train"),
        (("run",), "Unknown command 'run'"),
        (("delete", "--zone=z"), "--name=VALUE is needed, or TPU_NAME"),
        (("delete", "--name=acd"), "--zone=VALUE is needed, or TPU_ZONE"),
        (("train", *WHERE), "--workdir=VALUE is needed, or TPU_WORKDIR"),
        (("delete", *WHERE, "--nmae=acd"), "Unknown option '--nmae=acd'"),
        (("delete", *WHERE, "--project", "p"), "Unknown option '--project'; options are written --name=VALUE"),
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
