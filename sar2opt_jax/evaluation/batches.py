"""Applies a function to many examples in batches, sharded over all devices of this process."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sar2opt_jax.engine.parallel import AXIS, data_mesh
from sar2opt_jax.types import PyTree


class Batches:
    """Cuts positions into batches of one size and lays their arrays out over the devices."""

    def __init__(self, batch_size: int):
        """Takes the devices of this process.

        Args:
          batch_size: examples at once, over these devices; rounded up to a multiple of their number.

        Raises:
          ValueError: for a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        devices = jax.local_devices()
        self._mesh = data_mesh(devices)
        self._batch_size, self._multiple = batch_size, len(devices)

    def replicate(self, tree: PyTree) -> PyTree:
        """A copy on every device."""
        return jax.device_put(tree, NamedSharding(self._mesh, P()))

    def shard(self, tree: PyTree) -> PyTree:
        """Arrays of one batch, split along their first axis."""
        return jax.device_put(tree, NamedSharding(self._mesh, P(AXIS)))

    def cut(self, positions: Sequence[int]) -> Iterator[tuple[Sequence[int], list[int]]]:
        """Batches of some positions: those that are new, and the same filled up with the last one to one size.

        All batches have one shape, and so one compilation.
        """
        size = -(-min(self._batch_size, len(positions)) // self._multiple) * self._multiple
        for start in range(0, len(positions), size or 1):
            new = positions[start : start + size]
            yield new, [*new, *[new[-1]] * (size - len(new))]

    def apply(
        self,
        function: Callable[..., PyTree],
        load: Callable[[Sequence[int]], tuple[np.ndarray, ...]],
        count: int,
        *,
        progress: Callable[[int], Any],
    ) -> PyTree:
        """Applies a jitted function to the arrays of all positions and joins what it returns.

        Args:
          function: of sharded arrays, to a pytree of arrays with the same first axis.
          load: the arrays at some positions.
          count: how many positions, at least 1.
          progress: called with the number of examples after each batch.
        """
        parts = []
        for new, filled in self.cut(range(count)):
            outputs = jax.device_get(function(*self.shard(load(filled))))
            parts.append(jax.tree.map(operator.itemgetter(slice(len(new))), outputs))
            progress(len(new))
        return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)
