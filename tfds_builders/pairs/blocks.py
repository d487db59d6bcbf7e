"""Splits of one piece of ground: blocks of tiles are dealt, and tiles too near to another split are left out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from tfds_builders import splits

LEFT_OUT = len(splits.SPLITS)
"""The label of tiles in the margins; other labels are places in ``splits.SPLITS``."""

_SHARES = np.array([0.8, 0.1, 0.1])  # of train, validation and test
_DRAWS = 32
_LARGE = 32  # tiles a side
_GOOD = 0.8
"""Of the share that it is to have, what each split must get; then the blocks are small enough and large enough."""


class Deal(NamedTuple):
    """Tiles sorted into splits.

    Attributes:
        labels: [n], of each tile its place in ``splits.SPLITS``, or ``LEFT_OUT``.
        side: of a block, in tiles.
    """

    labels: np.ndarray
    side: int


def deal(centres: np.ndarray, *, size: float, name: str) -> Deal | None:
    """Sorts tiles into splits, about 8 : 1 : 1, such that those of two splits are at least a tile apart.

    Small blocks sample the ground best, large ones leave fewer tiles out between them: of sides from one tile up, the
    first is taken with which each split gets four fifths of its share, else the best one. For each side some deals are
    tried, all in the order of hashes, so that the same tiles always come into the same splits.

    Args:
        centres: [n, 2] of the tiles, in any unit; several tiles may lie on one place.
        size: side of a tile, in the same unit.
        name: of the ground.

    Returns:
        None where there are too few tiles for three splits.
    """
    places, place_of, counts = np.unique(centres.round(6), axis=0, return_inverse=True, return_counts=True)
    place_of = place_of.reshape(-1)
    # Tiles are at least one apart if their centres are two apart, on one axis at least.
    near = KDTree(places).query_pairs(1.999 * size, p=np.inf, output_type="ndarray")
    best, best_score = None, 0.0
    for side in _sides(places, size):
        cells = np.floor((places - places.min(axis=0)) / (side * size) + 1e-6)
        _, blocks = np.unique(cells, axis=0, return_inverse=True)
        blocks = blocks.reshape(-1)
        for labels in _deals(blocks, near, name=f"{name}/{side}"):
            found = np.bincount(labels, weights=counts, minlength=LEFT_OUT + 1)[:LEFT_OUT]
            score = float((found / len(centres) / _SHARES).min())
            if score > best_score:
                best, best_score = Deal(labels[place_of], side), score
        if best_score >= _GOOD:
            break
    return best


def _sides(places: np.ndarray, size: float) -> Iterator[int]:
    """Of blocks, in tiles: up to half of the ground."""
    longest = float(np.ptp(places, axis=0).max()) / size + 1
    side = 1 if longest < _LARGE else 4  # Smaller blocks lose more to their margins than ``_GOOD`` allows.
    while side <= max(longest / 2, 1):
        yield side
        side += max(1, side // 3)


def _deals(blocks: np.ndarray, near: np.ndarray, *, name: str) -> Iterator[np.ndarray]:
    """Labels of places, [n], of several deals.

    Args:
        blocks: [n], of each place its block, from 0 on.
        near: [m, 2], places that are too near to each other for two splits.
        name: what the hashes depend on.
    """
    count = int(blocks.max()) + 1
    if count < len(splits.SPLITS):
        return
    share = max(1, count // 10)
    across = near[blocks[near[:, 0]] != blocks[near[:, 1]]]
    one, other = np.concatenate([across, across[:, ::-1]]).T
    train, validation, test = range(len(splits.SPLITS))
    for draw in range(_DRAWS):
        order = sorted(range(count), key=lambda block: splits.position(f"{name}/{draw}/{block}"))
        of_block = np.full(count, train)
        of_block[order[:share]] = test
        of_block[order[share : 2 * share]] = validation
        labels = of_block[blocks]
        # Training gives way to both others, validation to the test.
        for split, others in ((validation, (test,)), (train, (test, validation))):
            too_near = one[(labels[one] == split) & np.isin(labels[other], others)]
            labels[too_near] = LEFT_OUT
        yield labels
