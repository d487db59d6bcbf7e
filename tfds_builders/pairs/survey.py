"""A look at the headers of all files before they are decoded: what they have in common, and how they are read."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from tfds_builders import files, imagery
from tfds_builders.files import KINDS, Kind, Pair
from tfds_builders.imagery import Source, Tile
from tfds_builders.pairs import alignment, ranges
from tfds_builders.pairs.headers import Headers, look
from tfds_builders.pairs.raster import Raster, band_spread
from tfds_builders.pairs.settings import Reading, Settings
from tfds_builders.pairs.signature import Signature, colours, unapplied
from tfds_builders.parallel import process_map

_LARGE = 1024  # pixels; what is larger is a scene rather than a patch of one
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
        pairs: all of the dataset, sorted by id: files or tiles.
        settings: what is stated about them.
        root: named in messages.
        processes: how many read files.

    Raises:
        ValueError: no pair can be read (``BadFilesError``), bands or range are missing or do not fit.
    """
    headers = Headers()
    looked_at = _one_of_each_scene(pairs)
    taken = process_map(look, looked_at, images=len(looked_at), processes=processes)
    for found in tqdm(taken, total=len(looked_at), desc="Reading headers", unit=" pairs", disable=None):
        headers.add(found)
    size = headers.size(root)
    images, notes = {}, []
    for kind in KINDS:
        images[kind], said = _format(kind, settings.reading(kind), headers, pairs=pairs, size=size)
        notes += said
    unstated = [
        ranges.question(kind, images[kind], [pair.image(kind) for pair in pairs])
        for kind in KINDS
        if settings.reading(kind).range is None and (images[kind].dtype != "uint8" or images[kind].scale != "file")
    ]
    if unstated:
        raise ValueError("\n".join(unstated))
    for kind in KINDS:
        if (text := settings.reading(kind).range) is not None:
            paths = {pair.patch.id: pair.image(kind) for pair in pairs}
            limits = ranges.limits(kind, text, images[kind], paths, processes=processes)
            images[kind] = dataclasses.replace(images[kind], limits=limits)
        formats = headers.formats[kind] if settings.tile is None else set()
        images[kind] = dataclasses.replace(images[kind], encoding=_encoding(images[kind], formats))
    if settings.tile is None and max(size) > _LARGE:
        notes.append(
            f"the images are {size[0]} x {size[1]} pixels: --tile=256 would cut them into tiles, and so divide even a "
            "single scene into three splits"
        )
    return Survey(
        images=images,
        misfits=headers.misfits,
        nodata={kind: _nodata(images[kind], headers.nodata[kind]) for kind in KINDS},
        notes=notes + alignment.notes(headers.alignments),
        ground_sampling_m=headers.pixel_m.pop() if len(headers.pixel_m) == 1 else None,
    )


def _format(
    kind: Kind, reading: Reading, headers: Headers, *, pairs: Sequence[Pair], size: tuple[int, int]
) -> tuple[Raster, list[str]]:
    """How the images of one kind are read, without a range; and what is to be said about it."""
    expected, like, some = headers.most_frequent(kind, size)
    some = _with_more_tiles(some, pairs, kind)
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
    if (told := unapplied(expected)) is not None:
        notes.append(f"{kind}: the files state {told}, which is not applied: a range is in stored numbers")
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


def _one_of_each_scene(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Of the tiles of a scene, which share its header, the one in the middle; files as they are."""
    scenes: dict[tuple[Path, Path], list[Pair]] = {}
    for pair in pairs:
        if pair.windows is None:
            return pairs
        scenes.setdefault((pair.sar, pair.optical), []).append(pair)
    return [tiles[len(tiles) // 2] for tiles in scenes.values()]


def _with_more_tiles(some: Sequence[Source], pairs: Sequence[Pair], kind: Kind) -> list[Source]:
    """The same images; of scenes other tiles, too, as one may be empty."""
    paths = {source.path for source in some if isinstance(source, Tile)}
    tiles = [pair.image(kind) for pair in pairs if pair.path(kind) in paths] if paths else []
    return [*some, *tiles[:: max(1, len(tiles) // 16)]]


def _spread(sources: Iterable[Source]) -> float | None:
    """By how much the bands of most of these images differ from their first one, on average; 0 only if in no pixel.

    None where there is nothing in any of them.
    """
    rasters = [raster for source in sources if (raster := _image_or_none(source)) is not None]
    return float(np.median(list(map(band_spread, rasters)))) if rasters else None


def _image_or_none(source: Source) -> imagery.Raster | None:
    try:
        raster = imagery.read(source)
    except imagery.UNREADABLE:
        return None  # Bad, as will be found when it is read again.
    values = raster.values[~raster.mask]
    return raster if len(values) and values.min() < values.max() else None


def _encoding(form: Raster, formats: set[tuple[str, bool]]) -> Literal["png", "jpeg", "zlib"]:
    """How images are stored: as JPEG only if all files are, and are stored as they are; ``formats`` of whole files."""
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
