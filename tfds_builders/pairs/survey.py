"""A look at the headers of all files before they are decoded: what they have in common, and how they are read."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from tfds_builders import files, imagery
from tfds_builders.files import KINDS, Kind, Pair
from tfds_builders.imagery.georeference import UPRIGHT
from tfds_builders.pairs import alignment, ranges
from tfds_builders.pairs.raster import Raster, band_spread
from tfds_builders.pairs.settings import Reading, Settings
from tfds_builders.pairs.signature import Signature, colours, copolar_first, order, scaled

MAX_PIXELS = 2**24
"""Of an image, 4096 x 4096: what is larger is a scene that was not cut, or a decompression bomb."""
_LOOKS_GREY = 3.0  # levels; what JPEG leaves of equal channels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """What the headers of a dataset's files say.

    Attributes:
        images: how the images of each kind are read.
        misfits: by the id of each pair whose images do not belong together, its radar image and why.
        nodata: the value that marks missing pixels, of each kind: as the owner says, else as all files do.
        notes: what the owner is to know, in sentences.
        ground_sampling_m: metres per pixel, if all files state the same.
    """

    images: dict[Kind, Raster]
    misfits: dict[str, files.BadFile]
    nodata: dict[Kind, float | None]
    notes: list[str]
    ground_sampling_m: float | None


def survey(pairs: Sequence[Pair], settings: Settings, *, root: Path, processes: int = 1) -> Survey:
    """How the images of a dataset are read, with its range measured where that is asked for.

    The form that most files have is that of the dataset; ``files.check_pairs`` reports files that differ.

    Args:
        pairs: all of the dataset, sorted by id.
        settings: what is stated about them.
        root: named in messages.
        processes: how many read files.

    Raises:
        ValueError: no pair can be read (``BadFilesError``), bands or range are missing or do not fit.
    """
    headers = _Headers(pairs)
    taken = files.ordered_map(_look, pairs, processes=processes)
    for look in tqdm(taken, total=len(pairs), desc="Reading headers", unit=" pairs", disable=None):
        headers.add(look)
    size = headers.size(root)
    images, notes = {}, []
    for kind in KINDS:
        images[kind], said = _format(kind, settings.reading(kind), headers, size)
        notes += said
    unstated = [
        ranges.question(kind, images[kind], [pair.path(kind) for pair in pairs])
        for kind in KINDS
        if settings.reading(kind).range is None and (images[kind].dtype != "uint8" or images[kind].scale != "file")
    ]
    if unstated:
        raise ValueError("\n".join(unstated))
    for kind in KINDS:
        if (text := settings.reading(kind).range) is not None:
            paths = {pair.patch.id: pair.path(kind) for pair in pairs}
            limits = ranges.limits(kind, text, images[kind], paths, processes=processes)
            images[kind] = dataclasses.replace(images[kind], limits=limits)
        images[kind] = dataclasses.replace(images[kind], encoding=_encoding(images[kind], headers.formats[kind]))
    return Survey(
        images=images,
        misfits=headers.misfits,
        nodata={kind: _nodata(images[kind], headers.nodata[kind]) for kind in KINDS},
        notes=notes + alignment.notes(headers.alignments),
        ground_sampling_m=headers.pixel_m.pop() if len(headers.pixel_m) == 1 else None,
    )


class _Look(NamedTuple):
    """What the headers of one pair say; a kind that cannot be read is missing."""

    pair: Pair
    signatures: dict[Kind, Signature]
    formats: dict[Kind, tuple[str, bool]]  # of the files, and whether they are plain
    alpha: dict[Kind, int | None]
    turned: tuple[Kind, ...]  # those that are not stored upright
    nodata: dict[Kind, float | None]
    pixel_m: frozenset[float | None]
    aligned: alignment.Alignment
    faults: list[files.BadFile]


def _look(pair: Pair) -> _Look:
    headers: dict[Kind, imagery.Header] = {}
    faults = []
    for kind in KINDS:
        try:
            headers[kind] = imagery.header(pair.path(kind))
        except imagery.UNREADABLE as error:
            faults.append(files.BadFile(pair.path(kind), files.reason(error)))
    return _Look(
        pair=pair,
        signatures={kind: Signature.of(header) for kind, header in headers.items()},
        formats={kind: (header.format, header.plain) for kind, header in headers.items()},
        alpha={kind: header.alpha for kind, header in headers.items()},
        turned=tuple(kind for kind, header in headers.items() if header.turn != UPRIGHT),
        nodata={kind: header.nodata for kind, header in headers.items()},
        pixel_m=frozenset(header.georeference.pixel_m if header.georeference else None for header in headers.values()),
        aligned=alignment.align(headers["sar"], headers["optical"]) if len(headers) == 2 else alignment.Alignment(),
        faults=faults,
    )


class _Headers:
    """What the headers of all pairs say together, kept small: signatures are counted, not collected."""

    def __init__(self, pairs: Sequence[Pair]):
        self.pairs = pairs
        self.formats: dict[Kind, set[tuple[str, bool]]] = {kind: set() for kind in KINDS}
        self.alpha: dict[Kind, set[int | None]] = {kind: set() for kind in KINDS}
        self.turned: collections.Counter[Kind] = collections.Counter()
        self.pixel_m: set[float | None] = set()
        self.alignments: list[alignment.Alignment] = []
        self.misfits: dict[str, files.BadFile] = {}  # by the pair's id
        self._counts: dict[Kind, collections.Counter[Signature]] = {kind: collections.Counter() for kind in KINDS}
        self._first: dict[tuple[Kind, Signature], Path] = {}
        self._files: dict[tuple[Kind, Signature], list[Path]] = collections.defaultdict(list)
        self.nodata: dict[Kind, collections.Counter[float | None]] = {kind: collections.Counter() for kind in KINDS}
        self._bad: list[files.BadFile] = []

    def add(self, look: _Look) -> None:
        """Counts another pair."""
        self._bad += look.faults
        self.pixel_m |= look.pixel_m
        for kind in look.signatures:
            self.formats[kind].add(look.formats[kind])
            self.alpha[kind].add(look.alpha[kind])
        if look.faults:
            return
        self.alignments.append(look.aligned)
        if look.aligned.fault is not None:
            self.misfits[look.pair.patch.id] = files.BadFile(look.pair.sar, look.aligned.fault)
            return
        sar, optical = look.signatures["sar"], look.signatures["optical"]
        if sar.size != optical.size:
            self._bad.append(files.BadFile(look.pair.sar, f"{sar}, but its partner {optical}"))
        elif sar.height * sar.width > MAX_PIXELS:
            self._bad.append(files.BadFile(look.pair.sar, f"{sar}: a scene, to be cut into smaller images first"))
        else:
            self.turned.update(look.turned)
            for kind in KINDS:
                signature = look.signatures[kind]
                self._counts[kind][signature] += 1
                self._first.setdefault((kind, signature), look.pair.path(kind))
                if self._counts[kind][signature].bit_count() == 1:  # 1, 2, 4, 8 ...: few, and from everywhere.
                    self._files[kind, signature].append(look.pair.path(kind))
                self.nodata[kind][look.nodata[kind]] += 1

    def size(self, root: Path) -> tuple[int, int]:
        """The most frequent height and width; of equally frequent ones the first.

        Raises:
            files.BadFilesError: no pair can stand for the dataset.
        """
        counts: collections.Counter[tuple[int, int]] = collections.Counter()
        for signature, count in self._counts["sar"].items():
            counts[signature.size] += count
        if not counts:
            raise files.BadFilesError([*self._bad, *self.misfits.values()], root=root)
        return counts.most_common(1)[0][0]

    def most_frequent(self, kind: Kind, size: tuple[int, int]) -> tuple[Signature, Path, list[Path]]:
        """The form that most files of a size have, the first file of it, and some of its files."""
        counts = {s: count for s, count in self._counts[kind].items() if s.size == size}
        # Of equally frequent orders of radar bands the usual one, VV before VH; else the first.
        signature = max(counts, key=lambda s: (counts[s], copolar_first(s)))
        return signature, self._first[kind, signature], self._files[kind, signature]

    def reordered(self, kind: Kind, expected: Signature) -> int:
        """How many files name the same bands in another order."""
        return sum(
            count
            for signature, count in self._counts[kind].items()
            if len(signature.numbers) == len(expected.numbers)
            and order(signature, expected) not in (None, expected.numbers)
        )


def _format(kind: Kind, reading: Reading, headers: _Headers, size: tuple[int, int]) -> tuple[Raster, list[str]]:
    """How the images of one kind are read, without a range; and what is to be said about it."""
    expected, like, some = headers.most_frequent(kind, size)
    _check_bands(kind, reading, expected, like=like, alpha=headers.alpha[kind])
    _check_nodata(kind, reading, expected, like)
    notes = []
    bands = reading.bands or expected.numbers
    if kind == "optical" and len(bands) != 3:
        raise ValueError(_choose_colours(expected, like))
    if kind == "optical" and reading.bands is None and (named := colours(expected)) not in (None, bands):
        bands = named
        notes.append(f"optical: by their names, bands {', '.join(map(str, named))} are red, green and blue")
    spread = _spread(some) if len(bands) > 1 and reading.bands is None else None
    grey = kind == "sar" and reading.bands is None and (len(bands) == 1 or spread == 0)
    if grey and len(bands) > 1:
        notes.append(f"sar: the {len(bands)} bands of a file are equal; they are stored as one channel")
        bands = bands[:1]
    elif spread is not None and spread < _LOOKS_GREY and expected.dtype == "uint8":
        advice = "--sar_bands=1 stores one channel" if kind == "sar" else "there is no colour in it to learn from"
        advice = "--sar_bands=1 stores one channel" if kind == "sar" else "there is no colour in it to learn from"
        notes.append(
            f"{kind}: the {len(bands)} bands of a file differ by {spread:.2g} grey levels on average, like grey that "
            f"was saved as colour: {advice}"
        )
    if count := headers.turned[kind]:
        notes.append(f"{kind}: {count:,} images are stored turned or mirrored, as they say, and were brought upright")
    if count := headers.reordered(kind, expected):
        notes.append(
            f"{kind}: {count:,} files name their bands in another order; all are read as {', '.join(expected.names)}"
        )
    if scaled(expected.scaling):
        notes.append(f"{kind}: scale and offset, which the files state, are not applied: a range is in stored numbers")
    form = Raster(
        expected=expected,
        like=like,
        bands=bands,
        grey=grey,
        scale=reading.scale,
        nodata=reading.nodata,
    )
    return form, notes


def _check_bands(kind: Kind, reading: Reading, expected: Signature, *, like: Path, alpha: set[int | None]) -> None:
    for band in reading.bands or ():
        if band in expected.numbers:
            continue
        if band in alpha:
            raise ValueError(
                f"--{kind}_bands asks for band {band}, which is transparency (alpha): it is a mask, never a channel; "
                f"{like} has the bands {', '.join(map(str, expected.numbers))}."
            )
        raise ValueError(f"--{kind}_bands asks for band {band}, but {like} has {len(expected.numbers)}.")


def _check_nodata(kind: Kind, reading: Reading, expected: Signature, like: Path) -> None:
    if reading.nodata is None or np.dtype(expected.dtype).kind == "f":
        return
    limits = np.iinfo(expected.dtype)
    if not (reading.nodata.is_integer() and limits.min <= reading.nodata <= limits.max):
        raise ValueError(
            f"--{kind}_nodata={reading.nodata:g} cannot occur in {expected.dtype} files such as {like}, whose values "
            f"are {limits.min} .. {limits.max}."
        )


def _choose_colours(expected: Signature, like: Path) -> str:
    count = len(expected.numbers)
    bands = "1 band" if count == 1 else f"{count} bands"
    named = colours(expected)
    if named is not None:
        advice = f"by their names, red, green and blue are --optical_bands={','.join(map(str, named))}"
    else:
        advice = "--optical_bands chooses, such as --optical_bands=4,3,2 for Sentinel-2"
    names = f" ({', '.join(expected.names)})" if expected.names else ""
    return f"{like} has {bands}{names}, an optical image three: red, green and blue; {advice}."


def _spread(paths: Iterable[Path]) -> float | None:
    """By how much the bands of most of these files differ from their first one, on average; 0 only if in no pixel.

    None where no file can be read.
    """
    rasters = [raster for path in paths if (raster := _read_or_none(path)) is not None]
    return float(np.median(list(map(band_spread, rasters)))) if rasters else None


def _read_or_none(path: Path) -> imagery.Raster | None:
    try:
        return imagery.read(path)
    except imagery.UNREADABLE:
        return None  # Bad, as will be found when it is read again.


def _encoding(form: Raster, formats: set[tuple[str, bool]]) -> Literal["png", "jpeg", "zlib"]:
    """How images are stored: as JPEG only if all files are, and are stored as they are."""
    if form.shape[-1] not in (1, 3):
        return "zlib"
    return "jpeg" if form.as_they_are and formats == {("jpeg", True)} else "png"


def _nodata(form: Raster, stated: Mapping[float | None, int]) -> float | None:
    if form.nodata is not None:
        return form.nodata
    [*values] = stated
    value = values[0] if len(values) == 1 else None
    # NaN is no JSON, and never a value.
    return None if value is None or np.isnan(value) else value
