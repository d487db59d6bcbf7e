"""Files of tensors: safetensors, whole or in parts. Pickles are never opened: reading one runs what is in it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - makes bfloat16 known to numpy, by which safetensors asks for it.
import numpy as np
import safetensors
from safetensors.numpy import save_file

from sar2opt_jax.interop import json_file, weight_files
from sar2opt_jax.interop.json_file import shown
from sar2opt_jax.interop.weight_files import INDEX_SUFFIX, SUFFIX

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types that float32 holds without loss: safetensors' name and the usual one."""
WAYS_OUT = {
    "F64": "of float64, write the tensors as float32 first",
    "F8": "8-bit floats are rounded copies, take the weights that they were made from",
    "F6": "6-bit floats are rounded copies, take the weights that they were made from",
    "F4": "4-bit floats are rounded copies, take the weights that they were made from",
    "I": "whole numbers are quantised weights or counters, take unquantised weights and leave counters out",
    "U": "whole numbers are quantised weights or counters, take unquantised weights and leave counters out",
    "BOOL": "a network has none, leave it out",
    "C": "a network has no complex numbers",
}
"""What to do about other types, by how their names begin."""
MAX_TENSORS, MAX_AXES, MAX_VALUES = 20_000, 8, 2**30
"""Far above any network, so that a malformed file is refused before anything is made of its size."""
LFS = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS has put in the place of a large one."""


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Reads a file of tensors, or all the parts that an index names.

    Args:
      path: ``.safetensors`` or ``.safetensors.index.json``.

    Returns:
      Tensors as float32 by name, and the types that they have in the file, such as ``float16``.

    Raises:
      FileNotFoundError: where it, or a part of it, does not exist.
      ValueError: for a pickle, a corrupt file, a tensor that is no float of at most 32 bits, or one that is not finite.
    """
    weight_files.refuse_pickle(path)
    if weight_files.is_index(path):
        parts = _parts(path)
    elif path.suffix == SUFFIX:
        weight_files.refuse_part(path)
        parts = {path: None}
    else:
        raise ValueError(f"{path} is no file of weights; expected {SUFFIX} or {INDEX_SUFFIX}.")
    tensors: dict[str, np.ndarray] = {}
    kinds: dict[str, None] = {}
    for part, expected in parts.items():
        part_tensors, part_kinds = _read_part(part)
        if expected is not None and (missing := next((name for name in expected if name not in part_tensors), None)):
            raise ValueError(f"{part}: tensor {missing} is missing, which {path.name} says it has.")
        if twice := next((name for name in part_tensors if name in tensors), None):
            raise ValueError(f"{part}: tensor {shown(twice)} is also in another part that {path.name} names.")
        tensors |= part_tensors
        kinds |= dict.fromkeys(part_kinds)
    return tensors, " and ".join(kinds)


def write(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a file that PyTorch's libraries take; the bytes depend on the tensors alone."""
    # numpy's views of other axes would be written in the wrong order.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    path.touch()
    mode = path.stat().st_mode
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(mode)  # safetensors lets nobody else read what it writes.


def _parts(index: Path) -> dict[Path, list[str]]:
    """The files that an index names, and the tensors that each must have."""
    weight_map = json_file.read(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map; expected the names of tensors, and of the file of each.")
    parts: dict[str, list[str]] = {}
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(SUFFIX):
            raise ValueError(
                f"{index}: tensor {shown(name)} is in {shown(file)}; expected a {SUFFIX} file in the same folder."
            )
        parts.setdefault(file, []).append(name)
    # Of a link, the parts are beside it or beside the file that it points to.
    beside = all((index.parent / file).is_file() for file in parts)
    folder = index.parent if beside or not index.is_symlink() else index.resolve().parent
    return {folder / file: names for file, names in parts.items()}


def _read_part(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, or is not a file.")
    _refuse_pointer(path)
    try:
        with safetensors.safe_open(path, framework="np") as file:
            kinds = _check_header(file, path)
            tensors = {name: np.asarray(file.get_tensor(name), np.float32) for name in kinds}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}. Download or write it again.") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{path}: tensor {name} has values that are not finite; the training that made it failed.")
    return tensors, list(dict.fromkeys(kinds.values()))


def _check_header(file: Any, path: Path) -> dict[str, str]:
    """The type of each tensor of a file, by name, before any of them is read.

    Raises:
      ValueError: for tensors of other types, or more and larger ones than a network can have.
    """
    names = file.keys()  # Not a dict: it cannot be iterated over itself.
    if len(names) > MAX_TENSORS:
        raise ValueError(f"{path} has {len(names)} tensors; expected a network of at most {MAX_TENSORS}.")
    kinds, values = {}, 0
    for name in names:
        tensor = file.get_slice(name)
        kind, shape = tensor.get_dtype(), tensor.get_shape()
        if kind not in DTYPES:
            way_out = next((f" ({text})" for prefix, text in WAYS_OUT.items() if kind.startswith(prefix)), "")
            raise ValueError(f"{path}: tensor {shown(name)[1:-1]} is {kind}; expected {', '.join(DTYPES)}{way_out}.")
        if len(shape) > MAX_AXES:
            raise ValueError(f"{path}: tensor {shown(name)[1:-1]} has {len(shape)} axes; expected at most 4.")
        kinds[name] = DTYPES[kind]
        values += math.prod(shape)
    if values > MAX_VALUES:
        raise ValueError(f"{path} has {values:,} numbers; expected a network of at most {MAX_VALUES:,}.")
    return kinds


def _refuse_pointer(path: Path) -> None:
    """Raises ValueError, with the way out, for what Git LFS leaves in the place of a file."""
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise ValueError(f"{path} is a pointer of Git LFS; expected the file itself: run git lfs pull there.")
