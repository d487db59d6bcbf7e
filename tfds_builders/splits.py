"""Which pair belongs to which split: by scene, never by patch, because patches of one scene share ground."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from tfds_builders.files import Pair, Patch

SPLITS = ("train", "validation", "test")


def split_of(season: str, scene: str) -> str:
    """The split a scene belongs to: about 80 % train, 10 % validation, 10 % test of the scenes.

    A hash of the name decides, not a count or a random draw: the same scene stands in the same split whichever part of
    the dataset is on the disk, so that results on a subset and on the whole are about the same ground.
    """
    position = _position(f"{season}/{scene}")
    return "train" if position < 0.8 else "validation" if position < 0.9 else "test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blocks:
    """Splits by blocks of consecutive numbers, for overlapping crops that do not say where they come from.

    Cut one after the other, crops with near numbers share ground, and a split by random numbers would test on what was
    trained on. Hence runs of ``size`` numbers go to one split: of every ten blocks eight to train, one to validation,
    one to test. Where the split changes, the first ``margin`` numbers of the new block are left out. Crops of the same
    ground in two different source images, if there are any, cannot be told from the numbers.

    Attributes:
        size: crops in a block. Blocks, not crops, are dealt to the splits.
        margin: crops left out. It should cover two rows of crops, for the neighbour in the next row. Collections of
            256 x 256 crops cut 5,000 to 10,000 from one large image; were it square, its rows would be 70 to 100 long.
    """

    size: int = 1000
    margin: int = 200

    def block_of(self, number: int) -> int:
        """The block of crop ``number``, which counts from 1; a number 0 joins the first block."""
        return max(number - 1, 0) // self.size

    def split_of(self, number: int) -> str | None:
        """The split of crop ``number``, or None where it is left out."""
        block = self.block_of(number)
        split = self._split_of_block(block)
        offset = number - 1 - block * self.size
        if offset < self.margin and block > 0 and self._split_of_block(block - 1) != split:
            return None
        return split

    @staticmethod
    def _split_of_block(block: int) -> str:
        return {8: "validation", 9: "test"}.get(block % 10, "train")


def in_share(pair_id: str, share: float) -> bool:
    """Whether a pair belongs to the subset with this share of the pairs.

    By a hash of the id: a smaller share is a part of every larger one, and every split and scene keeps about its share.
    """
    return _position(f"share/{pair_id}") < share


def by_split(pairs: Iterable[Pair], rule: Callable[[Patch], str | None]) -> dict[str, list[Pair]]:
    """Pairs sorted into ``SPLITS`` by a rule; None leaves a pair out, and splits without pairs are left out."""
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        if (name := rule(pair.patch)) is not None:
            splits[name].append(pair)
    return {name: members for name, members in splits.items() if members}


def scenes(pairs: Sequence[Pair]) -> set[tuple[str, str]]:
    """The scenes of some pairs, (season, scene)."""
    return {(pair.patch.season, pair.patch.scene) for pair in pairs}


def count_scenes(splits: Mapping[str, Sequence[Pair]]) -> dict[str, int]:
    """How many scenes each split holds."""
    return {name: len(scenes(pairs)) for name, pairs in splits.items()}


def _position(text: str) -> float:
    """A number in [0, 1) that only depends on the text."""
    return int.from_bytes(hashlib.blake2b(text.encode()).digest()[:8]) / 2**64
