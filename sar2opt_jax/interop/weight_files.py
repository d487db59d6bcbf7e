"""Names of files of weights: whole or in parts with an index, and variants such as ``fp16`` and ``non_ema``."""

import re
from collections.abc import Sequence
from pathlib import Path

WEIGHTS = "diffusion_pytorch_model"
"""What diffusers calls the weights of a model."""
SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_VARIANT = r"(?:\.([\w-]+))?"
_INDEX = re.compile(rf"(.+?){_VARIANT}\.safetensors{_VARIANT}\.index{_VARIANT}\.json")
"""A variant has had three places in the name of an index, over the releases of diffusers and transformers."""
_PART = re.compile(r".+-\d+-of-\d+(?:\.[\w-]+)?\.safetensors")
_WHOLE = re.compile(rf"{WEIGHTS}{_VARIANT}\.safetensors")


def is_index(path: Path) -> bool:
    """Whether a file, by its name, lists the parts of a file of weights."""
    return _INDEX.fullmatch(path.name) is not None


def is_part(path: Path) -> bool:
    """Whether a file, by its name, is one of several that make a network."""
    return _PART.fullmatch(path.name) is not None


def variant(path: Path) -> str | None:
    """The variant of weights by diffusers' name, empty for the usual ones; None for any other file."""
    if is_part(path):
        return None
    if whole := _WHOLE.fullmatch(path.name):
        return whole[1] or ""
    index = _INDEX.fullmatch(path.name)
    if index is None or index[1] != WEIGHTS:
        return None
    return "".join(filter(None, index.groups()[1:]))


def has_any(folder: Path) -> bool:
    """Whether a folder has weights under diffusers' name, of any variant."""
    return folder.is_dir() and any(variant(path) is not None for path in folder.iterdir() if path.is_file())


def choose(folder: Path) -> tuple[Path | None, list[Path]]:
    """The weights that a folder has under diffusers' name, and those that it also has and that are not taken.

    Without the usual file, a variant is taken where it is the only one.

    Raises:
      ValueError: where more than one file could be meant.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and (name := variant(path)) is not None:
            found.setdefault(name, []).append(path)
    if not found:
        return None, []
    if "" not in found and len(found) > 1:
        files = [path for paths in found.values() for path in paths]
        raise ValueError(
            f"{folder} has weights in the variants {', '.join(found)} and no {WEIGHTS}{SUFFIX}; "
            f"expected one of them: name the file to take as --input: {_listed(files)}."
        )
    taken = found.pop("" if "" in found else next(iter(found)))
    if len(taken) > 1:
        raise ValueError(
            f"{folder} has its weights {len(taken)} times, whole or in parts: {_listed(taken)}. They may differ; "
            "name the one to take as --input, or remove the others."
        )
    return taken[0], [path for paths in found.values() for path in paths]


def refuse_pickle(path: Path) -> None:
    """Raises ValueError, with the way out, for a file that is a pickle by its name."""
    if path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{path} is a pickle, which can run any program when it is opened; expected a {SUFFIX} file. If you trust "
            "it, load it in PyTorch with torch.load(..., weights_only=True) and write the tensors with "
            "safetensors.torch.save_file, or save the diffusers model with save_pretrained(..., "
            "safe_serialization=True)."
        )


def refuse_part(path: Path) -> None:
    """Raises ValueError, with the way out, for a file that is a part of a network by its name."""
    if not is_part(path):
        return
    indices = [other for other in sorted(path.parent.iterdir()) if is_index(other)]
    way_out = f"name the index: {_listed(indices)}" if indices else f"their index (...{INDEX_SUFFIX}) is missing"
    raise ValueError(f"{path} is one of several parts of a network; expected all of them: {way_out}.")


def refuse_others(folders: Sequence[Path], *, where: Path) -> None:
    """Raises ValueError for folders that have weights under other names, or as pickles, with the way out.

    Args:
      folders: to look in.
      where: what the user named, for messages.
    """
    files = sorted(entry for folder in folders if folder.is_dir() for entry in folder.iterdir())
    others = [path for path in files if path.suffix == SUFFIX]
    if others and all(map(is_part, others)):
        refuse_part(others[0])
    if others:
        raise ValueError(
            f"{where} has no {WEIGHTS}{SUFFIX}; to take one of these files, name it itself: {_listed(others)}."
        )
    for path in files:
        refuse_pickle(path)


def _listed(paths: Sequence[Path], most: int = 8) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(str, paths[:most])) + more
