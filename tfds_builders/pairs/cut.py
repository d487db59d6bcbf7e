"""Cuts whole scenes into tiles: which ground both images show, a grid of windows on it, and their names."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tfds_builders import imagery
from tfds_builders.bad_files import BadFile, counted
from tfds_builders.files import KINDS, Pair, reason
from tfds_builders.imagery import Window
from tfds_builders.imagery.georeference import Georeference
from tfds_builders.pairs import places
from tfds_builders.pairs.alignment import common_area
from tfds_builders.pairs.find import Found
from tfds_builders.parallel import process_map

_SHOWN = 5  # scenes in a sentence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """Scenes and their tiles.

    Attributes:
        found: the tiles, with splits that were stated for their scenes; then the scenes that could not be cut.
        misfits: of these, by their ids, the file that is named as bad.
        georeferences: of the radar images, by their files.
        rule: what was cut, in words.
    """

    found: Found
    misfits: Mapping[str, BadFile]
    georeferences: Mapping[Path, Georeference | None]
    rule: str

    @property
    def tiles(self) -> list[Pair]:
        """All tiles, by scene, row and column."""
        return [pair for pair in self.found.pairs if pair.windows is not None]


def cut(found: Found, *, tile: int, stride: int | None = None, processes: int = 1) -> Cut:
    """Cuts all scenes of a folder.

    Args:
        found: whole files.
        tile: side of a tile, in pixels.
        stride: pixels from one tile to the next; None is ``tile``. The last tile of a row or column lies at the edge,
            wherever the one before it ends.
        processes: how many read headers.
    """
    step = stride or tile
    taken = process_map(_scene, [(pair, tile) for pair in found.pairs], images=len(found.pairs), processes=processes)
    bar = tqdm(taken, total=len(found.pairs), desc="Reading headers", unit=" scenes", disable=None)
    scenes: list[_Scene] = []
    misfits: dict[str, BadFile] = {}
    for pair, scene in zip(found.pairs, bar, strict=True):
        if isinstance(scene, BadFile):
            misfits[pair.patch.id] = scene
        else:
            scenes.append(scene)

    merged = places.merged([scene.extent for scene in scenes])
    tiles: list[Pair] = []
    stated: dict[str, str] = {}
    grids = []
    for scene in scenes:
        patch = scene.pair.patch
        own = list(_tiles(scene, tile=tile, step=step, place=merged.get(patch.scene, patch.scene)))
        tiles += own
        grids.append(f"{patch.id} {len(own):,}")
        if found.splits is not None:
            stated |= dict.fromkeys((pair.patch.id for pair in own), found.splits[patch.id])
    uncut = [pair for pair in found.pairs if pair.patch.id in misfits]
    rule = found.scene_rule.replace(Found.scene_rule, "each pair of files by itself")
    if merged:
        names = ", ".join(sorted(merged)[:_SHOWN]) + (", ..." if len(merged) > _SHOWN else "")
        rule += f"; by their georeferences {names} share ground, and count as one scene where they do"
    more = f" and {len(grids) - _SHOWN:,} more" if len(grids) > _SHOWN else ""
    return Cut(
        found=dataclasses.replace(
            found, pairs=tiles + uncut, lone=False, splits=None if found.splits is None else stated, scene_rule=rule
        ),
        misfits=misfits,
        georeferences={scene.pair.sar: scene.extent.georeference for scene in scenes},
        rule=(
            f"{counted(len(tiles), 'tile')} of {tile} x {tile} pixels, one every {step}, of the ground that both "
            f"images of a scene show: {', '.join(grids[:_SHOWN])}{more}"
        ),
    )


class _Scene(NamedTuple):
    pair: Pair
    areas: tuple[Window, Window]  # the common ground in the radar and in the optical image
    extent: places.Extent


def _scene(work: tuple[Pair, int]) -> _Scene | BadFile:
    pair, tile = work
    headers = []
    for kind in KINDS:
        try:
            headers.append(imagery.header(pair.path(kind)))
        except imagery.UNREADABLE as error:
            return BadFile(pair.path(kind), reason(error))
    sar, optical = headers
    try:
        areas = common_area(sar, optical)
    except ValueError as error:
        return BadFile(pair.sar, str(error))
    _, _, height, width = areas[0]
    if min(height, width) < tile:
        return BadFile(
            pair.sar, f"{height} x {width} pixels in common with its partner, less than a tile: state a smaller --tile"
        )
    place = sar.georeference
    return _Scene(pair, areas, places.Extent(pair.patch.scene, sar.height, sar.width, place))


def _tiles(scene: _Scene, *, tile: int, step: int, place: str) -> list[Pair]:
    _, _, height, width = scene.areas[0]
    patch = scene.pair.patch
    return [
        dataclasses.replace(
            scene.pair,
            patch=patch._replace(id=f"{patch.id}_r{row:04d}_c{column:04d}", scene=place),
            windows=tuple(Window(area.row + top, area.column + left, tile, tile) for area in scene.areas),
        )
        for row, top in enumerate(_starts(height, tile=tile, step=step))
        for column, left in enumerate(_starts(width, tile=tile, step=step))
    ]


def _starts(length: int, *, tile: int, step: int) -> Sequence[int]:
    """Where tiles begin along one side; the last one ends where the side ends."""
    starts = list(range(0, length - tile + 1, step))
    return starts if starts[-1] == length - tile else [*starts, length - tile]
