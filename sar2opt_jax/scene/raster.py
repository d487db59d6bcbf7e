"""A georeferenced radar scene, read by rows in the units that a network was trained on."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sar2opt_jax.description import Description
from sar2opt_jax.scene import addresses, bands, units
from sar2opt_jax.scene.addresses import Source

if TYPE_CHECKING:
    from tfds_builders import imagery

TERRAIN_CORRECT = "terrain-correct it first, for example with SNAP, pyroSAR or ASF HyP3"
LOOKS = 8
"""Places of a scene where values are looked at, to tell their unit."""
LOOK_ROWS = 4
SAMPLING_TOLERANCE = 0.2
"""Ground sampling distances that differ by a larger share than this from that of the training data are said."""
_DEGREE_M = 111_320.0  # metres of a degree of latitude


class UnreadableRowsError(OSError):
    """Rows of a scene are corrupt or truncated, or cannot be fetched."""


class SceneRadar:
    """An open scene; see ``sweep.Radar``.

    Attributes:
      height, width: in pixels.
      bands: how many.
      georeference: of the scene; None where the file has none.
      notes: what is assumed, converted or worth to know, a sentence each.
    """

    def __init__(
        self,
        parts: "Sequence[tuple[imagery.Opened, Sequence[int]]]",
        about: Description,
        *,
        unit: str | None = None,
    ):
        """Looks at some of the values to tell their unit.

        Args:
          parts: open files with the numbers of their bands, in the order of the network's bands.
          about: what the network is.
          unit: of the values, one of ``units.UNITS``, as the user states it; None: not stated.

        Raises:
          ValueError: for values that the network cannot be given, and why.
        """
        header = parts[0][0].header
        self._parts, self._radar = parts, about.radar
        self.height, self.width, self.bands = header.height, header.width, len(about.radar.bands)
        self.georeference, self.notes = header.georeference, []
        for other, _ in parts[1:]:
            if (other.header.height, other.header.width) != (self.height, self.width):
                raise ValueError(f"its bands differ in size: {header} and {other.header}.")
            if not _is_same_place(header, other.header):
                raise ValueError("its bands are of different places, by their coordinates.")
        if header.georeference is not None and header.georeference.approximate:
            raise ValueError(f"it is in radar geometry (ground control points, no grid): {TERRAIN_CORRECT}.")
        chosen = [band for part, numbers in parts for band in part.header.bands if band.number in numbers]
        # What a network of integers is trained on is stored as integers, without scale and offset.
        is_integer = np.dtype(about.radar.dtype).kind in "ui"
        self._factors = None if is_integer else _factors(chosen)
        if self._factors is not None:
            self.notes.append("Values are stored with a scale and an offset, which are applied.")
        described = units.stated([*(band.unit for band in chosen), *(band.description for band in chosen)])
        values = self._look()
        found = units.choose(values, about.radar, given=unit, described=described)
        self._unit = found.of_file
        if found.note:
            self.notes.append(found.note)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``sweep.Radar``.

        Raises:
          UnreadableRowsError: for corrupt or truncated rows.
        """
        values = self._values(start, stop)
        levels = units.as_levels(values, self._radar, unit=self._unit)
        return levels, np.any(units.missing(values, self._radar, unit=self._unit), axis=-1)

    def _values(self, start: int, stop: int) -> np.ma.MaskedArray:
        from tfds_builders import imagery

        try:
            rasters = [part.decoded(numbers, rows=(start, stop)) for part, numbers in self._parts]
        except imagery.UNREADABLE as error:
            raise UnreadableRowsError(f"rows {start} to {stop - 1} cannot be read: {error}") from error
        values = np.concatenate([raster.values for raster in rasters], axis=-1)
        if self._factors is not None:
            scale, offset = self._factors
            values = values.astype(np.float32) * scale + offset
        return np.ma.array(values, mask=np.concatenate([raster.mask for raster in rasters], axis=-1))

    def _look(self) -> np.ndarray:
        """Values that are not missing, from a few places all over the scene, [n]."""
        found: list[np.ndarray] = []
        for share in (np.arange(LOOKS) + 0.5) / LOOKS:
            start = min(int(share * self.height), max(0, self.height - LOOK_ROWS))
            values = self._values(start, min(start + LOOK_ROWS, self.height))
            found.append(values[~units.missing(values, self._radar)].compressed())
            if sum(map(len, found)) > 2**16 and len(found) >= LOOKS // 2:
                break
        return np.concatenate(found)


@contextlib.contextmanager
def opened(
    source: Source,
    about: Description,
    *,
    band_names: Sequence[str] | None = None,
    unit: str | None = None,
    resample: bool = False,
) -> Iterator[SceneRadar]:
    """A scene, of which little is decoded yet.

    Args:
      source: path or address of any raster that GDAL opens; or one for each band in the network's order.
      about: what the network is.
      band_names: names or numbers of the bands, in the network's order; None: by the names of both.
      unit: of the values, one of ``units.UNITS``; None: as the file and its values say.
      resample: to the ground sampling distance of the training data.

    Raises:
      OSError: where it cannot be read.
      ValueError: where the network cannot be given it, and why.
    """
    # Late: GDAL takes a while to import.
    from tfds_builders import imagery

    radar, files = about.radar, addresses.files(source)
    if len(files) not in (1, len(radar.bands)):
        raise ValueError(f"it is of {len(files)} files; the network takes {len(radar.bands)} bands.")
    with contextlib.ExitStack() as stack:
        try:
            first, *_ = files
            header, notes = _header(first), []
            if len(files) == len(header.bands) == 1 and band_names is None:
                files = tuple(map(str, bands.beside(Path(first), radar) or files))
            wanted = _wanted_size(header, about, resample=resample, notes=notes)
            opens = [stack.enter_context(imagery.opened_scene(file, size=wanted)) for file in files]
            if len(files) > 1:
                parts = [(file, [file.header.bands[0].number]) for file in opens]
                notes.append(f"Bands are read from {', '.join(Path(addresses.unsigned(file)).name for file in files)}.")
            else:
                parts = [(opens[0], bands.choose(opens[0].header.bands, radar, given=band_names))]
                if band_names is None and not any(band.description for band in header.bands):
                    bands.check_name(Path(addresses.unsigned(first)).name, radar)
        except imagery.UNREADABLE as error:
            kind = ValueError if isinstance(error, ValueError) else OSError
            raise kind(str(error).strip() or type(error).__name__) from error
        scene = SceneRadar(parts, about, unit=unit)
        scene.notes[:0] = notes
        yield scene


def _header(address: str) -> "imagery.Header":
    from tfds_builders import imagery

    with imagery.opened_scene(address) as file:
        return file.header


def _is_same_place(one: "imagery.Header", other: "imagery.Header") -> bool:
    from tfds_builders.imagery.georeference import distance

    if one.georeference is None or other.georeference is None:
        return True
    size = one.height, one.width
    apart = distance(one.georeference, other.georeference, size=size, other_size=size)
    return apart is None or apart < 1


def _factors(chosen: "Sequence[imagery.Band]") -> tuple[np.ndarray, np.ndarray] | None:
    pairs = [(band.scale, band.offset) for band in chosen]
    if all(pair == (1.0, 0.0) for pair in pairs):
        return None
    scale, offset = np.array(pairs, np.float32).T
    return scale, offset


def _wanted_size(
    header: "imagery.Header", about: Description, *, resample: bool, notes: list[str]
) -> tuple[int, int] | None:
    """Height and width that the stored image is to be resampled to; None leaves it. What there is to say is noted."""
    place, trained_m = header.georeference, about.ground_sampling_m
    if place is None or place.crs is None:
        notes.append("The scene has no coordinate reference system; the result has none either.")
    sampling = None if place is None else ground_sampling(header)
    if sampling is None or trained_m is None:
        if resample:
            what = "the scene's" if sampling is None else "the training data's"
            raise ValueError(f"--resample needs {what} ground sampling distance, which is not known.")
        return None
    mean_m = math.sqrt(sampling[0] * sampling[1])
    differs = abs(math.log(mean_m / trained_m)) > math.log1p(SAMPLING_TOLERANCE)
    if not resample:
        if differs:
            notes.append(
                f"A pixel is {mean_m:.3g} m wide, in the training data {trained_m:.3g} m: the translation is less "
                "reliable; --resample changes the scene's."
            )
        return None
    height, width = (
        max(1, round(side * m / trained_m)) for side, m in zip((header.height, header.width), sampling, strict=True)
    )
    if (height, width) == (header.height, header.width):
        return None
    notes.append(
        f"The scene is resampled to {trained_m:.3g} m: from {header.height} x {header.width} to {height} x {width} "
        "pixels."
    )
    return (width, height) if header.turn.transpose else (height, width)


def ground_sampling(header: "imagery.Header") -> tuple[float, float] | None:
    """Height and width of a pixel of the upright image in metres, near the scene's middle; None where it is unknown."""
    from rasterio.crs import CRS

    place = header.georeference
    if place is None or place.crs is None or place.approximate:
        return None
    crs = CRS.from_wkt(place.crs)
    a, b, _, d, e, f = place.transform
    if crs.is_projected:
        metres = crs.linear_units_factor[1]
        return math.hypot(b, e) * metres, math.hypot(a, d) * metres
    latitude = f + e * header.height / 2 + d * header.width / 2
    along = _DEGREE_M * math.cos(math.radians(min(abs(latitude), 89)))
    return math.hypot(b * along, e * _DEGREE_M), math.hypot(a * along, d * _DEGREE_M)
