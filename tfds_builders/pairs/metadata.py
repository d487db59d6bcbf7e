"""What a dataset of somebody's own says about itself: in ``info.metadata``, and in sentences to its owner."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfds_builders.description import ImageDescription, Quantity
from tfds_builders.files import KINDS, Facts, Kind
from tfds_builders.pairs.raster import Raster
from tfds_builders.pairs.settings import Reading, exact
from tfds_builders.values import MAX_SHARE, Shares

_OFFSET = 1000  # added to the numbers of Sentinel-2 files from baseline 04.00 on
_CLEARLY_WITHOUT = 0.8 * _OFFSET
_MIXED = 0.1  # Share of files with and without it from which on a mixture is suspected.
_NOTED_SUSPECTS = 0.01  # Share of files with a value that looks like that of missing pixels.


def scaling(form: Raster, stated: Reading) -> dict[str, Any]:
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


def describe(form: Raster, kind: Kind, nodata: float | None) -> ImageDescription:
    """The same in the form that all datasets share."""
    quantity: Quantity = "unknown"
    if form.scale != "file":
        quantity = "linear" if form.scale == "linear" else "amplitude"
    elif form.dtype == "uint8":
        quantity = "8-bit"
    elif kind == "sar" and form.limits is not None and min(low for low, _ in form.limits) < 0:
        quantity = "dB"  # Of the radar quantities only decibels can be negative.
    return ImageDescription(
        bands=form.names,
        quantity=quantity,
        scale=form.scale,
        limits=form.limits,
        dtype=form.dtype,
        nodata=nodata,
    )


def refusal(kind: Kind, form: Raster, stated: Reading, shares: Sequence[Shares]) -> str | None:
    """Why a dataset cannot be stored like this, where most of a band would become one value; None if it can."""
    for channel, share in enumerate(shares):
        name = form.names[channel]
        if share.below + share.above > MAX_SHARE and form.limits is not None:
            low, high = form.limits[channel]
            unit = "" if form.scale == "file" else " dB"
            return (
                f"--{kind}_range={stated.range} clips {share.below + share.above:.1%} of the values of {name}: "
                f"{share.below:.1%} lie below {low:g}{unit} and {share.above:.1%} above {high:g}{unit}; expected is a "
                f"range that at least half of them lie in. Nothing was written."
            )
        if share.equal > MAX_SHARE:
            cause = (
                "leave such images out, or"
                if form.limits is None
                else f"state a --{kind}_range that fits the values, or"
            )
            return (
                f"{kind}: {share.equal:.1%} of the values of {name} would be stored as {share.value}, expected less "
                f"than half: {cause}, if it marks pixels without data, name it by --{kind}_nodata. Nothing was written."
            )
    return None


def notes(images: Mapping[Kind, Raster], facts: Mapping[str, Facts], missing: Mapping[Kind, int]) -> list[str]:
    """What was seen while the files were decoded, in sentences."""
    lines = []
    for kind in KINDS:
        form = images[kind]
        if form.limits is not None:
            unit = "" if form.scale == "file" else " dB"
            spans = ", ".join(
                f"band {band}{f' ({name})' if form.expected.described else ''} {low:g} .. {high:g}{unit}"
                for band, name, (low, high) in zip(form.bands, form.names, form.limits, strict=True)
            )
            lines.append(f"{kind}: 0 .. 255 is {spans}")
        if missing[kind]:
            lines.append(f"{kind}: {missing[kind]:,} pixels have no value in their file and are stored as 0")
        lines += _suspects(kind, [getattr(pair, kind).suspects for pair in facts.values()])
    if images["optical"].dtype != "uint8":
        lowest = [pair.optical.lowest for pair in facts.values() if pair.optical.lowest is not None]
        lines += _offsets(lowest, images["optical"].limits)
    return lines


def _suspects(kind: Kind, found: Sequence[tuple[float, ...]]) -> Iterable[str]:
    """Names exact values that are frequent along edges, or as the lowest or highest value."""
    counts = collections.Counter(value for values in found for value in values)
    for value, count in counts.most_common(3):
        if count >= max(1, math.ceil(_NOTED_SUSPECTS * len(found))):
            yield (
                f"{kind}: the exact value {exact(value)} is frequent in {count:,} of {len(found):,} images, which do "
                f"not declare it as nodata: if it marks pixels without data, say --{kind}_nodata={exact(value)}"
            )


def _offsets(lowest: Sequence[float], limits: Sequence[tuple[float, float]] | None) -> Iterable[str]:
    """Suspects that 1000 is added to the numbers of Sentinel-2 files, or to some of them, where no tag says so.

    Args:
        lowest: of each image, in the file's unit.
        limits: what becomes 0 and 255, a channel.
    """
    shifted = sum(value >= _OFFSET for value in lowest)
    others = sum(value < _CLEARLY_WITHOUT for value in lowest)
    why = f"Sentinel-2 files of processing baseline 04.00 and later (from 2022) have {_OFFSET} added to their numbers"
    if min(shifted, others) >= max(1, _MIXED * len(lowest)):
        yield (
            f"optical: in {shifted:,} of {len(lowest):,} images no value is below {_OFFSET}, in {others:,} some are: "
            f"{why}; if these are mixed with older ones, subtract it first"
        )
    elif shifted == len(lowest) > 0 and limits is not None and max(low for low, _ in limits) <= _OFFSET / 2:
        begin = f"{limits[0][0]:g}"
        yield f"optical: no value is below {_OFFSET}: {why}; if so, the range is to begin there, not at {begin}"
