"""Files of SAR-optical pairs, or tiles of them: decode every one once, say what is wrong with any.

A dataset describes itself by a *layout*, a function from a path to a ``Patch``, and by a *format* for each of its two
kinds of images. No TensorFlow Datasets in here: worker processes import this module, and are to start fast.
"""

import dataclasses
import io
import itertools
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import imagehash
import numpy as np
from PIL import Image
from tqdm import tqdm

from tfds_builders import imagery
from tfds_builders.bad_files import BadFile as BadFile
from tfds_builders.bad_files import BadFilesError as BadFilesError
from tfds_builders.description import image_digest
from tfds_builders.imagery import UNREADABLE, Source, Tile, Window, file_of
from tfds_builders.parallel import process_map
from tfds_builders.values import BlankError, Counts, Decoded, Tally, check_levels, count_levels, counts

Kind = Literal["sar", "optical"]
KINDS: tuple[Kind, Kind] = ("sar", "optical")


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
    """Two files that show the same ground, or the same tile of two files.

    Attributes:
        patch: of the SAR file.
        sar: that file.
        optical: its partner.
        windows: of a tile, where it lies in the upright SAR and optical image.
    """

    patch: Patch
    sar: Path
    optical: Path
    windows: tuple[Window, Window] | None = None

    def path(self, kind: Kind) -> Path:
        """The file of one kind."""
        return self.sar if kind == "sar" else self.optical

    def image(self, kind: Kind) -> Source:
        """What is read of this file: all of it, or the tile."""
        path = self.path(kind)
        return path if self.windows is None else Tile(path, self.windows[KINDS.index(kind)])


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

    def read(self, source: Source) -> np.ndarray:
        """The image as the dataset gives it back, [height, width, channel] uint8.

        A masked array where pixels have no value in the file; what is stored in their place lies under the mask.

        Raises:
            ValueError: what is wrong with the file, in words.
            OSError: it cannot be read.
        """
        ...

    def decode(self, source: Source) -> Decoded:
        """The same image, with what is to be known of it before it is used.

        Raises:
            ValueError: as for ``read``.
            BlankError: all pixels have one value, or none.
            OSError: it cannot be read.
        """
        ...

    def stored(self, source: Source) -> Path | bytes | np.ndarray:
        """What is written into the dataset: the file itself, the bytes of an image file, or the array of ``read``."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class EightBit:
    """Image files of one size with 8 bits a channel, which go into the dataset byte for byte. They are never cut.

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

    def read(self, source: Source) -> np.ndarray:
        """See ``Format``. The size is compared before anything is decoded: a decompression bomb never unfolds."""
        with self._open(source) as image:
            if image.size != (self.size, self.size) or image.mode not in (self.mode, "RGB"):
                raise ValueError(self._unlike(image))
            image.load()
            if image.mode != self.mode and not _is_grey(image):
                raise ValueError(self._unlike(image))
            return np.asarray(image).reshape(self.size, self.size, -1)[..., : len(self.mode)]

    def decode(self, source: Source) -> Decoded:
        """See ``Format``."""
        image = self.read(source)
        if not imagery.header(source).plain:
            raise ValueError("transparent pixels or an orientation tag, which not all decoders obey: save it without")
        return Decoded(image)

    def stored(self, source: Source) -> Path | bytes:
        """The file; or a PNG of the first of three equal channels, where a grey image is stored as RGB."""
        with self._open(source) as image:
            if image.mode == self.mode:
                return file_of(source)
            grey = io.BytesIO()
            image.getchannel(0).save(grey, format="PNG")
        return grey.getvalue()

    def _open(self, source: Source) -> Image.Image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file_of(source), formats=[self.encoding.upper()])

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
    suspects: tuple[float, ...] = ()  # see `values.Decoded`
    lowest: float | None = None  # the same


class Facts(NamedTuple):
    """What is remembered of a decoded pair."""

    sar: ImageFacts
    optical: ImageFacts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """What came out of decoding all pairs.

    Attributes:
        facts: of the good pairs, by id.
        bad: files that are not what their format asks for.
        dropped: by id, why tiles are no examples, although nothing is wrong with their files.
        tallies: the stored values of all images that could be decoded.
    """

    facts: dict[str, Facts]
    bad: list[BadFile]
    dropped: dict[str, str]
    tallies: dict[Kind, Tally]


def check_pairs(
    pairs: Sequence[Pair], formats: Mapping[Kind, Format], *, processes: int = 1, max_missing: float = 0.0
) -> Checked:
    """Decodes both images of every pair, the only way to notice a truncated file.

    Args:
        pairs: files or tiles.
        formats: how the images of each kind are read.
        processes: how many decode files.
        max_missing: share of a tile's pixels that may have no value in one of its images. Whole files are kept.
    """
    facts: dict[str, Facts] = {}
    bad: dict[BadFile, None] = {}  # What is wrong with a scene is wrong with each of its tiles.
    dropped: dict[str, str] = {}
    tallies: dict[Kind, Tally] = {kind: Tally() for kind in KINDS}
    work = zip(pairs, itertools.repeat(dict(formats)), itertools.repeat(max_missing))
    examined = process_map(_examine, work, images=len(pairs), processes=processes)
    bar = tqdm(examined, total=len(pairs), desc="Checking files", unit=" pairs", disable=None)
    for pair, found in zip(pairs, bar, strict=True):
        bad |= dict.fromkeys(found.bad)
        for kind, count in found.levels.items():
            tallies[kind].add(count)
        if found.dropped:
            dropped[pair.patch.id] = found.dropped
        elif found.facts is not None:
            facts[pair.patch.id] = found.facts
    return Checked(facts=facts, bad=list(bad), dropped=dropped, tallies=tallies)


def stored_pairs(
    pairs: Sequence[Pair], formats: Mapping[Kind, Format], *, processes: int = 1
) -> Iterator[tuple[Pair, dict[Kind, Any]]]:
    """The pairs in order, each with what is written of its images."""
    work = zip(pairs, itertools.repeat(dict(formats)))
    return zip(pairs, process_map(_stored, work, images=len(pairs), processes=processes), strict=True)


class _Examined(NamedTuple):
    facts: Facts | None
    levels: dict[Kind, Counts]
    bad: list[BadFile]
    dropped: str


def _examine(work: tuple[Pair, Mapping[Kind, Format], float]) -> _Examined:
    pair, formats, max_missing = work
    found: dict[Kind, ImageFacts] = {}
    levels: dict[Kind, Counts] = {}
    missing: dict[Kind, np.ndarray] = {}
    bad: list[BadFile] = []
    blank: list[str] = []
    for kind in KINDS:
        try:
            _check_file(pair.path(kind))
            decoded = formats[kind].decode(pair.image(kind))
            counted = counts(decoded)
            if decoded.clipped is None:
                check_levels(counted.levels)
            levels[kind] = counted
            missing[kind] = np.any(np.ma.getmaskarray(decoded.image), axis=-1, keepdims=True)
            found[kind] = image_facts(decoded.image, counted.levels)._replace(
                suspects=decoded.suspects, lowest=decoded.lowest
            )
            if (counted.levels > 0).sum(axis=-1).min() < 2:
                raise BlankError("a band is stored as one value in all pixels: its range does not fit it")
        except BlankError as error:
            if pair.windows is None:
                bad.append(BadFile(pair.path(kind), str(error)))
            else:
                blank.append(f"{kind}: {error}")
        except UNREADABLE as error:
            bad.append(BadFile(pair.path(kind), reason(error)))
    if bad:
        return _Examined(None, levels, bad, "")
    if pair.windows is not None and missing:
        share = np.logical_or.reduce(list(missing.values())).mean()
        if share > max_missing:
            return _Examined(None, {}, [], f"{share:.1%} of its pixels have no value")
    return _Examined(None if blank else Facts(**found), levels, bad, "; ".join(blank))


def _check_file(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a file")
    if status.st_size == 0:
        raise ValueError("empty, 0 bytes")


def reason(error: Exception) -> str:
    """What is wrong with a file, in words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "unreadable: not an image of the expected kind"
    if isinstance(error, ValueError | Image.DecompressionBombError):
        return str(error)
    return f"unreadable: {error}"


def _stored(work: tuple[Pair, Mapping[Kind, Format]]) -> dict[Kind, Any]:
    pair, formats = work
    return {kind: formats[kind].stored(pair.image(kind)) for kind in KINDS}


def image_facts(image: np.ndarray, levels: np.ndarray | None = None) -> ImageFacts:
    """The facts of an image, [height, width, channel] uint8; masked where there is no value in the file.

    ``levels``, [channel, 256], is how often each value occurs where nothing is masked, if that is known already.
    """
    missing = int(np.ma.getmaskarray(image).any(axis=-1).sum()) if np.ma.is_masked(image) else 0
    values = np.ma.getdata(image)
    if levels is None or missing:
        levels = count_levels(values)
    fingerprint = None
    if np.count_nonzero(levels, axis=-1).max() > 1:
        grey = Image.fromarray(
            values.mean(axis=-1).round().astype(np.uint8) if values.shape[-1] > 1 else values[..., 0]
        )
        fingerprint = int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes())
    level = np.arange(256, dtype=np.float64)
    return ImageFacts(
        fingerprint=fingerprint,
        pixels=values.shape[0] * values.shape[1],
        total=tuple((levels @ level).tolist()),
        total_square=tuple((levels @ level**2).tolist()),
        missing=missing,
        digest=image_digest(values),
    )


def _is_grey(image: Image.Image) -> bool:
    """Whether this is an RGB image with three equal channels, as some archives store radar images."""
    values = np.asarray(image)
    return bool((values == values[..., :1]).all())
