"""Folders as people type them."""

import os
import re
from pathlib import Path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters and more: C:/ is a drive
_VARIABLE = re.compile(r"\$\w|\$\{|%\w+%")


def local_folder(text: str | os.PathLike[str], *, flag: str) -> Path:
    """The folder on this machine that is meant, with ``~`` expanded.

    Args:
        text: as it was typed.
        flag: what messages call it, such as ``--data_dir``.

    Raises:
        ValueError: an address such as ``gs://BUCKET``, a variable that no shell has expanded, or nothing.
    """
    typed = os.fspath(text)
    if not typed.strip():
        raise ValueError(f"{flag} is empty, expected a folder.")
    if _URL.match(typed):
        raise ValueError(
            f"{flag}={typed} is an address, expected a folder of this machine: mount a bucket first, for example by "
            "gcsfuse, and give the folder where it is mounted."
        )
    try:
        path = Path(typed).expanduser()
    except RuntimeError:
        raise ValueError(f"{flag}={typed}: there is no home folder of that user, expected a folder.") from None
    if _VARIABLE.search(typed) and not path.exists():
        raise ValueError(f"{flag}={typed} holds a variable that was not expanded, expected a folder.")
    if path.exists() and not path.is_dir():
        raise ValueError(f"{flag}={typed} is a file, expected a folder; an archive has to be unpacked first.")
    return path
