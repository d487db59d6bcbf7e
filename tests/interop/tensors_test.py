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


def write_header(path, **header):
    """A file with any header, and as many bytes as it says."""
    head = json.dumps(header).encode()
    size = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(size))
    return path


@pytest.mark.parametrize(
    ("kind", "size", "way_out"),
    [
        ("F64", 8, "write the tensors as float32"),
        ("F8_E4M3", 1, "8-bit floats are rounded copies"),
        ("F8_E5M2", 1, "8-bit floats are rounded copies"),
        ("I8", 1, "take unquantised weights and leave counters out"),
        ("U8", 1, "take unquantised weights and leave counters out"),
        ("BOOL", 1, "leave it out"),
        ("C64", 8, "no complex numbers"),
    ],
)
def test_a_way_out_is_given_for_every_other_type(tmp_path, kind, size, way_out):
    path = write_header(tmp_path / "x.safetensors", a={"dtype": kind, "shape": [1], "data_offsets": [0, size]})
    with pytest.raises(ValueError, match=rf"tensor a is {kind}; expected F32, F16, BF16 \(.*{way_out}.*\)\.$"):
        tensors.read(path)


def test_sizes_that_no_network_has_are_refused_before_anything_is_read(tmp_path, monkeypatch):
    path = write_header(
        tmp_path / "x.safetensors",
        a={"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        b={"dtype": "F32", "shape": [1] * 70, "data_offsets": [24, 28]},
    )
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor b has 70 axes; expected at most 4"):
        tensors.read(path)
    write_parts(tmp_path, {"a": "m-1.safetensors"})
    monkeypatch.setattr(tensors, "MAX_VALUES", 3)
    assert len(tensors.read(tmp_path / "m-1.safetensors")[0]) == 2
    monkeypatch.setattr(tensors, "MAX_VALUES", 2)
    with pytest.raises(ValueError, match=r"m-1\.safetensors has 3 numbers; expected a network of at most 2"):
        tensors.read(tmp_path / "m-1.safetensors")
    monkeypatch.setattr(tensors, "MAX_TENSORS", 1)
    with pytest.raises(ValueError, match=r"m-1\.safetensors has 2 tensors; expected a network of at most 1"):
        tensors.read(tmp_path / "m-1.safetensors")


def test_headers_with_changed_bytes_are_read_or_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}, path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    rng, refused = np.random.default_rng(0), 0
    for _ in range(500):
        changed = bytearray(whole)
        for place in rng.integers(0, header, rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            tensors.read(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 400


def test_a_pointer_of_git_lfs_is_told(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n")
    with pytest.raises(ValueError, match=r"x\.safetensors is a pointer of Git LFS; .* run git lfs pull"):
        tensors.read(path)


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
    "name", ["m.safetensors.index.fp16.json", "m.safetensors.fp16.index.json", "m.fp16.safetensors.index.json"]
)
def test_the_index_of_a_variant_is_known(tmp_path, name):
    write_parts(tmp_path, {"a": "m-1.safetensors", "c": "m-2.safetensors"}).rename(tmp_path / name)
    assert tensors.read(tmp_path / name)[0].keys() == {"a", "b", "c"}


def test_parts_are_found_through_a_link(tmp_path):
    (tmp_path / "parts").mkdir()
    index = write_parts(tmp_path / "parts", {"a": "m-1.safetensors", "c": "m-2.safetensors"})
    link = tmp_path / "link.safetensors.index.json"
    link.symlink_to(index)
    assert tensors.read(link)[0].keys() == {"a", "b", "c"}


def test_a_tensor_in_two_parts_is_refused(tmp_path):
    index = write_parts(tmp_path, {"a": "m-1.safetensors", "c": "m-2.safetensors"})
    save_file({"c": np.zeros(3, np.float32), "a": np.zeros(2, np.float32)}, tmp_path / "m-2.safetensors")
    with pytest.raises(ValueError, match=r"m-2\.safetensors: tensor 'a' is also in another part"):
        tensors.read(index)


def test_a_part_alone_is_refused(tmp_path):
    path = tmp_path / "m-00001-of-00002.safetensors"
    save_file({"a": np.zeros(2, np.float32)}, path)
    with pytest.raises(ValueError, match="is one of several parts of a network"):
        tensors.read(path)


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
