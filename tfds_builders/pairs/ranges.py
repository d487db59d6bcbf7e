"""What becomes 0 and 255: stated or measured; and the question, with what the values look like, where it is missing."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from tfds_builders import imagery
from tfds_builders.files import Kind
from tfds_builders.imagery import Source
from tfds_builders.pairs.raster import Raster
from tfds_builders.pairs.settings import Percentile, exact, parse_range
from tfds_builders.parallel import process_map
from tfds_builders.values import check_varies, suspects

_SAMPLED_PIXELS = 2**22  # over all files, for percentiles
_MIN_SAMPLED_PIXELS = 64  # of each file, however many there are


def limits(
    kind: Kind, text: str, form: Raster, paths: Mapping[str, Source], *, processes: int
) -> tuple[tuple[float, float], ...]:
    """What becomes 0 and 255, a channel.

    Args:
        kind: of the images.
        text: the range as it was stated.
        form: how they are read.
        paths: of all files, by the ids of their pairs.
        processes: how many decode files, for percentiles.

    Raises:
        ValueError: it does not fit the bands, is empty, or cannot be measured.
    """
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

    found = tuple((value(low, channel), value(high, channel)) for channel, (low, high) in enumerate(bounds))
    for band, (low, high) in zip(form.bands, found, strict=True):
        if not low < high:
            raise ValueError(
                f"--{kind}_range={text}: in band {band} that is from {low:g} to {high:g}, which is no range."
            )
    return found


def _sample(form: Raster, paths: Mapping[str, Source], *, title: str, processes: int) -> np.ndarray:
    """Values of pixels of every file that can be read, [pixel, channel].

    Their places follow from the pair's id: another run, another place of the files, another number of processes give
    the same.
    """
    count = max(_SAMPLED_PIXELS // len(paths), _MIN_SAMPLED_PIXELS)
    work = ((form, name, path, count) for name, path in paths.items())
    taken = process_map(_sample_of_file, work, images=len(paths), processes=processes)
    samples = list(tqdm(taken, total=len(paths), desc=title, unit=" files", disable=None))
    if not sum(map(len, samples)):
        raise ValueError(f"No file of the kind of {form.like} can be read, so there is no range to measure.")
    return np.concatenate(samples)


def _sample_of_file(work: tuple[Raster, str, Source, int]) -> np.ndarray:
    form, name, path, count = work
    image = _values_or_none(form, path)
    if image is None:
        return np.empty((0, len(form.bands)))
    values = image.reshape(-1, len(form.bands))
    if len(values) > count:
        values = values[np.random.default_rng(zlib.crc32(name.encode())).choice(len(values), count, replace=False)]
    return np.ma.getdata(values)[~np.ma.getmaskarray(values).any(axis=-1)].astype(np.float64)


def _values_or_none(form: Raster, path: Source) -> np.ma.MaskedArray | None:
    try:
        values = form.values(path)
        check_varies(values, form.names)
    except imagery.UNREADABLE:
        return None  # Bad, as will be found when it is read again.
    return values


def look(kind: Kind, form: Raster, paths: Sequence[Source]) -> str | None:
    """What the values of the first file that can be read look like, and a range that fits them; None if none can."""
    path, values = next(
        ((path, values) for path in paths if (values := _values_or_none(form, path)) is not None), (form.like, None)
    )
    if values is None:
        return None
    lines, lowest, highest = [], np.inf, 0.0
    for channel, band in enumerate(form.bands):
        found = values[..., channel].compressed().astype(np.float64)
        low, two, most, high = np.percentile(found, (0, 2, 98, 100))
        lines.append(f"  band {band}: min {low:.5g}, 2 % {two:.5g}, 98 % {most:.5g}, max {high:.5g}")
        lowest, highest = min(lowest, low), max(highest, most)
    unit = "" if form.scale == "file" else " in dB"
    if form.scale == "file":
        lines += [
            f"  {exact(value)} is frequent: if it marks pixels without data, add --{kind}_nodata={exact(value)}"
            for value in suspects(values)[:3]
        ]
    return (
        f"{path} holds {form.dtype} values{unit}:\n" + "\n".join(lines) + f"\nState what becomes 0 and 255 by "
        f"--{kind}_range. {_advice(kind, form, values, lowest=lowest, highest=highest)}. --{kind}_range=p2,p98 takes "
        "each band's 2 and 98 % over all files."
    )


def _advice(kind: Kind, form: Raster, values: np.ma.MaskedArray, *, lowest: float, highest: float) -> str:
    if kind == "optical":
        # Sentinel-2 files of baseline 04.00 and later have 1000 added, so no colour would become black from 0 on.
        floor = float(f"{lowest:.2g}") if lowest > 0.25 * highest else 0.0
        return f"--optical_range={floor:g},{float(f'{highest:.2g}'):g} fits this file and keeps the colours"
    if form.scale != "file" or values.min() < 0:
        return "For dB: --sar_range=-25,0, or a range for each band, --sar_range='-25,0;-32.5,0'"
    return (
        "For intensity: --sar_scale=linear --sar_range=-25,0 in dB; for amplitude: --sar_scale=amplitude "
        "--sar_range=p2,p98"
    )


def question(kind: Kind, form: Raster, paths: Sequence[Source]) -> str:
    """Asks for a range."""
    return look(kind, form, paths) or (
        f"--{kind}_range is not stated, and no file like {form.like} can be read to propose one."
    )
