"""Translations on the disk: 8-bit PNG files, which any viewer opens and any other tool can measure.

What was translated is kept, so an evaluation that was killed goes on, and new metrics need no new translations.
"""

import hashlib
import json
import logging
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

logger = logging.getLogger(__name__)

LONGEST_NAME = 200
"""Characters of a file's name, of the 255 bytes that file systems allow."""


class Gallery:
    """The translations of one method: ``DIRECTORY/ID.png``, with ``about.json`` and ``speed.json`` beside them."""

    def __init__(self, directory: Path):
        """Names a directory; nothing is read or written yet."""
        self.directory = directory

    def open(self, *, made_by: Mapping[str, Any]) -> None:
        """Makes the directory, or goes on with what is in it; translations that something else made are removed.

        Args:
          made_by: plain JSON of all that decides what a translation looks like: network, method, data, noise.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        about = self.directory / "about.json"
        if about.exists() and json.loads(about.read_text()) != made_by:
            stale = list(self.directory.glob("*.png"))
            logger.info(
                "%s: %d translations by another network or of other data make room.", self.directory, len(stale)
            )
            about.unlink()  # First: a kill in between must not leave them for those of this method.
            for path in (*stale, self._speed):
                path.unlink(missing_ok=True)
        if not about.exists():
            for path in self.directory.glob("*.png"):
                path.unlink()
            self._replace(about, json.dumps(made_by, indent=1).encode())

    def missing(self, ids: Sequence[str]) -> list[int]:
        """The positions of those ids that are not translated yet."""
        return [position for position, name in enumerate(ids) if not self.path(name).exists()]

    def write(self, name: str, image: np.ndarray) -> None:
        """Keeps a translation, [height, width, 3] uint8, in a file that is never half there."""
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        Image.fromarray(image).save(temporary, format="PNG", compress_level=1)
        os.replace(temporary, path)

    def read(self, ids: Sequence[str]) -> np.ndarray:
        """Translations, [n, height, width, 3] uint8.

        Raises:
          ValueError: for a file that is no image any more.
        """
        return np.stack([self._read(self.path(name)) for name in ids])

    def _read(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path, formats=["PNG"]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} cannot be read ({error}). Delete it, and it is translated again.") from error

    @property
    def speed(self) -> dict[str, Any]:
        """What ``speed`` was last set to; empty before."""
        return json.loads(self._speed.read_text()) if self._speed.exists() else {}

    @speed.setter
    def speed(self, measured: Mapping[str, Any]) -> None:
        self._replace(self._speed, json.dumps(measured).encode())

    def path(self, name: str) -> Path:
        """The file of an id, which may hold what a file's name may not."""
        quoted = urllib.parse.quote(name, safe="")
        quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted  # Those are files under way.
        if len(quoted) > LONGEST_NAME:
            quoted = f"{quoted[: LONGEST_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.directory / f"{quoted}.png"

    @property
    def _speed(self) -> Path:
        return self.directory / "speed.json"

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
