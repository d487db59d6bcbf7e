import json

import numpy as np
import pytest

from sar2opt_jax.interop import folder
from sar2opt_jax.interop.folder import Files

WEIGHTS = "diffusion_pytorch_model.safetensors"


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"_class_name": "UNet2DModel"}))


@pytest.mark.parametrize("scheduler", ["scheduler/scheduler_config.json", "scheduler_config.json"])
def test_a_model_s_folder_and_its_file_are_the_same(tmp_path, scheduler):
    make(tmp_path, WEIGHTS, "config.json", scheduler, "discriminator.safetensors")
    expected = Files(
        weights=tmp_path / WEIGHTS,
        config=tmp_path / "config.json",
        scheduler=tmp_path / scheduler,
        discriminator=tmp_path / "discriminator.safetensors",
    )
    assert folder.find(tmp_path) == folder.find(tmp_path / WEIGHTS) == expected


def test_a_pipeline_s_folder_is_known(tmp_path):
    make(tmp_path, f"unet/{WEIGHTS}", "unet/config.json", "scheduler/scheduler_config.json", "model_index.json")
    for place in (tmp_path, tmp_path / "unet"):
        found = folder.find(place)
        assert found is not None
        assert (found.weights, found.scheduler) == (
            tmp_path / "unet" / WEIGHTS,
            tmp_path / "scheduler" / "scheduler_config.json",
        )


def test_a_lone_file_has_nothing_beside_it(tmp_path):
    make(tmp_path, "a/mine.safetensors", "scheduler/scheduler_config.json")
    assert folder.find(tmp_path / "a" / "mine.safetensors") == Files(
        weights=tmp_path / "a" / "mine.safetensors", config=None, scheduler=None, discriminator=None
    )


def test_parts_are_found_by_their_index(tmp_path):
    make(tmp_path, f"{WEIGHTS}.index.json")
    found = folder.find(tmp_path)
    assert found is not None
    assert found.weights == tmp_path / f"{WEIGHTS}.index.json"


def test_a_config_of_something_else_is_left_alone(tmp_path):
    make(tmp_path, WEIGHTS)
    (tmp_path / "config.json").write_text(json.dumps({"stages": ["teacher"]}))
    found = folder.find(tmp_path)
    assert found is not None
    assert found.config is None


def test_a_folder_without_weights_is_none(tmp_path):
    make(tmp_path, "config.json", "teacher/checkpoints/8/meta/metadata")
    assert folder.find(tmp_path) is None


def test_pickles_and_other_names_are_refused(tmp_path):
    make(tmp_path, "config.json", "diffusion_pytorch_model.bin")
    assert folder.find(tmp_path) is None
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.bin is a pickle"):
        folder.refuse_others(tmp_path)
    make(tmp_path, "model_1.safetensors")
    with pytest.raises(ValueError, match=r"has no diffusion_pytorch_model\.safetensors; .* name it itself: .*model_1"):
        folder.refuse_others(tmp_path)


@pytest.mark.parametrize("discriminator", [None, {"head.8.bias": np.zeros(1, np.float32)}])
def test_what_is_written_is_found(tmp_path, discriminator):
    folder.write(
        tmp_path,
        config={"_class_name": "UNet2DModel"},
        scheduler={"_class_name": "DDIMScheduler"},
        unet={"conv_in.bias": np.zeros(1, np.float32)},
        discriminator=discriminator,
    )
    found = folder.find(tmp_path)
    assert found is not None
    assert found.config == tmp_path / "config.json"
    assert found.scheduler == tmp_path / "scheduler" / "scheduler_config.json"
    assert (found.discriminator is None) == (discriminator is None)
