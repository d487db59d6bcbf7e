"""Translations on the disk: 8-bit PNG files, which any viewer opens and any other tool can measure.

Translations are kept, so a killed evaluation resumes and new metrics need no new translations. A folder records which
network made its translations, and each file the digest of its radar image.
"""

import hashlib
import logging
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from sar2opt_jax import paths

logger = logging.getLogger(__name__)

SOURCE = "source"
"""The text in a PNG file that holds the digest of the radar image."""
LONGEST_NAME = 200
"""Characters of a file's name, of the 255 bytes that file systems allow."""


class Gallery:
    """The translations of one method: ``DIRECTORY/ID.png``, with ``about.json`` and ``speed.json`` beside them."""

    def __init__(self, directory: Path):
        """Names a directory; nothing is read or written yet."""
        self.directory = directory

    def open(self, *, made_by: Mapping[str, Any]) -> None:
        """Makes or reuses the directory; stale translations, made by another network or method, are removed.

        Args:
          made_by: plain JSON of what a translation depends on besides its radar image: network, method, noise.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        about = self.directory / "about.json"
        paths.remove_leftovers(self.directory)
        if paths.read_json(about) == made_by:
            return
        stale = list(self.directory.glob("*.png"))
        if stale:
            logger.info("%s: removing %d stale translations, by another network or method.", self.directory, len(stale))
        about.unlink(missing_ok=True)  # First, or a kill in between would leave stale files that look valid.
        for path in (*stale, self._speed):
            path.unlink(missing_ok=True)
        paths.write_json(about, made_by)

    def missing(self, ids: Sequence[str], sources: Sequence[str]) -> list[int]:
        """The positions of the examples without a translation of their current radar image.

        Args:
          ids: of the examples.
          sources: digests of their radar images.
        """
        return [i for i, (name, source) in enumerate(zip(ids, sources, strict=True)) if self._source(name) != source]

    def _source(self, name: str) -> str | None:
        try:
            with Image.open(self.path(name), formats=["PNG"]) as image:
                return image.info.get(SOURCE)
        except (OSError, SyntaxError):
            return None

    def write(self, name: str, image: np.ndarray, *, source: str) -> None:
        """Writes a translation.

        Args:
          name: the example's id.
          image: [height, width, 3] uint8.
          source: the digest of its radar image.
        """
        info = PngImagePlugin.PngInfo()
        info.add_text(SOURCE, source)
        with paths.atomic_file(self.path(name)) as temporary:
            Image.fromarray(image).save(temporary, format="PNG", compress_level=1, pnginfo=info)

    def read(self, ids: Sequence[str]) -> np.ndarray:
        """Translations, [n, height, width, 3] uint8.

        Raises:
          ValueError: for a corrupt file.
        """
        return np.stack([self._read(self.path(name)) for name in ids])

    def _read(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path, formats=["PNG"]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} cannot be read ({error}). Delete it; it is then translated again.") from error

    @property
    def speed(self) -> dict[str, Any]:
        """What ``speed`` was last set to; empty before."""
        return paths.read_json(self._speed) or {}

    @speed.setter
    def speed(self, measured: Mapping[str, Any]) -> None:
        paths.write_json(self._speed, measured)

    def path(self, name: str) -> Path:
        """The file of an id, which may hold what a file's name may not."""
        quoted = urllib.parse.quote(name, safe="")
        quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted  # A leading dot marks temporary files.
        if len(quoted) > LONGEST_NAME:
            quoted = f"{quoted[: LONGEST_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.directory / f"{quoted}.png"

    @property
    def _speed(self) -> Path:
        return self.directory / "speed.json"
