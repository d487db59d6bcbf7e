"""Every config with every preset, read the way the command line reads it."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from configs.base import PRESETS
from sar2opt_jax.cli.configs import ConfigParser
from sar2opt_jax.cli.dispatch import COMMANDS
from sar2opt_jax.interop import model_folder, pretrained

ROOT = Path(__file__).parents[1]

CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "base")


def load(*arguments: str) -> ConfigDict:
    """The config that a command with these arguments runs."""
    values, command = flags.FlagValues(), ["main", *arguments]
    config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=command)
    values["config"].parser = ConfigParser()
    for name in ("workdir", "mode"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    left = values(command)
    assert left == ["main"]
    return values["config"].value


def leaves(config: ConfigDict, prefix: str = "config") -> Iterator[tuple[str, type, Any]]:
    for key in config:
        if isinstance(config[key], ConfigDict):
            yield from leaves(config[key], f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key}", config.get_type(key), config[key]


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CONFIGS)
def test_preset_loads(name, preset):
    config = load(f"--config=configs/{name}.py:{preset}")
    assert (config.name, config.preset) == (name, preset)
    assert len(config.model.widths) == len(config.model.attention)


@pytest.mark.parametrize("name", CONFIGS)
def test_default_preset_is_simulated(name):
    assert load(f"--config=configs/{name}.py").preset == "simulated"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CONFIGS)
def test_value_has_a_type_to_override_it_with(name, preset):
    for key, kind, value in leaves(load(f"--config=configs/{name}.py:{preset}")):
        assert kind in (bool, int, float, str, tuple), f"{key} is of type {kind.__name__}"
        if kind is tuple:
            assert len({type(item) for item in value}) <= 1, f"{key} mixes types: {value}"


def test_value_is_overridden():
    config = load(
        "--config=configs/acd.py:sen12",
        "--config.model.widths=(32, 64, 96)",
        "--config.model.attention=(False, False, True)",
        "--config.schedule.rescale_zero_snr=True",
        "--config.teacher.min_snr_gamma=5",
        "--config.data.data_dir=somewhere",
        "--config.evaluation.models=('CD=runs/cd', 'GAN=runs/gan')",
        "--config.evaluation.lpips=()",
    )
    assert config.model.widths == (32, 64, 96)
    assert config.model.attention == (False, False, True)
    assert config.schedule.rescale_zero_snr is True
    assert config.teacher.min_snr_gamma == 5.0
    assert config.data.data_dir == "somewhere"
    assert config.evaluation.models == ("CD=runs/cd", "GAN=runs/gan")
    assert config.evaluation.lpips == ()


def test_unknown_preset_lists_the_known():
    with pytest.raises(flags.IllegalFlagValueError) as caught:
        load("--config=configs/acd.py:huge")
    assert f"Unknown preset 'huge'; known: {', '.join(PRESETS)}, as in --config=acd:smoke." in str(caught.value)


def test_unknown_value_is_refused():
    with pytest.raises(AttributeError, match="widhts"):
        load("--config=configs/acd.py", "--config.model.widhts=(32, 64)")


def test_readme_commands_name_what_exists():
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [words for line in lines if (words := shlex.split(line, comments=True))[:1] == ["sar2opt"] != words]
    trained = [words[2:] for words in commands if words[1] in ("train", "evaluate") and "--help" not in words]
    assert len(trained) >= 10
    assert {words[1] for words in commands} == set(COMMANDS)
    for words in trained:
        load(*words)


def test_discriminator_learns_as_the_student_unless_it_is_told_otherwise():
    config = load("--config=configs/acd.py:sen12", "--config.distill.optimizer.learning_rate=3e-5")
    assert config.adversarial.optimizer == config.distill.optimizer
    assert config.adversarial.optimizer.learning_rate == 3e-5
    config = load("--config=configs/acd.py:sen12", "--config.adversarial.optimizer.learning_rate=1e-3")
    assert (config.distill.optimizer.learning_rate, config.adversarial.optimizer.learning_rate) == (8e-6, 1e-3)


@pytest.mark.parametrize("preset", ["sen12", "gf3"])
def test_options_beyond_the_paper_are_off_in_its_recipe(preset):
    config = load(f"--config=configs/acd.py:{preset}")
    assert (config.model.input_gain, config.data.radar_jitter) == ("none", 0.0)
    assert (config.distill.sampling_times_share, config.distill.reconstruction_weight) == (0.0, 0.0)
    assert (config.distill.own_output_share, config.distill.own_output_steps) == (0.0, 1)
    judge = config.adversarial
    assert (judge.discriminator, judge.judged_at, judge.time_weight) == ("unet", "s", "constant")
    assert config.evaluation.student_gamma == 1.0


@pytest.mark.parametrize("preset", ["simulated", "simulated_long", "sen12_small", "smoke"])
def test_small_presets_use_what_pays(preset):
    config = load(f"--config=configs/acd.py:{preset}")
    assert (config.model.input_gain, config.data.radar_jitter) == ("wiener", 0.0)
    assert (config.distill.sampling_times_share, config.distill.reconstruction_weight) == (0.9, 10.0)
    assert (config.distill.sampling_steps, config.distill.own_output_share) == ((1, 2, 4), 1.0)
    judge = config.adversarial
    assert (judge.discriminator, judge.judged_at, judge.time_weight) == ("patchgan", "s", "constant")
    assert (judge.weight, judge.optimizer.learning_rate) == (0.15, 1e-3)
    assert config.evaluation.student_gamma == 1.0


def test_real_small_is_what_the_shipped_model_was_trained_with():
    config = load("--config=configs/acd.py:real_small")
    shipped = pretrained.shipped()["sen12-small"]
    settings = model_folder.read(shipped).description.settings
    for name in ("sampling_times_share", "reconstruction_weight", "reconstruction_loss"):
        assert config.distill[name] == settings["distill"][name]
    assert config.distill.sampling_steps == tuple(settings["distill"]["sampling_steps"])
    assert config.distill.own_output_share == settings["distill"].get("own_output_share", 0.0)
    for name in ("discriminator", "weight", "time_weight"):
        assert config.adversarial[name] == settings["adversarial"][name]
