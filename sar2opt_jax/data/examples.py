"""The pairs that are evaluated: the same ones every time, read on demand."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from sar2opt_jax.data.pipeline import centre, check_pair
from sar2opt_jax.data.prepared import Source, StoredPairs, text
from sar2opt_jax.data.scaling import to_float
from sar2opt_jax.types import Batch

GROUPS = ("season", "terrain")
"""Optional labels of a pair; the report has a table for each."""


class Examples:
    """Some pairs of a split, spread evenly over it and cropped at the centre.

    Attributes:
      ids: of the pairs, in the order of the split.
      image_size: side of the images in pixels.
    """

    def __init__(self, source: Source, *, num_examples: int, image_size: int):
        """Reads which pairs they are, and no image but one.

        Args:
          source: the pairs, such as ``prepared.open_split`` returns.
          num_examples: how many; all there are, if there are fewer.
          image_size: side of the images in pixels.

        Raises:
          ValueError: no examples to take, two of one id, or images smaller than ``image_size``.
        """
        if len(source) == 0:
            raise ValueError("The source has no examples: nothing to evaluate on.")
        if num_examples < 1:
            raise ValueError(f"num_examples must be at least 1, got {num_examples}.")
        check_pair(source[0], image_size)
        self.image_size = image_size
        count = min(num_examples, len(source))
        # The middles of `count` equal parts of the split.
        self._places = ((2 * np.arange(count) + 1) * len(source) // (2 * count)).tolist()
        # Of an image that is still encoded only what is asked for is decoded.
        self._read = source.encoded if isinstance(source, StoredPairs) else source.__getitem__
        about = [{key: text(e[key]) for key in ("id", *GROUPS) if key in e} for e in map(self._read, self._places)]
        self.ids = [example["id"] for example in about]
        if len(set(self.ids)) < count:
            twice = next(name for i, name in enumerate(self.ids) if name in self.ids[:i])
            raise ValueError(f"Two pairs are called {twice!r}: an id must be of one pair alone.")
        self._groups = {key: [example.get(key, "") for example in about] for key in GROUPS}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def groups(self) -> dict[str, list[str]]:
        """``season`` and ``terrain`` of every pair, where they are known and differ."""
        return {key: groups for key, groups in self._groups.items() if len(set(groups)) > 1}

    def sar(self, positions: Sequence[int]) -> np.ndarray:
        """The radar images at some positions, [n, image_size, image_size, channel] uint8."""
        return self._images(positions, "sar")

    def optical(self, positions: Sequence[int]) -> np.ndarray:
        """The true images at some positions, [n, image_size, image_size, 3] uint8."""
        return self._images(positions, "optical")

    def batch(self) -> Batch:
        """All of them at once, scaled as for training; the index is the position in the split."""
        everything = range(len(self))
        optical, sar = (to_float(images(everything)) for images in (self.optical, self.sar))
        # `Batch` is declared with the arrays of JAX, which take these numpy arrays as they are.
        return Batch(*cast(Any, (optical, sar, np.asarray(self._places, np.int32))))

    def _images(self, positions: Sequence[int], of: str) -> np.ndarray:
        return np.stack([centre(self._read(self._places[i]), self.image_size, of=of) for i in positions])
