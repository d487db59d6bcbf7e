"""Tensors of a file that ``torch.save`` wrote, read without PyTorch and without running what is in it."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from sar2opt_jax.metrics.weights import pickles

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that files begin with which PyTorch before 1.6 wrote, or ``_use_new_zipfile_serialization=False``."""
LEGACY_PROTOCOL = 1001
ZIP_START = b"PK\x03\x04"

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
"""Types of numbers by the name of their storage in ``torch``."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of named tensors, such as a ``state_dict``, of both formats that PyTorch ever wrote.

    Args:
      path: of the file, usually ``.pth``.

    Returns:
      Arrays by name, of the types that they have in the file (bfloat16 is that of ``ml_dtypes``); they cannot be
      written to, and those that share a storage there share it here.

    Raises:
      FileNotFoundError: where it does not exist.
      ValueError: for a file that is corrupt or of neither format, that asks for anything else than tensors and
        dictionaries of them, or that has tensors outside their storage; the file is named.
    """
    content = path.read_bytes()
    reader = _read_zip if content.startswith(ZIP_START) else _read_legacy
    return reader(content, path)


class _Kind(NamedTuple):
    """Stands for a class of storage."""

    name: str


class _Storage(NamedTuple):
    """Where a tensor's numbers lie: in the storage of this key, which has ``size`` of them."""

    key: str
    kind: _Kind
    size: int


class _Tensor:
    """What a pickle says of a tensor; a hostile one may leave out all of it."""

    storage: Any = None
    offset: Any = None
    size: Any = None
    stride: Any = None

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any):
        del rest  # Whether it has gradients, and what is called after them.
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def __setstate__(self, state: Any) -> None:
        """Drops ``state``, attributes that somebody gave the tensor."""

    def values(self, flat: np.ndarray) -> np.ndarray:
        """The array, a view of the numbers of its storage."""
        if not isinstance(self.size, tuple) or not isinstance(self.stride, tuple):
            raise ValueError(f"has shape {self.size!r} and strides {self.stride!r}")
        ints = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or any(not isinstance(i, int) or i < 0 for i in ints):
            raise ValueError(f"has offset {self.offset}, shape {self.size} and strides {self.stride}")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))
        if 0 in self.size:
            return np.zeros(self.size, flat.dtype)
        if last >= flat.size:
            raise ValueError(f"reaches number {last} of a storage of {flat.size}")
        if np.prod(self.size, dtype=object) > flat.size:
            # Strides of zero make any size of nothing; a network's weights have none.
            raise ValueError(f"has shape {self.size}, more than the {flat.size} numbers of its storage")
        strides = tuple(stride * flat.itemsize for stride in self.stride)
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, strides, writeable=False)


class _Parameter:
    """A tensor that was trained: just the tensor."""

    def __new__(cls, data: Any, *rest: Any) -> Any:
        del rest
        return data

    def __setstate__(self, state: Any) -> None:
        """Drops ``state``."""


TABLE: pickles.Table = {
    ("collections", "OrderedDict"): pickles.Names,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    **{("torch", name): _Kind(name) for name in STORAGES},
}
"""All that a file may name, and what it gets."""


def _read_zip(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The format since PyTorch 1.6: ``NAME/data.pkl``, and a file ``NAME/data/KEY`` for each storage."""
    entries = _unpacked(content, path)

    def entry(name: str) -> bytes:
        if name not in entries:
            raise ValueError(f"{path} has no {name}; expected a file that torch.save wrote.")
        return entries[name]

    if (order := entries.get("byteorder", b"little")) != b"little":
        raise ValueError(f"{path} has byte order {order!r}; expected b'little'.")
    storages: dict[str, _Storage] = {}
    program, where = BytesIO(entry("data.pkl")), f"{path}, data.pkl"
    tree = pickles.load(program, TABLE, where=where, persistent=_finder(storages))
    _check_total(storages, len(content), path)
    return _tensors(tree, {key: _flat(entry(f"data/{key}"), storage, path) for key, storage in storages.items()}, path)


def _unpacked(content: bytes, path: Path) -> dict[str, bytes]:
    """The files in a zip file, by their names in its only folder."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = archive.infolist()
            # PyTorch does not compress; so what is unpacked is no larger than the file.
            packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
            if not packed and sum(entry.file_size for entry in entries) <= len(content):
                return {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    except Exception as error:  # What zipfile raises for what is corrupt is of many kinds.
        raise ValueError(f"{path} is corrupt: {error}. Download or write it again.") from None
    raise ValueError(f"{path}: {(*packed, 'it')[0]} is compressed; torch.save stores tensors as they are.")


def _read_legacy(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The format before PyTorch 1.6: five pickles, and then each storage as a count and its numbers."""
    file = BytesIO(content)
    storages: dict[str, _Storage] = {}
    try:
        magic = pickles.load(file, {}, where=str(path))
    except ValueError:
        magic = None
    if magic != LEGACY_MAGIC:
        raise ValueError(f"{path} is no file that torch.save wrote: it begins with {content[:8]!r}.")
    if (protocol := pickles.load(file, {}, where=str(path))) != LEGACY_PROTOCOL:
        raise ValueError(f"{path} has protocol {protocol!r}; expected {LEGACY_PROTOCOL}.")
    system = pickles.load(file, {}, where=str(path))
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError(f"{path} was written by a machine {system!r}; expected little_endian = True.")
    tree = pickles.load(file, TABLE, where=str(path), persistent=_finder(storages))
    keys = pickles.load(file, {}, where=str(path))
    _check_total(storages, len(content), path)
    flat = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or (storage := storages.get(key)) is None:
            raise ValueError(f"{path} has a storage {key!r} that no tensor lies in.")
        count = file.read(8)
        if len(count) < 8 or int.from_bytes(count, "little") != storage.size:
            stored = int.from_bytes(count, "little")
            raise ValueError(f"{path}: storage {key} has {stored} numbers; expected {storage.size}. It is truncated.")
        size = storage.size * np.dtype(STORAGES[storage.kind.name]).itemsize
        flat[key] = _flat(file.read(size), storage, path)
    return _tensors(tree, flat, path)


def _finder(storages: dict[str, _Storage]) -> Callable[[Any], _Storage]:
    """Notes each storage that a pickle refers to, as  ("storage", kind, key, device, count, view)."""

    def find(reference: Any) -> _Storage:
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError(f"it refers to {reference!r}")
        _, kind, key, _, size, *view = reference
        if not isinstance(kind, _Kind) or not isinstance(key, str) or not isinstance(size, int) or size < 0:
            raise ValueError(f"it refers to a storage {reference!r}")
        if view not in ([], [None]):
            raise ValueError(f"it has a storage that is part of another, {view[0]!r}; write it with a newer PyTorch")
        storage = _Storage(key=key, kind=kind, size=size)
        if storages.setdefault(key, storage) != storage:
            raise ValueError(f"it has two storages {key!r}")
        return storage

    return find


def _check_total(storages: dict[str, _Storage], size: int, path: Path) -> None:
    total = sum(storage.size * np.dtype(STORAGES[storage.kind.name]).itemsize for storage in storages.values())
    if total > size:
        raise ValueError(f"{path} has {size} bytes; its tensors need {total}. It is truncated: download it again.")


def _flat(content: bytes, storage: _Storage, path: Path) -> np.ndarray:
    dtype = np.dtype(STORAGES[storage.kind.name])
    if len(content) != storage.size * dtype.itemsize:
        raise ValueError(
            f"{path}: storage {storage.key} has {len(content)} bytes; expected {storage.size} of {dtype.name}. "
            "The file is truncated: download it again."
        )
    return np.frombuffer(content, dtype)


def _tensors(tree: Any, flat: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds a {type(tree).__name__}; expected tensors by name.")
    arrays = {}
    for name, tensor in tree.items():
        if not isinstance(tensor, _Tensor):
            raise ValueError(f"{path}: {name} is a {type(tensor).__name__}; expected tensors by name.")
        if not isinstance(tensor.storage, _Storage) or tensor.storage.key not in flat:
            raise ValueError(f"{path}: tensor {name} lies in no storage that the file has.")
        try:
            arrays[str(name)] = tensor.values(flat[tensor.storage.key])
        except ValueError as error:
            raise ValueError(f"{path}: tensor {name} {error}; the file is corrupt.") from None
    return arrays
