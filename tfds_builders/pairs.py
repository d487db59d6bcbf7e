"""Reading folders of SAR-optical pairs: find them, check every file, split them by scene.

A dataset describes itself by a *layout*, a function from a path to a ``Patch``; everything else is shared.
"""

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import tqdm

SPLITS = ("train", "validation", "test")


class Patch(NamedTuple):
    """What a layout reads from the path of one file."""

    kind: Literal["sar", "optical"]
    id: str  # the same for both files of a pair, unique in the dataset
    scene: str  # patches of one scene may overlap or touch
    season: str = ""
    terrain: str = ""


Layout = Callable[[Path], Patch | None]
"""``layout(path)``: the patch in this file, or None for a file that is none of the dataset's."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two files that show the same ground."""

    patch: Patch  # of the SAR file
    sar: Path
    optical: Path


class BadFile(NamedTuple):
    """A file that cannot be used, and why."""

    path: Path
    reason: str


class BadFilesError(ValueError):
    """Files of a dataset cannot be used; the message lists all of them."""

    def __init__(self, bad: Sequence[BadFile], *, root: Path):
        """Keeps the list as ``bad``, in the order of the paths."""
        self.bad = sorted(bad)
        lines = "\n".join(f"  {file.path}: {file.reason}" for file in self.bad)
        super().__init__(
            f"Files that cannot be used:\n{lines}\n"
            f"{len(self.bad)} bad files under {root}, listed above. Nothing was written: repair or remove them first."
        )


def read_pairs(root: str | os.PathLike[str], layout: Layout, *, expected: str, size: int) -> list[Pair]:
    """All pairs under a folder, every file of them decoded once and found good.

    Args:
        root: the folder; symbolic links are followed.
        layout: tells the dataset's files from others.
        expected: an example of a file's place below ``root``, for the message when there is none.
        size: side in pixels that every image must have.

    Returns:
        The pairs, sorted by id.

    Raises:
        FileNotFoundError: no such folder, or no file in it fits the layout.
        BadFilesError: at least one file is bad; all are listed.
    """
    root = Path(root)
    pairs, bad = find_pairs(root, layout)
    if not pairs and not bad:
        raise FileNotFoundError(f"No pairs under {root}: expected PNG files such as {expected}.")
    bad += check_pairs(pairs, size=size)
    if bad:
        raise BadFilesError(bad, root=root)
    return pairs


def find_pairs(root: Path, layout: Layout) -> tuple[list[Pair], list[BadFile]]:
    """Pairs by id, from the names of the files alone.

    Returns:
        The pairs, sorted by id, and the files without a partner or with an id that another file has already.
    """
    bad: list[BadFile] = []
    files: dict[str, dict[str, tuple[Path, Patch]]] = defaultdict(dict)
    for path in _png_files(root):
        if (patch := layout(path)) is None:
            continue
        if patch.kind in files[patch.id]:
            bad.append(BadFile(path, f"the same patch as {files[patch.id][patch.kind][0]}"))
        else:
            files[patch.id][patch.kind] = (path, patch)

    pairs: list[Pair] = []
    for _, found in sorted(files.items()):
        if len(found) == 2:
            (sar, patch), (optical, _) = found["sar"], found["optical"]
            pairs.append(Pair(patch=patch, sar=sar, optical=optical))
        else:
            [(kind, (path, _))] = found.items()
            bad.append(BadFile(path, f"no {'optical' if kind == 'sar' else 'SAR'} partner"))
    return pairs, bad


def check_pairs(pairs: Sequence[Pair], *, size: int) -> list[BadFile]:
    """The files of the pairs that are not whole 8-bit PNG images of the right size and kind.

    Every file is decoded, which is the only way to notice a truncated one; threads share the work. A radar image may be
    stored as RGB if its three channels are equal.
    """

    def check(pair: Pair) -> list[BadFile]:
        reasons = ((path, _fault(path, kind, size)) for path, kind in ((pair.sar, "sar"), (pair.optical, "optical")))
        return [BadFile(path, reason) for path, reason in reasons if reason]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = tqdm(threads.map(check, pairs), total=len(pairs), desc="Checking files", unit=" pairs", leave=False)
        return [file for files in found for file in files]


def split_of(season: str, scene: str) -> str:
    """The split a scene belongs to: about 80 % train, 10 % validation, 10 % test of the scenes.

    A hash of the name decides, not a count or a random draw: the same scene stands in the same split whichever part of
    the dataset is on the disk, so that results on a subset and on the whole are about the same ground.
    """
    digest = hashlib.blake2b(f"{season}/{scene}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if position < 0.8 else "validation" if position < 0.9 else "test"


def by_split(pairs: Iterable[Pair], rule: Callable[[Patch], str | None]) -> dict[str, list[Pair]]:
    """Pairs sorted into ``SPLITS`` by a rule; None leaves a pair out, and splits without pairs are left out."""
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        if (name := rule(pair.patch)) is not None:
            splits[name].append(pair)
    return {name: members for name, members in splits.items() if members}


def count_scenes(splits: dict[str, list[Pair]]) -> dict[str, int]:
    """How many scenes each split holds."""
    return {name: len({(p.patch.season, p.patch.scene) for p in pairs}) for name, pairs in splits.items()}


def features(size: int) -> tfds.features.FeaturesDict:
    """What is stored of a pair: the files' own PNG bytes, and where they come from."""
    return tfds.features.FeaturesDict(
        {
            "sar": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
            "optical": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
            "id": tfds.features.Text(),
            "season": tfds.features.Text(),
            "scene": tfds.features.Text(),
            "terrain": tfds.features.Text(),
        }
    )


def example(pair: Pair) -> dict[str, Any]:
    """The pair as TFDS takes it without TensorFlow: images as paths or bytes, never as arrays."""
    patch = pair.patch
    return {
        "sar": _grey_png(pair.sar),
        "optical": pair.optical,
        "id": patch.id,
        "season": patch.season,
        "scene": patch.scene,
        "terrain": patch.terrain,
    }


def _png_files(root: Path) -> list[Path]:
    """All PNG files below a folder in the order of their paths, without hidden ones (macOS adds ``._NAME.png``)."""
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
        if name.lower().endswith(".png") and not name.startswith(".")
    )


def _fault(path: Path, kind: str, size: int) -> str | None:
    """Why this file cannot be used, or None."""
    mode = {"sar": "L", "optical": "RGB"}[kind]
    try:
        if path.stat().st_size == 0:
            return "empty, 0 bytes"
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            if image.size != (size, size) or not (image.mode == mode or (kind == "sar" and _is_grey(image))):
                width, height = image.size
                return f"{height} x {width} pixels of mode {image.mode}, expected {size} x {size} of mode {mode}"
    except (OSError, SyntaxError, ValueError) as error:  # all that Pillow raises for broken files
        return f"unreadable: {error}"
    return None


def _is_grey(image: Image.Image) -> bool:
    """Whether this is an RGB image with three equal channels, as some archives store radar images."""
    if image.mode != "RGB":
        return False
    values = np.asarray(image)
    return bool((values == values[..., :1]).all())


def _grey_png(path: Path) -> Path | bytes:
    """The file itself if it has one channel, otherwise the first of its three equal channels as a PNG."""
    with Image.open(path) as image:
        if image.mode == "L":
            return path
        grey = io.BytesIO()
        image.getchannel(0).save(grey, format="PNG")
    return grey.getvalue()
