from pathlib import Path

import pytest

from sar2opt_jax.interop import weight_files

WEIGHTS = "diffusion_pytorch_model"


def make(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        (f"{WEIGHTS}.safetensors", ""),
        (f"{WEIGHTS}.fp16.safetensors", "fp16"),
        (f"{WEIGHTS}.non_ema.safetensors", "non_ema"),
        (f"{WEIGHTS}.safetensors.index.json", ""),
        (f"{WEIGHTS}.safetensors.index.fp16.json", "fp16"),
        (f"{WEIGHTS}.safetensors.fp16.index.json", "fp16"),
        (f"{WEIGHTS}.fp16.safetensors.index.json", "fp16"),
        (f"{WEIGHTS}-00001-of-00002.safetensors", None),
        (f"{WEIGHTS}.fp16-00001-of-00002.safetensors", None),
        (f"{WEIGHTS}-00001-of-00002.fp16.safetensors", None),
        ("model.safetensors", None),
        ("model.safetensors.index.json", None),
        (f"{WEIGHTS}.bin", None),
        ("config.json", None),
    ],
)
def test_a_variant_is_told_by_the_name(name, variant):
    path = Path("folder", name)
    assert weight_files.variant(path) == variant
    assert weight_files.is_index(path) == ("index" in name)
    assert weight_files.is_part(path) == ("-of-" in name)


def test_the_usual_file_rules_over_variants_which_are_named(tmp_path):
    usual, half = make(tmp_path, f"{WEIGHTS}.safetensors", f"{WEIGHTS}.fp16.safetensors")
    assert weight_files.choose(tmp_path) == (usual, [half])


@pytest.mark.parametrize("name", [f"{WEIGHTS}.fp16.safetensors", f"{WEIGHTS}.safetensors.index.fp16.json"])
def test_a_variant_alone_is_taken(tmp_path, name):
    parts = [f"{WEIGHTS}.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert weight_files.choose(tmp_path) == (None, [])
    assert not weight_files.has_any(tmp_path)
    path, *_ = make(tmp_path, name, *parts)
    assert weight_files.choose(tmp_path) == (path, [])
    assert weight_files.has_any(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("fp16.safetensors", "non_ema.safetensors"), r"in the variants fp16, non_ema and no .*; expected one of them"),
        (("safetensors", "safetensors.index.json"), r"2 times, whole or in parts: .* They may differ; name the one"),
        (("safetensors.index.fp16.json", "fp16.safetensors.index.json"), r"2 times, whole or in parts"),
    ],
)
def test_weights_of_which_several_could_be_meant_are_refused(tmp_path, names, message):
    paths = make(tmp_path, *(f"{WEIGHTS}.{name}" for name in names))
    with pytest.raises(ValueError, match=message) as refused:
        weight_files.choose(tmp_path)
    assert all(str(path) in str(refused.value) for path in paths)


def test_a_part_is_refused_with_its_index(tmp_path):
    (part,) = make(tmp_path, f"{WEIGHTS}-00001-of-00002.safetensors")
    with pytest.raises(ValueError, match=r"one of several parts .*: their index \(.*\) is missing"):
        weight_files.refuse_part(part)
    with pytest.raises(ValueError, match="one of several parts"):
        weight_files.refuse_others([tmp_path], where=tmp_path)
    make(tmp_path, f"{WEIGHTS}.safetensors.index.json")
    with pytest.raises(ValueError, match=r"name the index: .*model\.safetensors\.index\.json"):
        weight_files.refuse_part(part)


def test_long_lists_are_cut(tmp_path):
    make(tmp_path, *(f"{i}.safetensors" for i in range(20)))
    with pytest.raises(ValueError, match=r"0\.safetensors, .* and 12 more\.$"):
        weight_files.refuse_others([tmp_path], where=tmp_path)
