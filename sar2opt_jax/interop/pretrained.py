"""Names of networks that are not paths: models that come with the package, and those of the Hugging Face hub."""

import importlib.resources
import os
import re
from pathlib import Path

HUB = "hf://"
FILES = ("*.json", "*.safetensors")
"""What is fetched from the hub: nothing that could run."""


def shipped() -> dict[str, Path]:
    """The models that come with the package, by name."""
    root = Path(str(importlib.resources.files("sar2opt_jax") / "pretrained"))
    return {entry.name: entry for entry in sorted(root.iterdir()) if entry.is_dir()} if root.is_dir() else {}


def locate(name: str | os.PathLike[str]) -> Path | None:
    """The folder of a name; None for what is to be taken for a path.

    A path that exists goes before a model of the package.

    Args:
      name: such as ``sen12-small`` or ``hf://USER/NAME``; of the latter, a revision may follow an ``@``.

    Raises:
      ValueError: for a malformed name of the hub, or without the package that fetches from it.
      OSError: where the hub cannot be reached, or has no such model.
    """
    text = os.fspath(name)
    if text.startswith(HUB):
        return _fetch(text)
    return None if os.path.exists(os.path.expanduser(text)) else shipped().get(text)


def is_name(text: str) -> bool:
    """Whether ``locate`` takes this for a name, the same in every folder and on every host. Fetches nothing."""
    return text.startswith(HUB) or locate(text) is not None


def _fetch(name: str) -> Path:
    matched = re.fullmatch(rf"{HUB}(?P<model>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", name)
    if matched is None:
        raise ValueError(
            f"{name} is no model of the Hugging Face hub; expected hf://USER/NAME or hf://USER/NAME@REVISION."
        )
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise ValueError(
            f"To fetch {name}, the package huggingface_hub is needed: pip install 'sar2opt-jax[hub]'."
        ) from None
    try:
        return Path(snapshot_download(matched["model"], revision=matched["revision"], allow_patterns=list(FILES)))
    except (
        OSError,
        ValueError,
    ) as error:  # What the package raises are of these: no network, no such model or revision.
        raise OSError(f"{name} could not be fetched: {str(error).strip().splitlines()[0]}") from error
