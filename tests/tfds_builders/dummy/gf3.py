"""Makes a dummy of a public collection:  python gf3.py FOLDER qxs_saropt | osdataset | osdataset_256 | three_mos"""

import runpy
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

write_image = runpy.run_path(str(Path(__file__).with_name("images.py")))["write_image"]

TERRAINS = ("urban", "water", "plains")


def paths(collection: str, number: int) -> tuple[str, str]:
    """Where the radar and the optical image of a crop stand."""
    if collection == "qxs_saropt":
        return f"QXSLAB_SAROPT/sar_256_oc_0.2/{number}.png", f"QXSLAB_SAROPT/opt_256_oc_0.2/{number}.png"
    if collection == "three_mos":
        return f"3MOS/GF3/sar/sar_{number}.jpg", f"3MOS/GF3/opt/{TERRAINS[number % 3]}/opt_{number}.jpg"
    size = "256" if collection == "osdataset_256" else "512"
    folder = ("train", "val", "test")[number % 3]
    return f"{size}/{folder}/sar{number}.png", f"{size}/{folder}/opt{number}.png"


def write(
    root: Path, *, collection: str, numbers: Iterable[int] = (1, 2, 3)
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Writes pairs and returns radar and optical image of each by its number."""
    size = 512 if collection == "osdataset" else 256
    written = {}
    for number in numbers:
        sar, optical = (root / path for path in paths(collection, number))
        written[number] = write_image(sar, mode="L", size=size), write_image(optical, mode="RGB", size=size)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]), collection=sys.argv[2])
