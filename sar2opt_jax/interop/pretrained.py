"""Names of networks that are not paths: models that come with the package, and those of the Hugging Face hub."""

import importlib.resources
import os
from pathlib import Path

from sar2opt_jax.interop import hub


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
      ValueError, OSError: as ``hub.fetch``.
    """
    text = os.fspath(name)
    if text.startswith(hub.PREFIX):
        return hub.fetch(text)
    return None if os.path.exists(os.path.expanduser(text)) else shipped().get(text)


def is_name(text: str) -> bool:
    """Whether ``locate`` takes this for a name, the same in every folder and on every host. Fetches nothing."""
    return text.startswith(hub.PREFIX) or locate(text) is not None
