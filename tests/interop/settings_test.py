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


V = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 2e-2,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
}


def sampling(root: Path, flags: dict | None = None) -> tuple[dict, Choices]:
    files = folder.find(root)
    assert files is not None
    choices = Choices(flags=NO_FLAGS | (flags or {}))
    return settings.choose_sampling(files, choices), choices


def write(root: Path, name: str, content: dict) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


@pytest.fixture
def model(tmp_path):
    """A network in a pipeline with a scheduler of teachers, linear and v."""
    (tmp_path / "pipe").mkdir()
    for name in ("diffusion_pytorch_model.safetensors", "config.json"):
        (tmp_path / "pipe" / "unet_ema").mkdir(exist_ok=True)
        shutil.copy(REFERENCE / name, tmp_path / "pipe" / "unet_ema" / name)
    write(tmp_path, "pipe/scheduler/scheduler_config.json", V)
    return tmp_path / "pipe" / "unet_ema"


def test_sampling_is_that_of_the_pipeline_around_a_network(model):
    found, choices = sampling(model)
    assert (found["stage"], found["schedule"]["name"], found["prediction"]) == ("teacher", "linear", "v")
    where = {choices.taken[name][1] for name in ("stage", "schedule", "num_steps", "rescale_zero_snr", "prediction")}
    assert where == {str(model.parent / "scheduler" / "scheduler_config.json")}


@pytest.mark.parametrize(
    ("change", "said", "flag", "value"),
    [
        ({"prediction_type": "epsilon"}, "prediction = 'eps', but .* says 'v'", "prediction", "v"),
        ({"num_train_timesteps": 500}, "num_steps = 500, but .* says 1000", "num_steps", 1000),
        ({"rescale_betas_zero_snr": True}, "rescale_zero_snr = True, but .* says False", "rescale_zero_snr", False),
        ({"beta_schedule": "squaredcos_cap_v2"}, "schedule = 'cosine', but .* says 'linear'", "schedule", "linear"),
        ({"_class_name": "TCDScheduler"}, "kind = 'student', but .* says 'teacher'", "stage", "teacher"),
    ],
)
def test_two_schedulers_that_differ_are_refused_where_no_flag_decides(model, change, said, flag, value):
    write(model, "scheduler_config.json", V | change)
    with pytest.raises(ValueError, match=rf"scheduler_config\.json says {said}; .*: --{flag} decides, or remove"):
        sampling(model)
    found, choices = sampling(model, {flag: value})
    assert choices.taken[flag] == (value, f"--{flag}")
    assert found["schedule"]["name"] == "linear"


def test_two_schedulers_that_agree_on_the_network_are_taken(model):
    write(model, "scheduler/scheduler_config.json", V | {"_class_name": "DDIMScheduler", "clip_sample": False})
    assert sampling(model)[0]["prediction"] == "v"


def test_the_config_of_the_network_must_have_as_many_steps_as_the_scheduler(model):
    config = json.loads((model / "config.json").read_text())
    write(model, "config.json", config | {"num_train_timesteps": 1000})
    assert sampling(model)[0]["schedule"]["num_steps"] == 1000
    write(model, "config.json", config | {"num_train_timesteps": 250})
    with pytest.raises(ValueError, match=r"scheduler_config\.json says num_steps = 1000, but .*config\.json says 250"):
        sampling(model)


def test_the_pipeline_s_class_of_scheduler_must_be_of_the_same_kind(model):
    write(model.parent, "model_index.json", {"scheduler": ["diffusers", "DDIMScheduler"]})
    assert sampling(model)[0]["stage"] == "teacher"
    write(model.parent, "model_index.json", {"scheduler": ["diffusers", "LCMScheduler"]})
    with pytest.raises(ValueError, match=r"says kind = 'teacher', but .*model_index\.json says 'student'"):
        sampling(model)


def test_a_scheduler_that_is_missing_is_said(model):
    write(model.parent, "model_index.json", {"scheduler": ["diffusers", "LCMScheduler"]})
    (model.parent / "scheduler" / "scheduler_config.json").unlink()
    found, choices = sampling(model)
    assert found["stage"] == "distill"
    missing, unknown = choices.notes
    assert missing.endswith("names a LCMScheduler, but scheduler/scheduler_config.json is missing beside it.")
    assert unknown.startswith(f"No scheduler_config.json belongs to {model}")
    assert len(sampling(model, {"schedule": "linear", "prediction": "v"})[1].notes) == 1


@pytest.mark.parametrize("steps", [1, 10**9])
def test_steps_that_no_schedule_has_are_refused(model, steps):
    with pytest.raises(ValueError, match=f"^--num_steps: num_steps = {steps}; expected a number of at least 2"):
        sampling(model, {"num_steps": steps})


def test_a_discriminator_that_is_not_taken_is_said(model):
    shutil.copy(REFERENCE / "discriminator.safetensors", model)
    _, choices = sampling(model)
    assert any("discriminator.safetensors was not taken: this is stage 'teacher'" in note for note in choices.notes)


@pytest.mark.parametrize("size", [[64, 32], True, 0, 10**9])
def test_a_size_that_is_no_side_is_said(model, size):
    write(model, "config.json", json.loads((model / "config.json").read_text()) | {"sample_size": size})
    files = folder.find(model)
    assert files is not None
    choices = Choices(flags=NO_FLAGS)
    assert settings.choose_architecture(files, {}, choices)[1] == 256
    assert [note.partition(": ")[2] for note in choices.notes] == [
        f"sample_size = {size} is not the side of a square, and was not used."
    ]
