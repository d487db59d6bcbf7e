"""The wheel, installed into an environment of its own: every command works in an empty folder, without a checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SMALL = (
    "--config.model.widths=(8,)",
    "--config.model.attention=(False,)",
    "--config.train.save_every_steps=2",
    "--config.train.preview_every_steps=100",
    "--config.train.validate_every_steps=100",
    "--config.teacher.num_steps=2",
    "--config.distill.num_steps=2",
    "--config.evaluation.original_steps=2",
    "--config.evaluation.teacher_samplers=('ddim',)",
    "--config.evaluation.teacher_steps=(1,)",
    "--config.evaluation.student_steps=(1,)",
    "--config.evaluation.figure_steps=1",
    "--config.evaluation.lpips=()",
)
COMMANDS = ("train", "evaluate", "translate", "convert", "export", "prepare", "plan", "demo")


def ran(*command: str | Path, cwd: Path, env: dict[str, str], status: int = 0) -> str:
    """What a command says, to both streams."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    ran(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=ROOT, env=dict(os.environ))
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """A user with a home of his own, whose Python knows nothing of the checkout."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


@pytest.fixture(scope="module")
def bin_folder(wheel, env, tmp_path_factory) -> Path:
    """Of an environment with the wheel and, through a path file, the dependencies of this one, but not the checkout."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    ran(sys.executable, "-m", "venv", "--without-pip", place, cwd=ROOT, env=env)
    python = place / "bin" / "python"
    paths = {name: sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (found,) = place.glob("lib/python*/site-packages")
    (found / "dependencies.pth").write_text("\n".join(dict.fromkeys(paths.values())) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    ran(*pip, "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=place, env=env)
    return place / "bin"


@pytest.fixture(scope="module")
def folder(bin_folder, env, tmp_path_factory) -> Path:
    """An empty folder, in which a run was then trained."""
    empty = tmp_path_factory.mktemp("empty")
    said = ran(bin_folder / "sar2opt", "train", "--config=acd:smoke", *SMALL, cwd=empty, env=env)
    assert "The report is runs/acd-smoke/report/report.html" in said
    return empty


def test_wheel_holds_the_configs_and_nothing_at_the_top_but_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = {Path(name).name for name in names if name.startswith("sar2opt_jax/configs/")}
    assert shipped == {path.name for path in (ROOT / "configs").glob("*.py")}
    tops = {name.split("/")[0] for name in names}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"sar2opt_jax", "tfds_builders"}
    assert not [name for name in names if "__pycache__" in name]
    shipped = {name for name in names if name.startswith("sar2opt_jax/pretrained/")}
    assert shipped == {
        f"sar2opt_jax/pretrained/sen12-small/{name}" for name in ("description.json", "parameters.safetensors")
    }


def test_installed_package_is_not_the_checkout(bin_folder, env, tmp_path):
    code = "import sar2opt_jax, tfds_builders; print(sar2opt_jax.__file__); print(tfds_builders.__file__)"
    lines = ran(bin_folder / "python", "-c", code, cwd=tmp_path, env=env).splitlines()
    assert len(lines) == 2 and all(line.startswith(str(bin_folder.parent)) for line in lines)


def test_run_is_trained_evaluated_and_translates_in_an_empty_folder(bin_folder, env, folder):
    run = folder / "runs" / "acd-smoke"
    assert (run / "adversarial" / "checkpoints" / "2").is_dir()
    assert "Student" in (run / "report" / "report.html").read_text()
    Image.fromarray(np.full((20, 36), 99, np.uint8)).save(folder / "sar.png")
    flags = ("--model=runs/acd-smoke", "--input=sar.png", "--output=optical.png", "--steps=1")
    said = ran(bin_folder / "sar2opt", "translate", *flags, cwd=folder, env=env)
    assert "Translated 1 of 1 images to optical.png." in said
    with Image.open(folder / "optical.png") as optical:
        assert (optical.size, optical.mode) == ((36, 20), "RGB")


def test_datasets_are_known_to_tfds_once_the_package_is_imported(bin_folder, env, folder):
    code = """
import tfds_builders, tensorflow_datasets as tfds
print(len(tfds.data_source("simulated/tiny", split="test")), tfds.builder_cls("sen12").__module__)
"""
    said = ran(bin_folder / "python", "-c", code, cwd=folder, env=env)
    assert said.splitlines()[-1] == "16 tfds_builders.sen12.sen12_dataset_builder"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help(bin_folder, env, tmp_path, name):
    said = ran(bin_folder / "sar2opt", name, "--help", cwd=tmp_path, env=env)
    assert f"sar2opt {name} " in said
    assert len(said.splitlines()) < 80 and "absl" not in said


def test_config_of_a_checkout_is_run_by_its_path(bin_folder, env, tmp_path):
    said = ran(
        bin_folder / "sar2opt", "train", f"--config={ROOT}/configs/acd.py:smoke", "--help", cwd=tmp_path, env=env
    )
    assert "  name=simulated/tiny" in said


def test_config_of_ones_own_builds_on_the_shipped_values(bin_folder, env, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from configs.base import get_base\n\n\n"
        "def get_config():\n"
        '    config = get_base(name="mine", stages=("teacher",), preset="smoke")\n'
        "    config.train.batch_size = 12  # one a month\n"
        "    return config\n"
    )
    said = ran(bin_folder / "sar2opt", "train", "--config=mine.py", "--help", cwd=tmp_path, env=env)
    assert "batch_size=12                   one a month" in said


def test_command_without_arguments_says_what_to_do(bin_folder, env, tmp_path):
    said = ran(bin_folder / "sar2opt", cwd=tmp_path, env=env, status=2)
    assert all(f"sar2opt {name}" in said for name in COMMANDS)
    assert "sar2opt train --config=acd:smoke" in said
