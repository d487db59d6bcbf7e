"""Makes a dummy SEN1-2 in one of its two layouts:  python sen12.py FOLDER original | terrain"""

import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

write_image = runpy.run_path(str(Path(__file__).with_name("images.py")))["write_image"]

SEASON = "ROIs1970_fall"
PATCHES = {13: (265, 266), 114: (2, 3), 17: (1,)}  # of each scene
TERRAINS = {13: "agri", 114: "urban", 17: "grassland"}


def write(
    root: Path,
    *,
    layout: Literal["original", "terrain"] = "original",
    season: str = SEASON,
    patches: Mapping[int, tuple[int, ...]] = PATCHES,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes 256 x 256 pairs and returns radar and optical image of each by its id."""
    written = {}
    for scene, numbers in patches.items():
        for number in numbers:
            images = []
            for sensor, mode in ((1, "L"), (2, "RGB")):
                if layout == "original":
                    folder = root / season / f"s{sensor}_{scene}"
                else:
                    folder = root / "v_2" / TERRAINS[scene] / f"s{sensor}"
                images.append(write_image(folder / f"{season}_s{sensor}_{scene}_p{number}.png", mode=mode))
            written[f"{season}_{scene}_p{number}"] = tuple(images)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]), layout=sys.argv[2])
