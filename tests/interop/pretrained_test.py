"""Names of networks: models of the package, and those of the hub, which a stand-in for its package serves."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sar2opt_jax import inference
from sar2opt_jax.interop import anywhere, pretrained

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """What was asked of the hub; it has one model."""
    asked = []

    def snapshot_download(model, *, revision, allow_patterns):
        asked.append((model, revision, allow_patterns))
        if model != "user/sar.model":
            raise OSError(f"404 Client Error.\n\nRepository Not Found for url: {model}")
        return str(shutil.copytree(REFERENCE, tmp_path / "snapshot"))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    return asked


@pytest.mark.parametrize(("name", "revision"), [("hf://user/sar.model", None), ("hf://user/sar.model@v1/a", "v1/a")])
def test_model_of_the_hub_is_fetched_without_anything_that_could_run(hub, name, revision):
    assert anywhere.read(name).description.kind == "student"
    assert hub == [("user/sar.model", revision, ["*.json", "*.safetensors"])]


@pytest.mark.parametrize("name", ["hf://", "hf://user", "hf://user/a/b", "hf://user/a@", "hf://user/../a"])
def test_malformed_name_of_the_hub_raises_without_asking(hub, name):
    with pytest.raises(ValueError, match="is no model of the Hugging Face hub; expected hf://USER/NAME"):
        pretrained.locate(name)
    assert hub == []


@pytest.mark.usefixtures("hub")
def test_model_that_the_hub_does_not_have_is_one_sentence():
    with pytest.raises(OSError, match=r"hf://user/other could not be fetched: 404 Client Error\.$"):
        pretrained.locate("hf://user/other")


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'sar2opt-jax\[hub\]'"):
        pretrained.locate("hf://user/model")


def test_model_of_the_package_gives_way_to_a_path(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "shipped", lambda: {"small": REFERENCE})
    monkeypatch.chdir(tmp_path)
    assert pretrained.locate("small") == REFERENCE and pretrained.locate("large") is None
    assert inference.load("small").description.kind == "student"
    (tmp_path / "small").mkdir()
    assert pretrained.locate("small") is None


def test_unknown_name_lists_the_models_of_the_package(monkeypatch):
    monkeypatch.setattr(pretrained, "shipped", lambda: {"small": REFERENCE})
    with pytest.raises(FileNotFoundError, match=r"It does not exist\. Models that come with the package: small\.$"):
        anywhere.read("large")


def test_shipped_model_is_small_described_and_translates_decibels():
    (name,) = pretrained.shipped()
    folder = pretrained.shipped()[name]
    assert name == "sen12-small" and sum(path.stat().st_size for path in folder.iterdir()) < 30e6
    loaded = inference.load(name)
    about = loaded.description
    assert (about.kind, about.dataset.name, about.radar.bands) == ("student", "sen12", ("VV",))
    assert loaded.method().num_steps == about.usual_steps == 2
    decibels = np.random.default_rng(0).uniform(-25, 0, (32, 32)).astype(np.float32)
    levels = np.round(255 * (decibels + 25) / 25).astype(np.uint8)
    optical = loaded(decibels, steps=1, sar_range=(-25, 0))
    np.testing.assert_array_equal(optical, loaded(levels, steps=1))
    assert optical.shape == (32, 32, 3) and optical.std() > 10
    assert np.abs(optical.astype(int) - loaded(levels.T.copy(), steps=1)).mean() > 5  # It looks at the radar image.
