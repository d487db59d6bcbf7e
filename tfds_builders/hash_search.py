"""All pairs of 64-bit hashes that differ in few bits: exact, in bounded memory, on several cores.

Multi-index hashing (arXiv 1307.2982): where at most d bits differ, at least one of any d + 1 blocks of bits is equal.
So only hashes are compared that are equal in a block: for d = 8 and hashes that are spread evenly, 9 pairs of 128.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tfds_builders.parallel import thread_map

_BITS = 64
_TILE = 2**22  # Comparisons in one piece of work: what it finds is held in memory.
_ROWS, _COLUMNS = 128, 512  # Comparisons whose intermediate results stay in the cache of a core.

_Block = tuple[int, int]  # first bit, number of bits


class _Tile(NamedTuple):
    rows: np.ndarray  # places in the first hashes
    columns: np.ndarray  # places in the second
    block: int  # the number of the block in which all of them are equal


def near(
    first: np.ndarray, second: np.ndarray, *, distance: int, threads: int = 1, title: str | None = None
) -> Iterator[np.ndarray]:
    """Finds every pair of hashes that differ in at most ``distance`` bits.

    Args:
        first: [n] uint64.
        second: [m] uint64.
        distance: in bits.
        threads: how many compare.
        title: of a progress bar; None shows none.

    Yields:
        Places in ``first`` and ``second``, [found, 2] int32: every pair once, in an order that follows from the hashes.
    """
    width = _BITS // (distance + 1)
    blocks = [(width * number, width) for number in range(distance + 1)]
    buckets = [list(_buckets(first, second, block)) for block in blocks]
    total = sum(len(rows) * len(columns) for found in buckets for rows, columns in found)
    everything = len(first) * len(second)
    if total > everything or everything <= _TILE:  # Most are equal in most blocks, or there are few.
        blocks, total = [(0, 0)], everything
        buckets = [list(_buckets(first, second, block)) for block in blocks]

    def compare(tile: _Tile) -> tuple[int, np.ndarray]:
        rows, columns = _within(first[tile.rows], second[tile.columns], distance)
        rows, columns = tile.rows[rows], tile.columns[columns]
        differ = first[rows] ^ second[columns]
        new = np.ones(len(rows), bool)
        for block in blocks[: tile.block]:
            new &= _values(differ, block) != 0  # Else they were found by that block.
        return len(tile.rows) * len(tile.columns), np.stack([rows[new], columns[new]], axis=1)

    bar = tqdm(total=total, desc=title, unit=" comparisons", unit_scale=True, disable=None if title else True)
    with bar:
        for compared, found in thread_map(compare, _tiles(buckets), threads=threads):
            bar.update(compared)
            if len(found):
                yield found


def _values(hashes: np.ndarray, block: _Block) -> np.ndarray:
    start, width = block
    return (hashes >> np.uint64(start)) & np.uint64((1 << width) - 1)


def _buckets(first: np.ndarray, second: np.ndarray, block: _Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of the hashes that are equal in a block, for each value that occurs in both."""
    one, other = (_by_value(_values(hashes, block)) for hashes in (first, second))
    for value, rows in one.items():
        if value in other:
            yield rows, other[value]


def _by_value(values: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(values, kind="stable").astype(np.int32)
    found, starts = np.unique(values[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts)[1:], strict=True))


def _tiles(buckets: list[list[tuple[np.ndarray, np.ndarray]]]) -> Iterator[_Tile]:
    """Pieces of work of at most ``_TILE`` comparisons; of more, where one row alone has them."""
    for block, found in enumerate(buckets):
        for rows, columns in found:
            size = max(_TILE // len(columns), 1)
            for start in range(0, len(rows), size):
                yield _Tile(rows[start : start + size], columns, block)


def _within(first: np.ndarray, second: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of hashes that differ in at most so many bits, by comparing all."""
    found = [np.empty((2, 0), np.intp)]
    for top in range(0, len(first), _ROWS):
        some = first[top : top + _ROWS, None]
        for left in range(0, len(second), _COLUMNS):
            distances = np.bitwise_count(some ^ second[left : left + _COLUMNS])
            if distances.min() <= distance:
                rows, columns = np.nonzero(distances <= distance)
                found.append(np.stack([rows + top, columns + left]))
    rows, columns = np.concatenate(found, axis=1)
    return rows, columns
