"""Networks are put on the hub, which a stand-in for its package serves."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sar2opt_jax import convert
from sar2opt_jax.interop import anywhere, hub, model_folder

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture
def uploaded(monkeypatch, tmp_path):
    """What the hub was given: calls, and the folder as it was uploaded."""
    calls, kept = [], tmp_path / "kept"

    class HfApi:
        def create_repo(self, name, **settings):
            calls.append((name, settings))
            if name.startswith("someone/"):
                raise OSError("403 Forbidden: you don't have the rights to create a model under someone.\n\nmore")

        def upload_folder(self, *, repo_id, repo_type, folder_path):
            calls.append((repo_id, repo_type))
            Path(folder_path).rename(kept)
            Path(folder_path).mkdir()

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=HfApi))
    return calls, kept


def test_network_is_put_on_the_hub_with_a_card_and_read_back_from_there(uploaded, capsys):
    calls, folder = uploaded
    convert.main([f"--input={REFERENCE}", "--output=hf://me/sar.model"])
    assert calls == [
        ("me/sar.model", {"repo_type": "model", "private": True, "exist_ok": True}),
        ("me/sar.model", "model"),
    ]
    assert "Wrote https://huggingface.co/me/sar.model, which nobody else can see yet" in capsys.readouterr().out
    given, read = anywhere.read(REFERENCE), model_folder.read(folder)
    assert read.description == given.description
    assert (read.params["conv_in"]["kernel"] == given.params["conv_in"]["kernel"]).all()
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: sar2opt-jax\n") and "\n# sar.model\n" in card
    assert "sar2opt translate --model=hf://me/sar.model" in card and "invented" in card
    assert given.description.fingerprint in card and "To be filled in" in card


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=hf://me"], "is no model of the Hugging Face hub; expected hf://USER/NAME"),
        (["--output=hf://me/a@v1"], "names a revision; a model is put at hf://USER/NAME"),
        (["--output=hf://me/a", "--num_steps=10"], "describes itself: --num_steps cannot be given with it"),
        (["--output=hf://someone/a"], r"hf://someone/a could not be written: 403 Forbidden: .* under someone\.$"),
    ],
)
def test_what_cannot_be_put_there_is_refused_in_one_sentence(flags, message, uploaded):
    with pytest.raises(SystemExit, match=message):
        convert.main([f"--input={REFERENCE}", *flags])
    assert not uploaded[1].exists()


def test_without_its_package_nothing_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr(anywhere, "read", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(SystemExit, match=r"To write to hf://me/a, .* pip install 'sar2opt-jax\[hub\]'"):
        convert.main([f"--input={REFERENCE}", "--output=hf://me/a"])


def test_card_states_what_is_known_and_what_is_not():
    about = anywhere.read("sen12-small").description
    card = hub.card(about, name="hf://me/a", parameters=7_053_379)
    for text in ("7,053,379 parameters", "| Radar | VV, 8-bit |", "10 m", "`sen12`, 128 x 128 pixels", "--steps=2"):
        assert text in card
