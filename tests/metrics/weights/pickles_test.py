import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from sar2opt_jax.metrics.weights import pickles


def write(folder: Path, content: bytes) -> Path:
    path = folder / "x.ckpt"
    path.write_bytes(content)
    return path


def array(*, shape=(2, 3), kind: str = "f4", order: str = "<", data: bytes = bytes(24)) -> bytes:
    """A pickled array as numpy before version 2 wrote it, whatever its parts are."""
    pickled = pickle.dumps((1, shape, "DTYPE", False, data), 3)[2:-1]
    name = pickle.dumps("DTYPE", 3)[2:-3]  # Without what remembers it.
    place = pickled.index(name)
    dtype = b"cnumpy\ndtype\n" + pickle.dumps((kind, False, True), 0)[:-1] + b"R"
    dtype += pickle.dumps((3, order, None, None, None, -1, -1, 0), 0)[:-1] + b"b"
    state = pickled[:place] + dtype + pickled[place + len(name) + 2 :]
    return b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state + b"b."


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read_again(tmp_path, protocol):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = {
        "a": {"kernel": values, "turned": np.asfortranarray(values), "int": np.arange(3)},
        "b": [values[0], 1.5, None],
    }
    found = pickles.read_numpy(write(tmp_path, pickle.dumps(OrderedDict(tree), protocol)))
    assert list(found) == ["a", "b"]
    assert found["a"]["kernel"].dtype == np.float32 and found["a"]["int"].dtype == np.int64
    np.testing.assert_array_equal(found["a"]["kernel"], values)
    np.testing.assert_array_equal(found["a"]["turned"], values)
    np.testing.assert_array_equal(found["b"][0], values[0])
    assert found["b"][1:] == [1.5, None]


def test_old_arrays_and_their_byte_order_are_read(tmp_path):
    values = np.arange(6, dtype=">f4")
    found = pickles.read_numpy(write(tmp_path, array(order=">", data=values.tobytes())))
    assert found.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(found, values.reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (b"cos\nsystem\n(S'echo'\ntR.", "os.system"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.exists\x93.", "numpy.os.path.exists"),
        (pickle.dumps(Path("x")), "pathlib"),
    ],
)
def test_names_outside_the_table_are_refused(tmp_path, content, asked):
    with pytest.raises(ValueError, match=rf"x\.ckpt asks for {asked}.*expected collections.OrderedDict, numpy"):
        pickles.read_numpy(write(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array(shape=(2, 4)), "is corrupt: cannot reshape"),
        (array(data=bytes(23)), "is corrupt: buffer size"),
        (array(kind="O8"), "is corrupt: type 'O8'; expected one of f2, f4"),
        (array(order="?"), "is corrupt: type 'f4'"),
        (array(data="text"), "is corrupt"),
        (array()[: array().index(b"R") + 1] + b".", "is corrupt: not enough values"),
        (b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n)\x81.", "is corrupt: not enough values"),
        (array()[:-30], "is not a whole pickle"),
        (b"", "is not a whole pickle"),
        (b"\x80\x02]q\x00h\x00a.", "nested more than 32 deep"),
        (b"(" * 100 + b"t" * 100 + b".", "nested more than 32 deep"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "remembers 2147483647 objects"),
        (b"cnumpy\nndarray\n.", "all of it is a"),
        (b"S'a'\nQ.", "refers to objects outside itself"),
        (b"cnumpy\ndtype\n}b.", "is not a whole pickle"),
    ],
)
def test_damaged_and_hostile_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        pickles.read_numpy(write(tmp_path, content))
    assert "x.ckpt" in str(error.value)


def test_what_is_there_many_times_is_made_once(tmp_path):
    # Each list holds the one before twice: 2 ** 30 leaves, written in a few bytes.
    tree = [0.0]
    for _ in range(30):
        tree = [tree, tree]
    found = pickles.read_numpy(write(tmp_path, pickle.dumps(tree)))
    assert found[0] is found[1]


@pytest.mark.parametrize(
    "name", ["collections\nOrderedDict", "numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct"]
)
def test_a_pickle_cannot_change_what_it_is_given(tmp_path, name):
    program = f"c{name}\n(N}}S'DEPTH'\nI1\nstb.".encode()
    with pytest.raises(ValueError, match="is not a whole pickle"):
        pickles.read_numpy(write(tmp_path, program))
