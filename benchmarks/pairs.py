"""The pairs that are read: a prepared SEN1-2 and the files that it was made of."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sar2opt_jax.data import prepared
from tfds_builders import files, finding
from tfds_builders.prepare import prepare
from tfds_builders.sen12 import sen12_dataset_builder as sen12
from tfds_builders.simulated.simulated_dataset_builder import make_scene

SEASON = "ROIs1158_spring"


def simulate(folder: Path, *, num_pairs: int) -> None:
    """Writes simulated scenes as the files of a SEN1-2, 256 x 256 8-bit PNGs, each pair a scene of its own."""
    for number in range(num_pairs):
        scene = make_scene(number)
        for sensor, image in ((1, scene.sar), (2, scene.optical)):
            path = folder / SEASON / f"s{sensor}_{number}" / f"{SEASON}_s{sensor}_{number}_p1.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(image).save(path)


def multiply(found: Sequence[files.Pair], folder: Path, *, num_pairs: int, size: int) -> None:
    """Writes real pairs again and again, each time another crop, turned or mirrored, as ``KIND/SCENE/ID.png``.

    Crops go on at the opposite edge where an image ends. Every copy of a scene is a scene of its own.

    Args:
        found: 8-bit square images, which are all held in memory.
        folder: of the new files, in the layout of ``pairs``.
        num_pairs: how many to write.
        size: side of the crops in pixels, at most that of the images.
    """
    images = [{kind: _wrapped(np.asarray(Image.open(pair.path(kind)))) for kind in files.KINDS} for pair in found]
    for number in range(num_pairs):
        copy, place = divmod(number, len(found))
        patch = found[place].patch
        for kind, image in images[place].items():
            path = folder / kind / f"{patch.season}_{patch.scene}_{copy}" / f"{patch.id}_{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_crop(image, number, size)).save(path, compress_level=1)


def _wrapped(image: np.ndarray) -> np.ndarray:
    return np.pad(image, [(0, side) for side in image.shape[:2]] + [(0, 0)] * (image.ndim - 2), "wrap")


def _crop(image: np.ndarray, number: int, size: int) -> np.ndarray:
    top, left = (number * prime % (len(image) // 2) for prime in (7919, 104_729))
    crop = np.rot90(image[top : top + size, left : left + size], number // 7 % 4)
    return np.ascontiguousarray(crop[:, ::-1] if number // 7 % 8 > 3 else crop)


def open_pairs(
    *, data_dir: str | os.PathLike[str], manual_dir: str | os.PathLike[str]
) -> tuple[prepared.Source, list[files.Pair]]:
    """The training split of ``sen12``, prepared where it is not yet, and its files in the same order.

    Args:
        data_dir: where the prepared dataset stands, or is written.
        manual_dir: the PNG files of SEN1-2, in one of its layouts.

    Raises:
        FileNotFoundError: a pair of the split has no files in ``manual_dir``.
        ValueError, OSError: what ``prepare`` and ``open_split`` raise.
    """
    prepare("sen12", data_dir=data_dir, manual_dir=manual_dir)
    source = prepared.open_split("sen12", split="train", data_dir=data_dir)
    found, _ = finding.find_pairs(Path(manual_dir), sen12.layout)
    by_id = {pair.patch.id: pair for pair in found}
    ids = [source[position]["id"].decode() for position in range(len(source))]
    missing = [name for name in ids if name not in by_id]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(ids)} prepared pairs have no files in {manual_dir}, the first is {missing[0]}: "
            f"give as --manual_dir the folder that {data_dir} was prepared from."
        )
    return source, [by_id[name] for name in ids]
