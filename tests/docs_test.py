"""Runs the examples of the documentation."""

import dataclasses
import doctest
import importlib.util
import re
import types
import warnings
from pathlib import Path

import pytest

from configs.base import get_base
from sar2opt_jax import export
from sar2opt_jax.description import Dataset
from sar2opt_jax.export import Export
from sar2opt_jax.models.init import init_params
from sar2opt_jax.run import plan
from sar2opt_jax.types import make_key
from tfds_builders.simulated.simulated_dataset_builder import DESCRIPTIONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
assert _spec is not None and _spec.loader is not None
hooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hooks)


def page(path: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(file=types.SimpleNamespace(src_uri=path))


class Simulated:
    """What the simulated dataset says of itself."""

    version, fingerprint, ground_sampling_m = "1.0.0", "0" * 16, 10.0

    def image_format(self, kind):
        return DESCRIPTIONS[kind].as_json()


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """``runs/acd-simulated`` with a student that was never trained, in the current directory."""
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="smoke")
    about = plan.description(config, "adversarial", Simulated())
    about = dataclasses.replace(about, dataset=Dataset(name="simulated"))
    params = init_params(about.unet.make(), make_key(0), image_size=32, sar_channels=1)
    directory = tmp_path / "runs" / "acd-simulated" / "adversarial" / "checkpoints"
    export.save(directory, Export(networks={"unet": params}, description=about))
    monkeypatch.chdir(tmp_path)


def test_python_examples_run_as_shown(workdir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, tried = doctest.testfile(
            str(DOCS / "python.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
        )
    assert (failed, tried > 8) == (0, True)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_pages_have_what_they_include_and_link_to(path):
    name = path.relative_to(DOCS).as_posix()
    text = hooks.on_page_markdown(path.read_text(encoding="utf-8"), page=page(name))
    assert "{{" not in re.sub(r"`[^`]*`", "", text)
    for link in hooks.LINK.finditer(text):
        if link["target"] and "://" not in link["target"]:
            assert (path.parent / link["target"]).exists(), f"{name} links to {link['target']}, which there is not."


def test_links_of_an_included_section_lead_from_the_page_that_includes_it():
    text = hooks.on_page_markdown("{{ README.md: Train it }}", page=page("guides/train.md"))
    assert "[docs/method.md](../method.md#baselines)" in text
    with pytest.raises(ValueError, match=r"README.md has no section 'Fly'.* it has: Two commands, "):
        hooks.on_page_markdown("{{ README.md: Fly }}", page=page("guides/train.md"))


def test_readme_links_to_what_exists():
    for link in hooks.LINK.finditer((ROOT / "README.md").read_text(encoding="utf-8")):
        if link["target"] and "://" not in link["target"]:
            assert (ROOT / link["target"]).exists(), link["target"]
