"""Files of SAR-optical pairs: find them, decode every one once, say what is wrong with any.

A dataset describes itself by a *layout*, a function from a path to a ``Patch``, and by a *format* for each of its two
kinds of images. No TensorFlow Datasets in here: worker processes import this module, and are to start fast.
"""

import collections
import concurrent.futures
import dataclasses
import io
import multiprocessing
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import imagehash
import numpy as np
from PIL import Image
from tqdm import tqdm

from tfds_builders.description import image_digest

Kind = Literal["sar", "optical"]
KINDS: tuple[Kind, Kind] = ("sar", "optical")

_LITTER = {"thumbs.db", "desktop.ini"}  # what file managers leave behind; hidden files are passed over as well
_SIDECARS = (".aux.xml", ".ovr", ".msk", ".tfw", ".pgw", ".jgw", ".wld", ".prj")  # GDAL's, beside an image
_CHUNK = 16  # pairs handed to a process at a time
_SHARE = 1000  # pairs for which it pays to start a process, which takes seconds


class Patch(NamedTuple):
    """What a layout reads from the path of one file."""

    kind: Kind
    id: str  # the same for both files of a pair, unique in the dataset
    scene: str  # patches of one scene may overlap or touch
    season: str = ""
    terrain: str = ""


Layout = Callable[[Path], Patch | None]
"""``layout(path)``: the patch in this file, or None for a file that is none of the dataset's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two files that show the same ground."""

    patch: Patch  # of the SAR file
    sar: Path
    optical: Path

    def path(self, kind: Kind) -> Path:
        """The file of one kind."""
        return self.sar if kind == "sar" else self.optical


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
            f"{len(self.bad)} bad files under {root}, listed above. Nothing was written: repair or remove them, "
            "or leave them and their partners out with --skip_bad."
        )


class Format(Protocol):
    """How the images of one kind are stored in files, and how they go into the dataset. Pickled to processes."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height and width in pixels, and channels, of every image in the dataset."""
        ...

    @property
    def encoding(self) -> Literal["png", "jpeg", "zlib"]:
        """Of an image in the dataset: an image file, or an array, compressed."""
        ...

    def read(self, path: Path) -> np.ndarray:
        """The image as the dataset gives it back, [height, width, channel] uint8.

        A masked array where pixels have no value in the file; what is stored in their place lies under the mask.

        Raises:
            ValueError: what is wrong with the file, in words.
            OSError: it cannot be read.
        """
        ...

    def stored(self, path: Path) -> Path | bytes | np.ndarray:
        """What is written into the dataset: the file itself, the bytes of an image file, or the array of ``read``."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class EightBit:
    """Image files of one size with 8 bits a channel, which go into the dataset byte for byte.

    Attributes:
        size: height and width in pixels.
        mode: ``L`` for grey, ``RGB`` for colour. Grey may be stored as RGB with three equal channels.
        encoding: ``png`` or ``jpeg``, whatever the file's name says.
    """

    size: int
    mode: Literal["L", "RGB"]
    encoding: Literal["png", "jpeg"] = "png"

    @property
    def shape(self) -> tuple[int, int, int]:
        """See ``Format``."""
        return self.size, self.size, len(self.mode)

    def read(self, path: Path) -> np.ndarray:
        """See ``Format``. The size is compared before anything is decoded: a decompression bomb never unfolds."""
        with self._open(path) as image:
            if image.size != (self.size, self.size) or image.mode not in (self.mode, "RGB"):
                raise ValueError(self._unlike(image))
            image.load()
            if image.mode != self.mode and not _is_grey(image):
                raise ValueError(self._unlike(image))
            return np.asarray(image).reshape(self.size, self.size, -1)[..., : len(self.mode)]

    def stored(self, path: Path) -> Path | bytes:
        """The file; or a PNG of the first of three equal channels, where a grey image is stored as RGB."""
        with self._open(path) as image:
            if image.mode == self.mode:
                return path
            grey = io.BytesIO()
            image.getchannel(0).save(grey, format="PNG")
        return grey.getvalue()

    def _open(self, path: Path) -> Image.Image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path, formats=[self.encoding.upper()])

    def _unlike(self, image: Image.Image) -> str:
        width, height = image.size
        return f"{height} x {width} pixels of mode {image.mode}, expected {self.size} x {self.size} of mode {self.mode}"


class ImageFacts(NamedTuple):
    """What is remembered of a decoded image.

    ``fingerprint`` is a perceptual hash of 64 bits, for the audit: the signs of the lowest cosine frequencies. None
    for an image of one colour, in which there is nothing to compare.
    """

    fingerprint: int | None
    pixels: int
    total: tuple[float, ...]  # of the values 0 .. 255, a channel
    total_square: tuple[float, ...]
    missing: int = 0  # pixels without a value in the file, in any channel
    digest: bytes = b""  # of shape and values, see `description.image_digest`


class Facts(NamedTuple):
    """What is remembered of a decoded pair."""

    sar: ImageFacts
    optical: ImageFacts


def find_pairs(root: Path, layout: Layout) -> tuple[list[Pair], list[BadFile]]:
    """Pairs by id, from the names of the files alone. Symbolic links are followed.

    Returns:
        The pairs, sorted by id; and what cannot be used: files without a partner, with an id that another file has
        already, that are no patch although their folder holds patches, and folders that cannot be read.
    """
    bad: list[BadFile] = []
    files: dict[str, dict[Kind, tuple[Path, Patch]]] = collections.defaultdict(dict)

    def unreadable(error: OSError) -> None:
        bad.append(BadFile(Path(error.filename), f"unreadable folder: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        shown = sorted(name for name in names if not _passed_over(name))
        patches = {path: layout(path) for path in (Path(folder, name) for name in shown)}
        strangers = [path for path, patch in patches.items() if patch is None]
        if len(strangers) < len(patches):
            bad += [BadFile(path, "not an image of this dataset, among its images") for path in strangers]
        for path, patch in patches.items():
            if patch is None:
                continue
            if patch.kind in files[patch.id]:
                bad.append(BadFile(path, f"the same patch as {files[patch.id][patch.kind][0]}"))
            else:
                files[patch.id][patch.kind] = (path, patch)

    pairs: list[Pair] = []
    for _, found in sorted(files.items()):
        if len(found) == 2:
            (sar, patch), (optical, partner) = found["sar"], found["optical"]
            # A layout may tell the terrain by the folder of one kind only.
            patch = patch._replace(terrain=patch.terrain or partner.terrain)
            pairs.append(Pair(patch=patch, sar=sar, optical=optical))
        else:
            [(kind, (path, _))] = found.items()
            bad.append(BadFile(path, f"no {'optical' if kind == 'sar' else 'SAR'} partner"))
    return pairs, bad


def _passed_over(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(".") or lower in _LITTER or lower.endswith(_SIDECARS)


def check_pairs(
    pairs: Sequence[Pair], formats: Mapping[Kind, Format], *, processes: int = 1
) -> tuple[dict[str, Facts], list[BadFile]]:
    """Decodes both images of every pair, the only way to notice a truncated file.

    Returns:
        The facts of the good pairs by id, and the files that are not what their format asks for.
    """
    facts: dict[str, Facts] = {}
    bad: list[BadFile] = []
    work = [(pair, dict(formats)) for pair in pairs]
    examined = ordered_map(_examine, work, processes=processes)
    bar = tqdm(examined, total=len(pairs), desc="Checking files", unit=" pairs", disable=None)
    for pair, (found, faults) in zip(pairs, bar, strict=True):
        bad += faults
        if found is not None:
            facts[pair.patch.id] = found
    return facts, bad


def stored_pairs(
    pairs: Sequence[Pair], formats: Mapping[Kind, Format], *, processes: int = 1
) -> Iterator[tuple[Pair, dict[Kind, Any]]]:
    """The pairs in order, each with what is written of its images."""
    work = [(pair, dict(formats)) for pair in pairs]
    return zip(pairs, ordered_map(_stored, work, processes=processes), strict=True)


Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Sequence[Item], *, processes: int) -> Iterator[Result]:
    """``map`` over processes, in order, never far ahead of the reader: results of a whole dataset are not kept.

    One process is this one; few items stay in it. More are started afresh (``spawn``), because a process that holds JAX
    cannot be forked.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    processes = min(processes, len(items) // _SHARE)
    if processes <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting: collections.deque[concurrent.futures.Future[list[Result]]] = collections.deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_map_chunk, function, chunk))
                if len(waiting) > 2 * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _map_chunk(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    return [function(item) for item in chunk]


def _examine(work: tuple[Pair, Mapping[Kind, Format]]) -> tuple[Facts | None, list[BadFile]]:
    pair, formats = work
    found, bad = {}, []
    for kind in KINDS:
        path = pair.path(kind)
        try:
            size = path.stat()
            if not stat.S_ISREG(size.st_mode):
                bad.append(BadFile(path, "not a file"))
            elif size.st_size == 0:
                bad.append(BadFile(path, "empty, 0 bytes"))
            else:
                found[kind] = image_facts(formats[kind].read(path))
        except Image.UnidentifiedImageError:
            bad.append(BadFile(path, "unreadable: not an image of the expected kind"))
        except (OSError, SyntaxError) as error:  # what Pillow raises for broken files
            bad.append(BadFile(path, f"unreadable: {error}"))
        except (ValueError, Image.DecompressionBombError) as error:
            bad.append(BadFile(path, str(error)))
    return (None, bad) if bad else (Facts(**found), bad)


def _stored(work: tuple[Pair, Mapping[Kind, Format]]) -> dict[Kind, Any]:
    pair, formats = work
    return {kind: formats[kind].stored(pair.path(kind)) for kind in KINDS}


def image_facts(values: np.ndarray) -> ImageFacts:
    """The facts of an image, [height, width, channel] uint8; masked where there is no value in the file."""
    missing = int(np.ma.getmaskarray(values).any(axis=-1).sum())
    values = np.ma.getdata(values)
    flat = values.reshape(-1, values.shape[-1])
    fingerprint = None
    if (flat != flat[0]).any():
        grey = Image.fromarray(values.mean(axis=-1).round().astype(np.uint8))
        fingerprint = int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes())
    total = flat.sum(axis=0, dtype=np.float64)
    total_square = np.square(flat, dtype=np.float64).sum(axis=0)
    return ImageFacts(
        fingerprint=fingerprint,
        pixels=len(flat),
        total=tuple(total.tolist()),
        total_square=tuple(total_square.tolist()),
        missing=missing,
        digest=image_digest(values),
    )


def _is_grey(image: Image.Image) -> bool:
    """Whether this is an RGB image with three equal channels, as some archives store radar images."""
    values = np.asarray(image)
    return bool((values == values[..., :1]).all())
