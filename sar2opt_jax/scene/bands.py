"""Which bands of a radar file are those that a network takes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sar2opt_jax.description import ImageFormat

if TYPE_CHECKING:
    from tfds_builders import imagery

POLARISATIONS = {"VV", "VH", "HH", "HV"}


def choose(bands: "Sequence[imagery.Band]", radar: ImageFormat, *, given: Sequence[str] | None = None) -> list[int]:
    """Numbers of the bands of a file that are the network's, in the network's order.

    Bands are matched by their names where file and network name them, else taken in their order. ``Sigma0_VV_db`` is
    a name of VV.

    Args:
      bands: of the file.
      radar: the network's radar images.
      given: names or numbers, as the user states them; None: not stated.

    Raises:
      ValueError: where they do not fit.
    """
    names = [band.name for band in bands]
    shown, wanted = ", ".join(names), ", ".join(radar.bands)
    if given is not None:
        if len(given) != len(radar.bands):
            raise ValueError(
                f"--bands={','.join(given)} states {len(given)} band(s); "
                f"the network takes {len(radar.bands)}: {wanted}."
            )
        found = [_find(text, bands) for text in given]
        if None in found:
            raise ValueError(f"it has no band {given[found.index(None)]!r}; it has: {shown}.")
        return [number for number in found if number is not None]
    found = [_find(name, bands) for name in radar.bands]
    numbers = [number for number in found if number is not None]
    if len({*numbers}) == len(radar.bands):
        return numbers
    if len(bands) != len(radar.bands):
        raise ValueError(
            f"it has {len(bands)} band(s) ({shown}); the network takes {len(radar.bands)}: {wanted}. --bands chooses."
        )
    if all(_is_name(band.description) for band in bands) and all(map(_is_name, radar.bands)):
        raise ValueError(f"it has the bands {shown}; the network takes {wanted}. --bands chooses.")
    return [band.number for band in bands]


def beside(path: Path, radar: ImageFormat) -> list[Path] | None:
    """The files of a network's bands, one each, beside a file that is named after one of them; None without those.

    ``scene_VV.tif`` with ``scene_VH.tif``, as Sentinel-1 products of many services come.
    """
    if len(radar.bands) < 2:
        return None
    for band in radar.bands:
        if match := re.search(rf"(?<![a-zA-Z0-9]){re.escape(band)}(?![a-zA-Z0-9])", path.name, re.IGNORECASE):
            is_lower = match[0].islower()
            names = [other.lower() if is_lower else other for other in radar.bands]
            found = [path.with_name(path.name[: match.start()] + name + path.name[match.end() :]) for name in names]
            return found if all(other.is_file() for other in found) else None
    return None


def check_name(name: str, radar: ImageFormat) -> None:
    """Raises ValueError where a file that does not name its bands is itself named after other polarisations."""
    said = {part for part in re.split(r"[^A-Z0-9]+", name.upper()) if part in POLARISATIONS}
    wanted = {band.upper() for band in radar.bands}
    if said and wanted <= POLARISATIONS and not said >= wanted:
        raise ValueError(
            f"its name says {', '.join(sorted(said))}; the network takes {', '.join(radar.bands)}. If it holds that "
            "nevertheless, --bands=1 says so."
        )


def _is_name(text: str) -> bool:
    """Whether it says more than a number: ``Band 1`` is what ENVI files and converted weights call a band."""
    return bool(text) and not re.fullmatch(r"band[ _]?\d+", text, re.IGNORECASE)


def _find(text: str, bands: "Sequence[imagery.Band]") -> int | None:
    """The band of that name or number; by a part of its name where that is of one band only."""
    wanted = text.casefold()
    for band in bands:
        if band.name.casefold() == wanted or str(band.number) == wanted:
            return band.number
    parts = [band.number for band in bands if wanted in re.split(r"[^a-z0-9]+", band.name.casefold())]
    return parts[0] if len(parts) == 1 else None
