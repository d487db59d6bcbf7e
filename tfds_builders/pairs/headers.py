"""The headers of all files of a dataset, counted: which form most of them have, and what they say of their place."""

import collections
from pathlib import Path
from typing import NamedTuple

from tfds_builders import files, imagery
from tfds_builders.files import KINDS, Kind, Pair
from tfds_builders.imagery.georeference import UPRIGHT
from tfds_builders.pairs import alignment
from tfds_builders.pairs.signature import Signature, copolar_first, order

MAX_PIXELS = 2**24
"""Of an image, 4096 x 4096: what is larger is a scene, or a decompression bomb."""

_CUT = "; --tile=256 cuts the ground that both show into tiles"


class Look(NamedTuple):
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


def look(pair: Pair) -> Look:
    """Reads the headers of both images."""
    headers: dict[Kind, imagery.Header] = {}
    faults = []
    for kind in KINDS:
        try:
            headers[kind] = imagery.header(pair.image(kind))
        except imagery.UNREADABLE as error:
            faults.append(files.BadFile(pair.path(kind), files.reason(error)))
    return Look(
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


class Headers:
    """What the headers of all pairs say together, kept small: signatures are counted, not collected."""

    def __init__(self):
        self.formats: dict[Kind, set[tuple[str, bool]]] = {kind: set() for kind in KINDS}
        self.alpha: dict[Kind, set[int | None]] = {kind: set() for kind in KINDS}
        self.turned: collections.Counter[Kind] = collections.Counter()
        self.pixel_m: set[float | None] = set()
        self.alignments: list[alignment.Alignment] = []
        self.misfits: dict[str, files.BadFile] = {}  # by the pair's id
        self._counts: dict[Kind, collections.Counter[Signature]] = {kind: collections.Counter() for kind in KINDS}
        self._first: dict[tuple[Kind, Signature], Path] = {}
        self._files: dict[tuple[Kind, Signature], list[imagery.Source]] = collections.defaultdict(list)
        self.nodata: dict[Kind, collections.Counter[float | None]] = {kind: collections.Counter() for kind in KINDS}
        self._bad: list[files.BadFile] = []

    def add(self, look: Look) -> None:
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
            self._bad.append(files.BadFile(look.pair.sar, f"{sar}, but its partner {optical}{_CUT}"))
        elif sar.height * sar.width > MAX_PIXELS:
            self._bad.append(files.BadFile(look.pair.sar, f"{sar}: a scene{_CUT}"))
        else:
            self.turned.update(look.turned)
            for kind in KINDS:
                signature = look.signatures[kind]
                self._counts[kind][signature] += 1
                self._first.setdefault((kind, signature), look.pair.path(kind))
                if self._counts[kind][signature].bit_count() == 1:  # 1, 2, 4, 8 ...: few, and from everywhere.
                    self._files[kind, signature].append(look.pair.image(kind))
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

    def most_frequent(self, kind: Kind, size: tuple[int, int]) -> tuple[Signature, Path, list[imagery.Source]]:
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
