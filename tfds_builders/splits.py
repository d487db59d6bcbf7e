"""Which pair belongs to which split: by scene, never by patch, because patches of one scene share ground."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from tfds_builders.files import Pair, Patch

SPLITS = ("train", "validation", "test")

SceneKey = Callable[[Patch], tuple[str, str]]
"""What makes two patches belong to one scene: (season or nothing, scene)."""


def by_location(patch: Patch) -> tuple[str, str]:
    """A scene is a location: seen in two seasons it is one scene."""
    return "", patch.scene


def by_season_and_number(patch: Patch) -> tuple[str, str]:
    """For datasets whose scenes are numbered anew in each season."""
    return patch.season, patch.scene


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """Pairs sorted into splits.

    Attributes:
        members: the pairs of each split that has any.
        rule: how they were sorted, in words.
    """

    members: dict[str, list[Pair]]
    rule: str


def split_of(season: str, scene: str) -> str:
    """The split a scene belongs to: about 80 % train, 10 % validation, 10 % test of the scenes.

    A hash of the name decides, not a count or a random draw: the same scene stands in the same split whichever part of
    the dataset is on the disk, so that results on a subset and on the whole are about the same ground.
    """
    found = position(f"{season}/{scene}")
    return "train" if found < 0.8 else "validation" if found < 0.9 else "test"


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
    return position(f"share/{pair_id}") < share


def by_split(pairs: Iterable[Pair], rule: Callable[[Patch], str | None]) -> dict[str, list[Pair]]:
    """Pairs sorted into ``SPLITS`` by a rule; None leaves a pair out, and splits without pairs are left out."""
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        if (name := rule(pair.patch)) is not None:
            splits[name].append(pair)
    return {name: members for name, members in splits.items() if members}


def deal(pairs: Sequence[Pair], *, numbered: Callable[[Patch], str] = lambda patch: patch.id) -> Division:
    """Sorts pairs by location such that train, validation and test all have some, where that can be done.

    A hash of the scene decides as in ``split_of``. Where that leaves a split empty, as it does with few scenes, the
    scenes are dealt in the order of the same hash, about 8 : 1 : 1 and at least one each. A single scene, or two, is
    cut into strips by the numbers in the ids; see ``strips``.

    Args:
        pairs: all of them.
        numbered: the part of an id whose numbers tell where in its scene a crop lies.
    """
    names = sorted({pair.patch.scene for pair in pairs}, key=lambda scene: position(f"/{scene}"))
    hashed = {scene: split_of("", scene) for scene in names}
    if set(hashed.values()) == set(SPLITS):
        return Division(members=by_split(pairs, lambda patch: hashed[patch.scene]), rule="by a hash of the scene")
    if len(names) > 2:
        dealt = _dealt(names, hashed)
        rule = (
            f"the {len(names)} scenes are dealt in the order of a hash, as by the hash alone a split would be empty; "
            "with other scenes they may stand in other splits"
        )
        return Division(members=by_split(pairs, lambda patch: dealt[patch.scene]), rule=rule)
    return _few_scenes(pairs, names, numbered)


def _dealt(names: Sequence[str], hashed: Mapping[str, str]) -> dict[str, str]:
    """The split of each of three or more scenes, in the order of their hashes, with at least one scene in each."""
    counts = {split: max(1, sum(found == split for found in hashed.values())) for split in SPLITS}
    while sum(counts.values()) > len(names):
        largest = max(SPLITS, key=lambda split: counts[split])
        counts[largest] -= 1
    return dict(zip(names, (split for split in SPLITS for _ in range(counts[split])), strict=True))


def _few_scenes(pairs: Sequence[Pair], names: Sequence[str], numbered: Callable[[Patch], str]) -> Division:
    of_scene = {scene: [pair for pair in pairs if pair.patch.scene == scene] for scene in names}
    cut = {scene: strips([numbered(pair.patch) for pair in members]) for scene, members in of_scene.items()}
    more = "add scenes, or state splits of your own in the column split of pairs.csv"
    if not any(cut.values()):
        whole = dict(zip(names, ("train", "test"), strict=False))
        rule = f"{', '.join(names)}: too few scenes for three splits, and too few numbered crops to cut one; {more}"
        return Division(members=by_split(pairs, lambda patch: whole[patch.scene]), rule=rule)

    members: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for scene, own in of_scene.items():
        for pair in own:
            # A scene that cannot be cut goes to training as a whole.
            split = found[numbered(pair.patch)] if (found := cut[scene]) is not None else "train"
            if split is not None:
                members[split].append(dataclasses.replace(pair, patch=pair.patch._replace(scene=f"{scene}/{split}")))
    left_out = len(pairs) - sum(map(len, members.values()))
    rule = (
        f"strips of {' and '.join(scene for scene in names if cut[scene] is not None)} in the order of the numbers in "
        f"the ids, {left_out:,} crops between them left out; this holds where neighbouring crops have near numbers: if "
        f"not, {more}"
    )
    return Division(members=members, rule=rule)


_MARGIN_ROWS = 2
"""Between two strips, for crops that overlap by up to two thirds."""
_MIN_ROWS = 3  # usable ones, one for each split
_MIN_CROPS = 10  # usable ones of a running number, eight for training


def strips(ids: Sequence[str]) -> dict[str, str | None] | None:
    """Cuts one scene into three strips by the numbers in the ids of its crops, with margins between them.

    One number that differs is a running number, row by row: as rows of a square image are as long as the root of the
    largest number, the margin is two of these. Of two and more numbers (row and column, pixel coordinates, image and
    crop) strips follow the first one, and the margin is two of its values. About 80 % of the rest is train, 10 %
    validation, 10 % test.

    Args:
        ids: of the crops of one scene, without numbers that tell no position, such as dates.

    Returns:
        The split of each crop, None in the margins; or None where the ids do not tell or the crops are too few.
    """
    numbers = [tuple(map(int, re.findall(r"\d+", name))) for name in ids]
    if len({len(found) for found in numbers}) != 1:
        return None
    differing = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(differing) == 1:
        [along] = differing
        first = min(along)
        values = [number - first for number in along]
        margin, least = _MARGIN_ROWS * math.isqrt(max(values)) + _MARGIN_ROWS, _MIN_CROPS
    elif differing:
        along = differing[0]
        order = {value: place for place, value in enumerate(sorted(set(along)))}
        values = [order[value] for value in along]
        margin, least = _MARGIN_ROWS, _MIN_ROWS
    else:
        return None
    usable = max(values) + 1 - 2 * margin
    if usable < least:
        return None
    share = max(1, usable // 10)
    validation, test = usable - 2 * share + margin, usable - share + 2 * margin

    def split(value: int) -> str | None:
        for start, end, name in ((0, validation - margin, "train"), (validation, test - margin, "validation")):
            if start <= value < end:
                return name
        return "test" if value >= test else None

    found = {name: split(value) for name, value in zip(ids, values, strict=True)}
    return found if set(SPLITS) <= set(found.values()) else None


def scenes(pairs: Sequence[Pair], key: SceneKey = by_location) -> set[tuple[str, str]]:
    """The scenes of some pairs."""
    return {key(pair.patch) for pair in pairs}


def count_scenes(splits: Mapping[str, Sequence[Pair]], key: SceneKey = by_location) -> dict[str, int]:
    """How many scenes each split holds."""
    return {name: len(scenes(pairs, key)) for name, pairs in splits.items()}


def position(text: str) -> float:
    """A number in [0, 1) that only depends on the text."""
    return int.from_bytes(hashlib.blake2b(text.encode()).digest()[:8]) / 2**64
