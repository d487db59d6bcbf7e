import json
from pathlib import Path

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


SCHEDULER = "scheduler/scheduler_config.json"


@pytest.mark.parametrize("name", ["unet", "unet_ema", "anything"])
@pytest.mark.parametrize("way", ["folder", "file", "relative", ".", "link", "link to the file"])
def test_the_scheduler_of_a_pipeline_is_found_by_its_structure(tmp_path, monkeypatch, name, way):
    make(tmp_path, f"pipe/{name}/{WEIGHTS}", f"pipe/{name}/config.json", f"pipe/{SCHEDULER}")
    home = tmp_path / "pipe" / name
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "link.safetensors").symlink_to(home / WEIGHTS)
    monkeypatch.chdir(home if way == "." else home.parent)
    paths = {
        "folder": home,
        "file": home / WEIGHTS,
        "relative": Path(name),
        ".": Path("."),
        "link": tmp_path / "link",
        "link to the file": tmp_path / "link.safetensors",
    }
    found = folder.find(paths[way])
    assert found is not None
    assert found.scheduler == tmp_path / "pipe" / SCHEDULER
    assert found.config is not None
    assert found.config.resolve() == home / "config.json"
    assert found.weights.is_absolute()
    assert (found.other_schedulers, found.notes) == ((), ())


def test_a_cache_of_links_to_files_is_read_as_it_shows_itself(tmp_path):
    make(tmp_path, "blobs/1", "blobs/2", "blobs/3")
    names = {"1": f"unet/{WEIGHTS}", "2": "unet/config.json", "3": SCHEDULER}
    for blob, name in names.items():
        path = tmp_path / "snapshots" / "abc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(tmp_path / "blobs" / blob)
    found = folder.find(tmp_path / "snapshots" / "abc")
    assert found is not None
    assert found.scheduler == tmp_path / "snapshots" / "abc" / SCHEDULER
    assert found.config == tmp_path / "snapshots" / "abc" / "unet" / "config.json"


def test_all_schedulers_that_count_are_found_nearest_first_each_once(tmp_path):
    make(tmp_path, f"unet/{WEIGHTS}", f"unet/{SCHEDULER}", "unet/scheduler_config.json", SCHEDULER)
    (tmp_path / "link").symlink_to(tmp_path / "unet")
    for path in (tmp_path, tmp_path / "unet"):
        found = folder.find(path)
        assert found is not None
        assert found.scheduler == tmp_path / "unet" / SCHEDULER
        assert found.other_schedulers == (tmp_path / "unet" / "scheduler_config.json", tmp_path / SCHEDULER)
    linked = folder.find(tmp_path / "link")
    assert linked is not None
    assert linked.scheduler is not None
    assert len(linked.other_schedulers) == 2


def test_a_file_among_others_is_no_component(tmp_path):
    make(tmp_path, "models/mine.safetensors", f"models/theirs/{WEIGHTS}", SCHEDULER)
    (tmp_path / "models" / "config.json").write_text(json.dumps({"stages": ["teacher"]}))
    found = folder.find(tmp_path / "models" / "mine.safetensors")
    assert found is not None
    assert (found.config, found.scheduler) == (None, None)
    assert [note.split()[1:4] for note in found.notes] == [["describes", "no", "network"]]


def test_an_average_beside_the_network_is_mentioned(tmp_path):
    make(tmp_path, f"unet/{WEIGHTS}", f"unet_ema/{WEIGHTS}", f"unet_2/{WEIGHTS}")
    found = folder.find(tmp_path)
    assert found is not None
    assert found.notes == (
        f"{tmp_path}/unet_2 has weights too, which were not taken; to take them: --input={tmp_path}/unet_2.",
        f"{tmp_path}/unet_ema has averaged weights too, which were not taken; to take them: "
        f"--input={tmp_path}/unet_ema.",
    )
    average = folder.find(tmp_path / "unet_ema")
    assert average is not None
    assert average.notes == ()


def test_other_variants_are_mentioned(tmp_path):
    make(tmp_path, WEIGHTS, "diffusion_pytorch_model.non_ema.safetensors")
    found = folder.find(tmp_path)
    assert found is not None
    assert found.notes == (f"{tmp_path} also has diffusion_pytorch_model.non_ema.safetensors; name it to take it.",)


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
