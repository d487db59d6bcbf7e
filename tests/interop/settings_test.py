import json
import shutil
from pathlib import Path

import pytest

from configs import acd
from sar2opt_jax.interop import folder, settings
from sar2opt_jax.interop.settings import Choices

REFERENCE = Path(__file__).with_name("reference")
NO_FLAGS = dict.fromkeys(settings.DEFAULTS)


def test_defaults_are_those_of_the_papers_preset():
    config = acd.get_config("sen12")
    groups = {
        **dict.fromkeys(("head_width", "norm_groups", "prediction"), config.model),
        **dict.fromkeys(("num_steps", "rescale_zero_snr"), config.schedule),
        "image_size": config.data,
        "solver_steps": config.distill,
    }
    expected = {name: group[name] for name, group in groups.items()}
    assert expected | {"schedule": config.schedule.name, "stage": "teacher"} == settings.DEFAULTS


def test_flags_rule_over_files_and_files_over_defaults():
    file = Path("config.json")
    choices = Choices(flags=NO_FLAGS | {"head_width": 16, "rescale_zero_snr": False})
    assert choices.choose("head_width", 4, source=file) == 16
    assert choices.choose("rescale_zero_snr", True, source=file) is False
    assert choices.choose("norm_groups", 4, source=file) == 4
    assert choices.choose("prediction", None, source=file) == "eps"
    assert {name: where.split(",")[0] for name, (_, where) in choices.taken.items()} == {
        "head_width": "--head_width",
        "rescale_zero_snr": "--rescale_zero_snr",
        "norm_groups": "config.json",
        "prediction": "the default",
    }


@pytest.mark.parametrize(("size", "expected"), [(64, 64), ([64, 64], 64), ([64, 32], 256), (None, 256)])
def test_the_side_of_the_images_is_that_of_a_square(tmp_path, size, expected):
    shutil.copytree(REFERENCE, tmp_path / "model")
    config = json.loads((REFERENCE / "config.json").read_text()) | {"sample_size": size}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    files = folder.find(tmp_path / "model")
    assert files is not None
    assert settings.choose_architecture(files, {}, Choices(flags=NO_FLAGS))[1] == expected


@pytest.mark.parametrize(
    ("scheduler", "discriminator", "stage"),
    [
        ("LCMScheduler", True, "adversarial"),
        ("LCMScheduler", False, "distill"),
        ("DDPMScheduler", True, "teacher"),
    ],
)
def test_the_stage_is_told_by_the_scheduler_and_the_discriminator(tmp_path, scheduler, discriminator, stage):
    shutil.copytree(REFERENCE, tmp_path / "model")
    path = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": scheduler}))
    if not discriminator:
        (tmp_path / "model" / "discriminator.safetensors").unlink()
    files = folder.find(tmp_path / "model")
    assert files is not None
    found = settings.choose_sampling(files, Choices(flags=NO_FLAGS))
    assert found["stage"] == stage
    assert (found["consistency"] is None) == (stage == "teacher")
