"""A look at somebody's own files before they are read: what they have in common, and what their range is."""

import contextlib
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from tfds_builders import files
from tfds_builders.description import ImageDescription, Quantity
from tfds_builders.files import KINDS, Kind, Pair
from tfds_builders.pairs.raster import Header, Raster, container, header
from tfds_builders.pairs.settings import Percentile, Reading, Settings, parse_range

MAX_PIXELS = 2**24
"""Of an image, 4096 x 4096: what is larger is a scene that was not cut, or a decompression bomb."""
UNREADABLE = (OSError, SyntaxError, ValueError, files.Image.DecompressionBombError)
"""What Pillow and GDAL raise for files that are broken or of another kind."""
_SAMPLED_PIXELS = 2**22  # over all files, for percentiles
_MIN_SAMPLED_PIXELS = 64  # of each file, however many there are


def survey(pairs: Sequence[Pair], settings: Settings, *, root: Path, processes: int = 1) -> dict[Kind, Raster]:
    """How the images of a dataset are read, with its range measured where that is asked for.

    Size, bands and data type are those of the first pair whose images can be read and have one size; another file that
    differs is left for ``files.check_pairs`` to find.

    Args:
        pairs: all of the dataset, sorted by id.
        settings: what is stated about them.
        root: named in messages.
        processes: how many decode files, for percentiles.

    Raises:
        ValueError: no pair can be read (``files.BadFilesError``), bands or range are missing or do not fit.
    """
    headers, first = _first(pairs, root)
    formats = {}
    for kind in KINDS:
        reading, found = settings.reading(kind), headers[kind]
        bands = reading.bands or tuple(range(1, found.bands + 1))
        if max(bands) > found.bands:
            raise ValueError(f"--{kind}_bands asks for band {max(bands)}, but {first.path(kind)} has {found.bands}.")
        formats[kind] = Raster(
            height=found.height,
            width=found.width,
            file_bands=found.bands,
            dtype=found.dtype,
            like=first.path(kind),
            bands=bands,
            names=tuple(found.names[band - 1] for band in bands),
            scale=reading.scale,
        )
    if len(formats["optical"].bands) != 3:
        raise ValueError(
            f"{first.optical} has {headers['optical'].bands} bands, an optical image three: red, green and blue. "
            "--optical_bands chooses, such as --optical_bands=4,3,2 for Sentinel-2."
        )

    unstated = [
        _what_range(kind, formats[kind], [pair.path(kind) for pair in pairs])
        for kind in KINDS
        if settings.reading(kind).range is None and (formats[kind].dtype != "uint8" or formats[kind].scale != "file")
    ]
    if unstated:
        raise ValueError("\n".join(unstated))
    for kind in KINDS:
        if (text := settings.reading(kind).range) is not None:
            paths = {pair.patch.id: pair.path(kind) for pair in pairs}
            limits = _limits(kind, text, formats[kind], paths, processes=processes)
            formats[kind] = dataclasses.replace(formats[kind], limits=limits)
        formats[kind] = _with_encoding(formats[kind], [pair.path(kind) for pair in pairs])
    return formats


def description(form: Raster, stated: Reading) -> dict[str, Any]:
    """What has to be known to bring another file, such as a scene, to the same 0 .. 255.

    Returns:
        ``bands`` from 1; ``dtype`` of the files; ``scale``; ``limits`` in its unit, what became 0 and 255, a channel,
        or None where values are stored as they are; and the range as it was ``stated``.
    """
    return {
        "bands": list(form.bands),
        "dtype": form.dtype,
        "scale": form.scale,
        "limits": None if form.limits is None else [list(pair) for pair in form.limits],
        "stated": stated.range,
    }


def images(form: Raster, kind: Kind) -> ImageDescription:
    """The same in the form that all datasets share."""
    quantity: Quantity = "unknown"
    if form.scale != "file":
        quantity = "linear" if form.scale == "linear" else "amplitude"
    elif form.dtype == "uint8":
        quantity = "8-bit"
    elif kind == "sar" and form.limits is not None and min(low for low, _ in form.limits) < 0:
        quantity = "dB"  # Of the radar quantities only decibels can be negative.
    return ImageDescription(bands=form.names, quantity=quantity, scale=form.scale, limits=form.limits, dtype=form.dtype)


def ground_sampling(pairs: Sequence[Pair], *, processes: int = 1) -> float | None:
    """Metres per pixel, if all files that can be read state it and agree."""
    found = set().union(*files.ordered_map(_metres, pairs, processes=processes))
    return found.pop() if len(found) == 1 else None


def _metres(pair: Pair) -> set[float | None]:
    found = set()
    for kind in KINDS:
        with contextlib.suppress(*UNREADABLE):  # Bad, as will be noticed when it is decoded.
            found.add(header(pair.path(kind)).metres)
    return found


def _first(pairs: Sequence[Pair], root: Path) -> tuple[dict[Kind, Header], Pair]:
    """The first pair that can stand for all, and its headers."""
    bad = []
    for pair in pairs:
        headers: dict[Kind, Header] = {}
        for kind in KINDS:
            try:
                headers[kind] = header(pair.path(kind))
            except UNREADABLE as error:
                bad.append(files.BadFile(pair.path(kind), f"unreadable: {error}"))
        if len(headers) < 2:
            continue
        sar, optical = headers["sar"], headers["optical"]
        if (sar.height, sar.width) != (optical.height, optical.width):
            bad.append(files.BadFile(pair.sar, f"{sar}, but its partner {optical}"))
        elif sar.height * sar.width > MAX_PIXELS:
            bad.append(files.BadFile(pair.sar, f"{sar}: a scene, to be cut into smaller images first"))
        else:
            return headers, pair
    raise files.BadFilesError(bad, root=root)


def _with_encoding(form: Raster, paths: Sequence[Path]) -> Raster:
    """The same, with how the images are stored, for which the first bytes of every file are looked at."""
    if form.shape[-1] not in (1, 3):
        return dataclasses.replace(form, encoding="zlib")
    as_they_are = form.dtype == "uint8" and form.limits is None and form.bands == tuple(range(1, form.file_bands + 1))
    kinds = {_container_or_none(path) for path in paths} - {None} if as_they_are else set()
    encoding: Literal["png", "jpeg"] = "jpeg" if kinds == {"jpeg"} else "png"
    return dataclasses.replace(form, encoding=encoding, unchanged=kinds == {encoding})


def _container_or_none(path: Path) -> str | None:
    try:
        return container(path)
    except (OSError, ValueError):
        return None  # Bad, as will be found when it is read.


def _limits(
    kind: Kind, text: str, form: Raster, paths: Mapping[str, Path], *, processes: int
) -> tuple[tuple[float, float], ...]:
    """What becomes 0 and 255, a channel."""
    bounds = parse_range(text, flag=f"--{kind}_range")
    channels = len(form.bands)
    if len(bounds) not in (1, channels):
        raise ValueError(f"--{kind}_range={text} states {len(bounds)} ranges, but there are {channels} bands.")
    bounds = bounds * channels if len(bounds) == 1 else bounds
    sample = None
    if any(isinstance(bound, Percentile) for pair in bounds for bound in pair):
        sample = _sample(form, paths, title=f"Measuring {kind}", processes=processes)

    def value(bound: float | Percentile, channel: int) -> float:
        if not isinstance(bound, Percentile):
            return bound
        assert sample is not None
        return float(np.percentile(sample[:, channel], bound.percent))

    limits = tuple((value(low, channel), value(high, channel)) for channel, (low, high) in enumerate(bounds))
    for band, (low, high) in zip(form.bands, limits, strict=True):
        if not low < high:
            raise ValueError(
                f"--{kind}_range={text}: in band {band} that is from {low:g} to {high:g}, which is no range."
            )
    return limits


def _sample(form: Raster, paths: Mapping[str, Path], *, title: str, processes: int) -> np.ndarray:
    """Values of pixels of every file that can be read, [pixel, channel].

    Their places follow from the pair's id: another run, another place of the files, another number of processes give
    the same.
    """
    count = max(_SAMPLED_PIXELS // len(paths), _MIN_SAMPLED_PIXELS)
    work = [(form, name, path, count) for name, path in paths.items()]
    taken = files.ordered_map(_sample_of_file, work, processes=processes)
    samples = list(tqdm(taken, total=len(work), desc=title, unit=" files", disable=None))
    if not sum(map(len, samples)):
        raise ValueError(f"No file of the kind of {form.like} can be read, so there is no range to measure.")
    return np.concatenate(samples)


def _sample_of_file(work: tuple[Raster, str, Path, int]) -> np.ndarray:
    form, name, path, count = work
    image = _values_or_none(form, path)
    if image is None:
        return np.empty((0, len(form.bands)))
    values = image.reshape(-1, len(form.bands))
    if len(values) > count:
        values = values[np.random.default_rng(zlib.crc32(name.encode())).choice(len(values), count, replace=False)]
    return np.ma.getdata(values)[~np.ma.getmaskarray(values).any(axis=-1)].astype(np.float64)


def _values_or_none(form: Raster, path: Path) -> np.ma.MaskedArray | None:
    try:
        return form.values(path)
    except UNREADABLE:
        return None  # Bad, as will be found when it is read again.


def _what_range(kind: Kind, form: Raster, paths: Sequence[Path]) -> str:
    """Asks for a range, with what the values of the first file look like and what fits them."""
    path, values = next(
        ((path, values) for path in paths if (values := _values_or_none(form, path)) is not None), (form.like, None)
    )
    if values is None:
        return f"--{kind}_range is not stated, and no file like {path} can be read to propose one."
    lines, highest = [], 0.0
    for channel, band in enumerate(form.bands):
        found = values[..., channel].compressed().astype(np.float64)
        low, two, most, high = np.percentile(found, (0, 2, 98, 100))
        lines.append(f"  band {band}: min {low:.5g}, 2 % {two:.5g}, 98 % {most:.5g}, max {high:.5g}")
        highest = max(highest, most)
    unit = "" if form.scale == "file" else " in dB"
    if kind == "optical":
        advice = f"--optical_range=0,{float(f'{highest:.2g}'):g} fits this file and keeps the colours"
    elif form.scale != "file" or values.min() < 0:
        advice = "For dB: --sar_range=-25,0, or a range for each band, --sar_range='-25,0;-32.5,0'"
    else:
        advice = (
            "For intensity: --sar_scale=linear --sar_range=-25,0 in dB; for amplitude: --sar_scale=amplitude "
            "--sar_range=p2,p98"
        )
    return (
        f"{path} holds {form.dtype} values{unit}:\n" + "\n".join(lines) + f"\nState what becomes 0 and 255 by "
        f"--{kind}_range. {advice}. --{kind}_range=p2,p98 takes each band's 2 and 98 % over all files."
    )
