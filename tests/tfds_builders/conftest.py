from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfds_builders import pairs


@pytest.fixture
def write_image():
    """Writes a PNG with a small random pattern, so that no two images are equal; returns its values."""
    rng = np.random.default_rng(0)

    def write(path: Path, *, mode: str, size: int = 256) -> np.ndarray:
        tile = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
        values = np.tile(tile, (size // 8, size // 8, 1))
        if mode == "L":
            values = values[..., :1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values[..., 0] if mode == "L" else values).save(path)
        return values

    return write


@pytest.fixture
def write_sen12(write_image):
    """Writes one pair in the original layout of SEN1-2; returns the values of both images."""

    def write(root: Path, *, season: str, scene: int | str, patch: int) -> tuple[np.ndarray, np.ndarray]:
        folder = root / season
        sar = write_image(folder / f"s1_{scene}" / f"{season}_s1_{scene}_p{patch}.png", mode="L")
        optical = write_image(folder / f"s2_{scene}" / f"{season}_s2_{scene}_p{patch}.png", mode="RGB")
        return sar, optical

    return write


@pytest.fixture
def scene_in():
    """The number of the first scene of a season that belongs to a split."""

    def find(split: str, season: str) -> int:
        return next(scene for scene in range(1000) if pairs.split_of(season, str(scene)) == split)

    return find
