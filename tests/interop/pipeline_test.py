import json
from pathlib import Path

import pytest

from sar2opt_jax.interop import pipeline

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = {
    "_class_name": "DDPMPipeline",
    "unet": ["diffusers", "UNet2DModel"],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "safety_checker": [None, None],
}


def network(folder: Path, **config) -> Path:
    folder.mkdir(parents=True)
    (folder / WEIGHTS).touch()
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"} | config))
    return folder


def scheduler(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "scheduler_config.json").write_text("{}")
    return folder / "scheduler_config.json"


def index(folder: Path, **components) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps(INDEX | components))


def test_components_are_told_by_their_classes(tmp_path):
    assert pipeline.read(tmp_path) is None
    index(tmp_path, denoiser=["own", "SAR2OptUNetv3"], unet=["diffusers", "UNet1DModel"])
    found = pipeline.read(tmp_path)
    assert found is not None
    assert found.networks == ("denoiser",)
    assert found.schedulers == {"scheduler": "DDPMScheduler"}
    wanted = network(tmp_path / "denoiser")
    assert pipeline.network_folder(tmp_path) == wanted


@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel"])
def test_a_pipeline_of_latents_is_refused(tmp_path, kind):
    index(tmp_path, vae=["diffusers", kind])
    for call in (lambda: pipeline.network_folder(tmp_path), lambda: pipeline.around(tmp_path / "unet")):
        with pytest.raises(ValueError, match=rf"component vae is '{kind}', so that the network works on its latents"):
            call()


def test_the_only_network_is_taken_whatever_it_is_called(tmp_path):
    assert pipeline.network_folder(tmp_path) is None
    average = network(tmp_path / "checkpoint-5" / "unet_ema")
    network(tmp_path / "checkpoint-5" / "vae", _class_name="AutoencoderKL")
    assert pipeline.network_folder(tmp_path / "checkpoint-5") == average
    network(tmp_path / "checkpoint-5" / "prior")
    with pytest.raises(ValueError, match=r"has 2 networks; expected one: name its folder .*prior, .*unet_ema"):
        pipeline.network_folder(tmp_path / "checkpoint-5")
    usual = network(tmp_path / "checkpoint-5" / "unet")
    assert pipeline.network_folder(tmp_path / "checkpoint-5") == usual


def test_a_scheduler_is_found_from_any_component_whatever_its_name(tmp_path):
    path = scheduler(tmp_path / "scheduler")
    for name in ("unet", "unet_ema", "mine"):
        assert pipeline.around(network(tmp_path / name)) == (None, [path])


def test_a_scheduler_is_found_from_a_checkpoint_in_a_pipeline(tmp_path):
    path = scheduler(tmp_path / "scheduler")
    home = network(tmp_path / "checkpoint-500" / "unet")
    assert pipeline.around(home) == (None, [])  # Two levels up, a folder counts only as a pipeline.
    index(tmp_path)
    found, files = pipeline.around(home)
    assert files == [path]
    assert found is not None
    assert found.index == tmp_path / "model_index.json"


def test_a_scheduler_of_another_name_is_found(tmp_path):
    index(tmp_path, scheduler=[None, None], noise_scheduler=["diffusers", "LCMScheduler"])
    path = scheduler(tmp_path / "noise_scheduler")
    assert pipeline.around(network(tmp_path / "unet"))[1] == [path]


def test_networks_beside_one_are_named(tmp_path):
    unet, average = network(tmp_path / "unet"), network(tmp_path / "unet_ema")
    other = network(tmp_path / "theirs")
    network(tmp_path / "unet_control", _class_name="ControlNetModel")
    (tmp_path / "unet_empty").mkdir()
    (tmp_path / "unet_link").symlink_to(unet)
    assert pipeline.siblings(unet) == [average]
    assert pipeline.siblings(average) == [unet]
    index(tmp_path)
    assert pipeline.siblings(unet) == [other, average]
    inner = network(unet / "unet")
    assert pipeline.siblings(unet) == [other, average, inner]


def test_a_config_of_a_neighbour_that_cannot_be_read_is_no_error(tmp_path):
    unet, average = network(tmp_path / "unet"), network(tmp_path / "unet_ema")
    (average / "config.json").write_text("{")
    assert pipeline.siblings(unet) == [average]


@pytest.mark.parametrize(
    ("name", "config", "averaged"),
    [("unet", {}, False), ("unet_EMA", {}, True), ("mine", {"decay": 0.9999, "optimization_step": 500}, True)],
)
def test_an_average_is_told_by_its_name_or_what_is_in_its_config(tmp_path, name, config, averaged):
    assert pipeline.is_averaged(network(tmp_path / name, **config)) == averaged
