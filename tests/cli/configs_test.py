"""Configs by name and by file, and whose values they are built on."""

import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from sar2opt_jax.cli import configs

ROOT = Path(__file__).parents[2]
BASE = """
from ml_collections import ConfigDict


def get_base(*, name):
    return ConfigDict({"name": name, "size": SIZE})
"""
OWN = """
from configs.base import get_base


def get_config(preset="none"):
    config = get_base(name="own")
    config.preset = preset
    return config
"""


def write(folder: Path, *, size: int | None, own: str = OWN) -> Path:
    """A config, with a base of its own unless its size is None."""
    folder.mkdir(parents=True, exist_ok=True)
    if size is not None:
        (folder / "base.py").write_text(BASE.replace("SIZE", str(size)))
    (folder / "own.py").write_text(own)
    return folder / "own.py"


def test_names_are_those_of_the_checkout():
    assert configs.shipped() == ROOT / "configs"
    assert configs.names() == ["acd", "cyclegan", "distill", "pix2pix", "teacher"]


@pytest.mark.parametrize("text", ["acd:smoke", f"{ROOT}/configs/acd.py:smoke"])
def test_name_and_file_give_the_same_config(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configs.load(text).config
    assert (config.name, config.preset, config.data.name) == ("acd", "smoke", "simulated/tiny")


def test_config_without_a_preset_has_its_default():
    assert configs.load("acd").config.preset == "simulated"


def test_file_in_a_folder_of_configs_takes_the_base_beside_it(tmp_path):
    # Another checkout's, while this one's base is imported already.
    config = configs.load(f"{write(tmp_path / 'configs', size=3)}:two").config
    assert (config.size, config.preset) == (3, "two")


def test_file_elsewhere_takes_the_base_of_the_working_directory_and_not_the_one_beside_it(tmp_path, monkeypatch):
    write(tmp_path / "configs", size=4)
    path = write(tmp_path / "experiments", size=5)
    monkeypatch.chdir(tmp_path)
    assert configs.load(str(path)).config.size == 4


def test_file_elsewhere_takes_the_shipped_base(tmp_path, monkeypatch):
    own = OWN.replace('get_base(name="own")', 'get_base(name="own", stages=(), preset="smoke")')
    monkeypatch.chdir(tmp_path)
    assert configs.load(str(write(tmp_path, size=None, own=own))).config.train.batch_size == 4


def test_imported_configs_stay_as_they_were(tmp_path):
    import configs as package
    import configs.base as base

    write(tmp_path / "configs", size=3)
    configs_before = {name for name in sys.modules if name.startswith("configs")}
    configs.load(str(tmp_path / "configs" / "own.py"))
    assert sys.modules["configs"] is package and sys.modules["configs.base"] is base
    assert {name for name in sys.modules if name.startswith("configs")} == configs_before


@pytest.mark.parametrize("text", ["acdd", "base", "nowhere/acd.txt", "", "acd.yaml:smoke"])
def test_config_that_is_not_there_lists_the_known(text):
    with pytest.raises(ValueError, match=r"known: acd, cyclegan, distill, pix2pix, teacher, or the path of a"):
        configs.load(text)


def test_file_of_a_checkout_that_is_not_here_leads_to_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"No config 'configs/acd\.py'.* --config=acd is the shipped one"):
        configs.load("configs/acd.py:smoke")


def test_preset_that_is_not_known_lists_the_known():
    with pytest.raises(ValueError, match="Unknown preset 'huge'; known: simulated"):
        configs.load("acd:huge")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def get_config():\n    return missing", r"own\.py, line 2: NameError"),
        ("import no_such_package", r"own\.py, line 1: ModuleNotFoundError"),
        ("def get_config(:", r"own\.py.*SyntaxError.*line 1"),
        ("value = 1", r"own\.py defines no get_config\(\)"),
    ],
)
def test_broken_file_is_named_with_its_line(source, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        configs.load(str(write(tmp_path, size=None, own=source)))


def test_flag_takes_names_and_overrides():
    values, command = flags.FlagValues(), ["main", "--config=acd:smoke", "--config.train.batch_size=7"]
    config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=command)
    values["config"].parser = configs.ConfigParser()
    values(command)
    assert values["config"].value.train.batch_size == 7
    with pytest.raises(AttributeError):
        values["config"].value.train.batchsize = 8  # It is locked.
