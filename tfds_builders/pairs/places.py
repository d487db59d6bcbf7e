"""Where scenes are: which of them show the same ground, and where their tiles lie in it."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from tfds_builders import splits
from tfds_builders.files import Pair
from tfds_builders.imagery.georeference import OUTSIDE, Georeference, corners, located
from tfds_builders.pairs import blocks

MIN_SCENES = 10
"""From so many on, a tenth of them is a scene: whole scenes are dealt to the splits."""
_WORLD = CRS.from_epsg(4326)

Bounds = tuple[float, float, float, float]
"""West, south, east, north; or the same of any two axes."""


class Extent(NamedTuple):
    """The ground that a scene shows.

    Attributes:
        scene: its name.
        height, width: in pixels.
        georeference: of these pixels.
    """

    scene: str
    height: int
    width: int
    georeference: Georeference | None


def merged(extents: Sequence[Extent]) -> dict[str, str]:
    """Scenes that share ground by their georeferences, each with the name of the first one of them.

    Returns:
        Only those that share ground with another scene; scenes without georeference are never among them.
    """
    first = {extent.scene: extent.scene for extent in extents}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    known = [(extent.scene, _bounds(extent), _bounds_in_degrees(extent), extent) for extent in extents]
    for (name, here, world, one), (other_name, there, other_world, other) in itertools.combinations(known, 2):
        same = one.georeference and other.georeference and one.georeference.crs == other.georeference.crs
        if _overlap(here, there) if same else _overlap(world, other_world):
            roots = sorted((root(name), root(other_name)))
            first[roots[1]] = roots[0]
    roots = {name: root(name) for name in first}
    shared = {found for name, found in roots.items() if found != name}
    return {name: found for name, found in roots.items() if found in shared}


def _bounds(extent: Extent) -> Bounds | None:
    """In the scene's own coordinates."""
    if extent.georeference is None:
        return None
    a, b, c, d, e, f = extent.georeference.transform
    # Scenes that touch share nothing; a hundredth of a pixel is for rounded coordinates.
    column, row = corners(extent.height - 0.02, extent.width - 0.02).T + 0.01
    x, y = a * column + b * row + c, d * column + e * row + f
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _bounds_in_degrees(extent: Extent) -> Bounds | None:
    bounds, place = _bounds(extent), extent.georeference
    if bounds is None or place is None or place.crs is None:
        return None
    try:
        return transform_bounds(CRS.from_wkt(place.crs), _WORLD, *bounds)
    except OUTSIDE:
        return None


def _overlap(one: Bounds | None, other: Bounds | None) -> bool:
    if one is None or other is None:
        return False
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def divide(tiles: Sequence[Pair], georeferences: Mapping[Path, Georeference | None]) -> splits.Division:
    """Sorts tiles into splits: whole scenes where there are enough of them, else blocks of each scene.

    Args:
        tiles: all of them, with the names of their scenes; scenes of one name share ground.
        georeferences: of the radar images, by their files.
    """
    of_scene: dict[str, list[Pair]] = {}
    for tile in tiles:
        of_scene.setdefault(tile.patch.scene, []).append(tile)
    if len(of_scene) >= MIN_SCENES:
        return splits.deal(tiles)

    members: dict[str, list[Pair]] = {split: [] for split in splits.SPLITS}
    told, whole = [], []
    for scene, own in of_scene.items():
        centres, size = _centres(own, georeferences)
        if (found := blocks.deal(centres, size=size, name=scene)) is None:
            whole.append(scene)
            continue
        told.append(f"{scene} ({found.side} x {found.side})")
        for tile, label in zip(own, found.labels.tolist(), strict=True):
            if label != blocks.LEFT_OUT:
                split = splits.SPLITS[label]
                # The parts of a scene count as scenes of their own, as they share no ground.
                patch = tile.patch._replace(scene=f"{scene}/{split}")
                members[split].append(dataclasses.replace(tile, patch=patch))
    if not told:
        return _uncut(tiles, whole)
    for scene in whole:
        members["train"] += of_scene[scene]
    left_out = len(tiles) - sum(map(len, members.values()))
    rule = (
        f"blocks of {', '.join(told)} tiles, dealt in the order of a hash; {left_out:,} tiles left out, so that those "
        "of two splits are at least the side of a tile apart"
    )
    if whole:
        rule += f"; {', '.join(whole)}: too small to be divided, all train"
    for scene, own in of_scene.items():
        images = {tile.sar for tile in own}
        unplaced = [path for path in images if georeferences[path] is None]
        if unplaced and len(images) > 1:
            rule += f"; {len(unplaced):,} images of {scene} have no georeference and are taken to begin together"
    return splits.Division(members={name: found for name, found in members.items() if found}, rule=rule)


def _uncut(tiles: Sequence[Pair], scenes: Sequence[str]) -> splits.Division:
    """For scenes of which none can be divided."""
    if len(scenes) >= len(splits.SPLITS):
        return splits.deal(tiles)
    of_scene = dict(zip(scenes, ("train", "test"), strict=False))
    rule = (
        f"{', '.join(scenes)}: too few scenes for three splits, and too few tiles to divide one, as those of two "
        "splits are to be the side of a tile apart; add scenes, state a smaller --tile, or splits of your own in the "
        "column split of pairs.csv"
    )
    return splits.Division(members=splits.by_split(tiles, lambda patch: of_scene[patch.scene]), rule=rule)


def _centres(tiles: Sequence[Pair], georeferences: Mapping[Path, Georeference | None]) -> tuple[np.ndarray, float]:
    """The centres of tiles, [n, 2], in pixels of the first georeferenced image; and their side.

    Images that cannot be laid on that one are taken to begin where it begins, as images of one place at several times
    do.
    """
    within = next((place for tile in tiles if (place := georeferences[tile.sar]) is not None), None)
    outlines = np.empty((len(tiles), 4, 2))
    of_file: dict[Path, list[int]] = {}
    for number, tile in enumerate(tiles):
        of_file.setdefault(tile.sar, []).append(number)
    for path, numbers in of_file.items():
        points = np.stack([_outline(tiles[number]) for number in numbers])
        place = georeferences[path]
        if place is not None and within is not None and place is not within:
            found = located(points.reshape(-1, 2), place, within=within)
            if found is not None and np.isfinite(found).all():
                points = found.reshape(points.shape)
        outlines[numbers] = points
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    return (low + high) / 2, float((high - low).max())


def _outline(tile: Pair) -> np.ndarray:
    assert tile.windows is not None
    row, column, height, width = tile.windows[0]
    return corners(height, width) + np.array((column, row))
