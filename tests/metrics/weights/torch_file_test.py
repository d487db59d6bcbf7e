import io
import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from sar2opt_jax.metrics.weights import torch_file

FILES = Path(__file__).with_name("torch_files")
FORMATS = ("zip", "legacy")
LEGACY_HEAD = b"".join(
    pickle.dumps(value, 2)
    for value in (torch_file.LEGACY_MAGIC, 1001, {"little_endian": True, "protocol_version": 1001})
)
OTHER_STORAGE = "|storage '0' that no tensor lies in"
"""What is noticed first in a legacy file, which has its storages after the tensors."""


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(b"J" + value.to_bytes(4, "little", signed=True) for value in values) + b"t"


def storage(*, key: str = "0", kind: str = "FloatStorage", count: int = 6) -> bytes:
    """Refers to a storage, as a pickle of torch does."""
    return (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + numbers(count)[1:-1] + b"tQ"
    )


def tensor(where: bytes, *, offset: int = 0, size=(2, 3), stride=(3, 1)) -> bytes:
    content = where + numbers(offset)[1:-1] + numbers(*size) + numbers(*stride) + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + content + b"tR"


def named(value: bytes) -> bytes:
    return b"\x80\x02}" + text("a") + value + b"s."


def zip_file(folder: Path, program: bytes, *, data: bytes = bytes(24), compressed: bool = False) -> Path:
    path = folder / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", program)
        archive.writestr("x/data/0", data)
    return path


def legacy_file(folder: Path, program: bytes, *, count: int = 6, data: bytes = bytes(24)) -> Path:
    path = folder / "x.pth"
    path.write_bytes(LEGACY_HEAD + program + pickle.dumps(["0"], 2) + count.to_bytes(8, "little") + data)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_what_pytorch_wrote_is_read(name):
    found = torch_file.read(FILES / f"{name}.pth")
    whole = np.arange(12.0).reshape(3, 4)
    expected = {
        "0.weight": np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2),
        "0.bias": np.arange(1, 4, dtype=np.float32),
        "1.weight": np.arange(2, 5, dtype=np.float32),
        "1.bias": np.arange(3, 6, dtype=np.float32),
        "1.running_mean": np.arange(4, 7, dtype=np.float32),
        "1.running_var": np.arange(5, 8, dtype=np.float32),
        "1.num_batches_tracked": np.array(6),
        "whole": whole,
        "part": whole[1:, 1:3],
        "transposed": whole.T,
        "parameter": np.array([0.5, -0.5], np.float32),
        "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "float16": np.array([1.5, -2], np.float16),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert list(found) == list(expected)
    for key, values in expected.items():
        assert found[key].dtype == values.dtype and found[key].shape == values.shape, key
        np.testing.assert_array_equal(found[key], values)


@pytest.mark.parametrize("write", [zip_file, legacy_file])
def test_a_file_by_hand_is_read(tmp_path, write):
    data = np.arange(6, dtype=np.float32)
    found = torch_file.read(write(tmp_path, named(tensor(storage())), data=data.tobytes()))
    np.testing.assert_array_equal(found["a"], data.reshape(2, 3))


@pytest.mark.parametrize("write", [zip_file, legacy_file])
@pytest.mark.parametrize(
    ("program", "asked"),
    [
        (b"cos\nsystem\n(X\x04\x00\x00\x00echotR.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"(iposix\nsystem\n.", "posix.system"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"cnumpy.core.multiarray\n_reconstruct\n.", "numpy.core.multiarray._reconstruct"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x0cabc.Callable\x93.", "collections.abc.Callable"),
    ],
)
def test_names_outside_the_table_are_refused_and_nothing_is_run(tmp_path, write, program, asked):
    with pytest.raises(ValueError, match=rf"x\.pth.* asks for {asked}, .*expected collections.OrderedDict, torch"):
        torch_file.read(write(tmp_path, program))


@pytest.mark.parametrize("write", [zip_file, legacy_file])
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (named(tensor(storage(), offset=1)), r"tensor a reaches number 6 of a storage of 6"),
        (named(tensor(storage(), stride=(4, 1))), r"tensor a reaches number 6 of a storage of 6"),
        (named(tensor(storage(), offset=-1)), r"tensor a has offset -1"),
        (named(tensor(storage(), stride=(-3, 1))), r"tensor a has offset 0, shape \(2, 3\) and strides \(-3, 1\)"),
        (named(tensor(storage(), size=(2, 3, 1))), r"tensor a has offset 0, shape \(2, 3, 1\)"),
        (named(tensor(storage(), size=(1 << 30, 1 << 30), stride=(0, 0))), r"more than the 6 numbers of its storage"),
        (named(tensor(storage(count=1 << 30))), r"x\.pth has \d+ bytes; its tensors need 4294967296"),
        (named(tensor(storage(count=-1))), "refers to a storage"),
        (named(tensor(storage(count=5))), r"storage 0 has (24 bytes; expected 5 of float32|6 numbers; expected 5)"),
        (named(tensor(storage(key="1"))), r"has no data/1|storage '0' that no tensor lies in"),
        (named(tensor(b"N")), "tensor a lies in no storage|storage '0' that no tensor lies in"),
        (named(b"ctorch._utils\n_rebuild_tensor_v2\n)\x81"), f"tensor a lies in no storage{OTHER_STORAGE}"),
        (named(storage()), "a is a _Storage; expected tensors by name"),
        (named(b"}"), "a is a dict; expected tensors by name|storage '0' that no tensor lies in"),
        (b"K\x01.", "holds a int; expected tensors by name|storage '0' that no tensor lies in"),
        (named(b"N")[:-1], "is not a whole pickle"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "remembers 2147483647 objects"),
        (b"\x80\x05\x8e" + (1 << 60).to_bytes(8, "little") + b"x.", "is not a whole pickle"),
        (b"\x80\x04\x95" + (1 << 60).to_bytes(8, "little") + b"N.", "is not a whole pickle"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.", "is not a whole pickle"),
    ],
)
def test_hostile_files_are_refused(tmp_path, write, program, message):
    with pytest.raises(ValueError, match=message) as error:
        torch_file.read(write(tmp_path, program))
    assert str(tmp_path / "x.pth") in str(error.value)


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_refused(tmp_path, name):
    whole = (FILES / f"{name}.pth").read_bytes()
    path = tmp_path / "x.pth"
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"x\.pth"):
            torch_file.read(path)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_raise_nothing_but_a_value_error(tmp_path, name):
    whole = np.frombuffer((FILES / f"{name}.pth").read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    path = tmp_path / "x.pth"
    refused = 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[generator.integers(whole.size, size=3)] = generator.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            torch_file.read(path)
        except ValueError as error:
            refused += 1
            assert "x.pth" in str(error)
    assert refused > 100


def test_keys_of_storages_that_are_none_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(LEGACY_HEAD + named(tensor(storage())) + pickle.dumps([[]], 2))
    with pytest.raises(ValueError, match=r"x\.pth has a storage \[\] that no tensor lies in"):
        torch_file.read(path)


def test_compressed_files_are_refused(tmp_path):
    path = zip_file(tmp_path, named(tensor(storage())), compressed=True)
    with pytest.raises(ValueError, match=r"data\.pkl is compressed"):
        torch_file.read(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("word/document.xml", "")
    for content, message in (
        (b"", "is no file that torch.save wrote"),
        (b"\x89PNG\r\n\x1a\n", r"is no file that torch.save wrote: it begins with b'\\x89PNG"),
        (pickle.dumps({"a": 1}), "is no file that torch.save wrote"),
        (archive.getvalue(), r"has no data\.pkl; expected a file that torch.save wrote"),
        (LEGACY_HEAD.replace(b"\x88", b"\x89"), "expected little_endian = True"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            torch_file.read(path)
    with pytest.raises(FileNotFoundError):
        torch_file.read(tmp_path / "absent.pth")
