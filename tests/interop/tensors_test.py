import json
import stat

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from sar2opt_jax.interop import tensors


def test_what_is_written_is_read_again_bit_for_bit(tmp_path):
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    written = {"a": image.transpose(2, 0, 1), "b": np.array([-0.0, 1e-45], np.float32)}
    tensors.write(tmp_path / "x.safetensors", written)
    found, kinds = tensors.read(tmp_path / "x.safetensors")
    assert kinds == "float32"
    for name, tensor in written.items():
        assert found[name].shape == tensor.shape
        assert found[name].tobytes() == tensor.tobytes()


def test_others_may_read_what_is_written(tmp_path):
    tensors.write(tmp_path / "x.safetensors", {"a": np.zeros(1, np.float32)})
    (tmp_path / "y").touch()
    assert stat.S_IMODE((tmp_path / "x.safetensors").stat().st_mode) == stat.S_IMODE((tmp_path / "y").stat().st_mode)


def test_half_precision_is_cast_without_loss_and_said(tmp_path):
    values = np.array([1.0, -2.5, 0.125])
    save_file({"a": values.astype(np.float16), "b": values.astype(ml_dtypes.bfloat16)}, tmp_path / "x.safetensors")
    found, kinds = tensors.read(tmp_path / "x.safetensors")
    assert sorted(kinds.split(" and ")) == ["bfloat16", "float16"]
    for name in "ab":
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_other_types_are_refused(tmp_path, kind):
    save_file({"a": np.zeros(2, kind)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor a is [FI]64; expected F32, F16, BF16"):
        tensors.read(tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tensors_that_are_not_finite_are_named(tmp_path, value):
    save_file({"a": np.zeros(2, np.float32), "b": np.array([0, value], np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor b has values that are not finite"):
        tensors.read(tmp_path / "x.safetensors")


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(20, np.float32)}, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:4], whole[:-3], b"\x80\x02}q\x00." * 20, b"PK\x03\x04" + bytes(200)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"x\.safetensors is not a whole safetensors file"):
            tensors.read(path)


@pytest.mark.parametrize("name", ["x.bin", "x.pt", "x.PTH", "x.ckpt", "x.pkl"])
def test_pickles_are_never_opened(tmp_path, name):
    # The file is not there: who tries to open it says so.
    with pytest.raises(ValueError, match=r"is a pickle, .* expected a \.safetensors file(.|\n)*save_file"):
        tensors.read(tmp_path / name)


def test_other_and_absent_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x\.npz is no file of weights"):
        tensors.read(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError, match=r"x\.safetensors does not exist"):
        tensors.read(tmp_path / "x.safetensors")


def write_parts(folder, weight_map):
    save_file({"a": np.ones(2, np.float32), "b": np.zeros(1, np.float32)}, folder / "m-1.safetensors")
    save_file({"c": np.full(3, 2, np.float32)}, folder / "m-2.safetensors")
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_parts_are_put_together(tmp_path):
    index = write_parts(tmp_path, {"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"})
    found, _ = tensors.read(index)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"a": [1, 1], "b": [0], "c": [2, 2, 2]}


@pytest.mark.parametrize(
    ("weight_map", "error", "message"),
    [
        ({"a": "m-1.safetensors", "d": "m-2.safetensors"}, ValueError, "m-2.safetensors: tensor d is missing"),
        ({"a": "m-3.safetensors"}, FileNotFoundError, "m-3.safetensors does not exist"),
        ({"a": "../m-1.safetensors"}, ValueError, "expected a .safetensors file in the same folder"),
        ({"a": "m-1.bin"}, ValueError, "expected a .safetensors file in the same folder"),
        ({}, ValueError, "has no weight_map"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, weight_map, error, message):
    with pytest.raises(error, match=message):
        tensors.read(write_parts(tmp_path, weight_map))


def test_json_that_is_none_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{'a': 1}")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        tensors.read_json(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="holds a list; expected names and values"):
        tensors.read_json(path)
