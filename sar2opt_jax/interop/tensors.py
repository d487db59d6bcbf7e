"""Files of tensors: safetensors, whole or in parts. Pickles are never opened: reading one runs what is in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - makes bfloat16 known to numpy, by which safetensors asks for it.
import numpy as np
import safetensors
from safetensors.numpy import save_file

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types that float32 holds without loss: safetensors' name and the usual one."""


def refuse_pickle(path: Path) -> None:
    """Raises ValueError, with the way out, for a file that is a pickle by its name."""
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{path} is a pickle, which can run any program when it is opened; expected a {SUFFIX} file. If you trust "
            "it, load it in PyTorch with torch.load(..., weights_only=True) and write the tensors with "
            "safetensors.torch.save_file, or save the diffusers model with save_pretrained(..., "
            "safe_serialization=True)."
        )


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
    refuse_pickle(path)
    if path.name.endswith(INDEX_SUFFIX):
        parts = _parts(path)
    elif path.suffix == SUFFIX:
        parts = {path: None}
    else:
        raise ValueError(f"{path} is no file of weights; expected {SUFFIX} or {INDEX_SUFFIX}.")
    tensors: dict[str, np.ndarray] = {}
    kinds: dict[str, None] = {}
    for part, expected in parts.items():
        part_tensors, part_kinds = _read_part(part)
        if expected is not None and (missing := next((name for name in expected if name not in part_tensors), None)):
            raise ValueError(f"{part}: tensor {missing} is missing, which {path.name} says it has.")
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


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
      ValueError: where it does not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected names and values.")
    return content


def _parts(index: Path) -> dict[Path, list[str]]:
    """The files that an index names, and the tensors that each must have."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map; expected the names of tensors, and of the file of each.")
    parts: dict[Path, list[str]] = {}
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(SUFFIX):
            raise ValueError(f"{index}: tensor {name} is in {file!r}; expected a {SUFFIX} file in the same folder.")
        parts.setdefault(index.with_name(file), []).append(name)
    return parts


def _read_part(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, or is not a file.")
    tensors, kinds = {}, []
    try:
        with safetensors.safe_open(path, framework="np") as file:
            names = file.keys()  # Not a dict: it cannot be iterated over itself.
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in DTYPES:
                    raise ValueError(f"{path}: tensor {name} is {kind}; expected {', '.join(DTYPES)}.")
                kinds.append(DTYPES[kind])
                tensors[name] = np.asarray(file.get_tensor(name), np.float32)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}. Download or write it again.") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{path}: tensor {name} has values that are not finite; the training that made it failed.")
    return tensors, kinds
