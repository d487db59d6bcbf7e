"""Makes own pairs as somebody might have them:  python pairs.py FOLDER folders | table | tiff | scenes

``folders`` is 8-bit PNG without subfolders, ``scenes`` the same with one, ``table`` the files of ``pairs.csv``, and
``tiff`` float dB with two bands beside 16-bit reflectances with four, as radar and optical satellites deliver them.
"""

import csv
import io
import runpy
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio

write_image = runpy.run_path(str(Path(__file__).with_name("images.py")))["write_image"]

SIZE = 16
NAMES = {"porto": ("a", "b"), "lagos": ("c",), "faro": ("d",)}  # of each scene
NODATA = -9999.0


def write_tiff(path: Path, values: np.ndarray, *, nodata: float | None = None) -> None:
    """Writes a GeoTIFF of [height, width, band] values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    options = {"height": height, "width": width, "count": count, "dtype": values.dtype, "nodata": nodata}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **options) as file:
            file.write(np.moveaxis(values, -1, 0))


def write_png16(path: Path, values: np.ndarray) -> None:
    """Writes a PNG of [height, width, channel] values with 16 bits, grey or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="PNG", height=height, width=width, count=count, dtype="uint16") as file:
            file.write(np.moveaxis(values, -1, 0))


def decibels(seed: int, *, bands: int = 2, size: int = SIZE) -> np.ndarray:
    """dB from -30 to 5, a different range in each band, [size, size, bands] float32."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-30, 0, (size, size, bands)) + 5 * np.arange(bands) / bands).astype(np.float32)


def reflectances(seed: int, *, bands: int = 4, size: int = SIZE) -> np.ndarray:
    """Ten thousandths, [size, size, bands] uint16."""
    return np.random.default_rng(seed).integers(200, 4000, (size, size, bands), dtype=np.uint16)


def write_table(root: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Writes ``pairs.csv``."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    root.mkdir(parents=True, exist_ok=True)
    (root / "pairs.csv").write_text(text.getvalue())


def write(
    root: Path, *, layout: Literal["folders", "scenes", "table", "tiff"] = "folders"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes four pairs and returns radar and optical image of each, as the files hold them, by its id."""
    written, rows = {}, []
    for scene, names in NAMES.items():
        for number, name in enumerate(names):
            if layout == "tiff":
                key = f"{scene}/{name}"
                images = decibels(ord(name)), reflectances(ord(name))
                write_tiff(root / "sar" / f"{key}.tif", images[0], nodata=NODATA)
                write_tiff(root / "optical" / f"{key}.tiff", images[1])
            else:
                key = {"folders": f"{scene}_{number}", "scenes": f"{scene}/{name}", "table": f"pair-{name}"}[layout]
                sar, optical = (
                    (root / "files" / f"{name}_radar.png", root / "files" / f"{name}_colour.png")
                    if layout == "table"
                    else (root / "sar" / f"{key}.png", root / "optical" / f"{key}.png")
                )
                images = write_image(sar, mode="L", size=SIZE), write_image(optical, mode="RGB", size=SIZE)
                rows.append(
                    {"sar": f"files/{sar.name}", "optical": f"files/{optical.name}", "id": key, "scene": scene}
                    | {"season": "summer", "terrain": "urban" if scene == "porto" else ""}
                    | {"split": {"porto": "train", "lagos": "validation", "faro": "test"}[scene]}
                )
            written[key] = images
    if layout == "table":
        write_table(root, rows)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]), layout=sys.argv[2])
