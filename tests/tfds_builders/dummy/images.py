"""Small image files for dummy datasets: every one different, in the coarse and in the fine."""

import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

CELL = 8  # pixels


def write_image(path: Path, *, mode: Literal["L", "RGB"], size: int = 256, seed: int | None = None) -> np.ndarray:
    """Writes random squares, by default decided by the file's name and folder; PNG or JPEG by the name's ending.

    Returns:
        What was drawn, [size, size, channel] uint8; a JPEG file gives back nearly that.
    """
    key = zlib.crc32("/".join(path.parts[-3:]).encode()) if seed is None else seed
    cells = np.random.default_rng(key).integers(256, size=(-(-size // CELL), -(-size // CELL), 3), dtype=np.uint8)
    values = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[:size, :size]
    if mode == "L":
        values = values[..., :1]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values[..., 0] if mode == "L" else values).save(path, quality=95)
    return values
