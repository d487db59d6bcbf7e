"""The proof that splits do not leak: no scene in two of them, and no image that is nearly one of another split.

Near-duplicates are found as ``near_duplicates`` says. Images that overlap by a half, and turned or mirrored ones, are
not found: against these the split by scene stands.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builders import near_duplicates
from tfds_builders import splits as rules
from tfds_builders.files import KINDS, Facts, Format, Kind, Pair
from tfds_builders.near_duplicates import MAX_DISTANCE, MIN_CORRELATION

CANNOT_SEE = (
    "ground shared by images that overlap by a half or less, that are turned or mirrored, or that were taken in "
    "another season or by another sensor, where their scenes have different names"
)
"""What an audit that is clean says nothing about."""


class LeakError(ValueError):
    """The splits of a dataset share ground; the message lists where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """An image that is in a later split, too."""

    kind: Kind
    first: str  # id of the pair in the earlier split of ``splits.SPLITS``
    first_split: str
    second: str  # id of a pair that shows the same; there may be more
    second_split: str
    distance: int  # bits of 64
    correlation: float  # of the detail


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        pairs: how many each split holds.
        scenes: how many each split holds.
        shared_scenes: scenes that stand in several splits, ``SEASON/SCENE`` -> the splits.
        compared: image pairs across splits whose hashes were compared.
        candidates: of these, how many had similar hashes but other pixels; each was decoded, unless its image was
            found to be in a later split already.
        near_duplicates: the images that are in a later split, too.
    """

    pairs: dict[str, int]
    scenes: dict[str, int]
    shared_scenes: dict[str, list[str]]
    compared: int
    candidates: int
    near_duplicates: list[NearDuplicate]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.shared_scenes and not self.near_duplicates

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values, with the rule that was applied."""
        return {
            "clean": self.clean,
            **dataclasses.asdict(self),
            "cannot_see": CANNOT_SEE,
            "rule": {"hash_bits": 64, "max_distance": MAX_DISTANCE, "min_correlation": MIN_CORRELATION},
        }

    def table(self, *, limit: int = 20) -> str:
        """What was compared, then what was found, at most ``limit`` lines of each kind."""
        total = sum(self.pairs.values())
        lines = [f"{'Audit':<12}{'pairs':>10}{'share':>9}{'scenes':>10}"]
        for name in rules.SPLITS:
            count = self.pairs.get(name, 0)
            empty = "" if count else "   this split is empty"
            lines.append(f"{name:<12}{count:>10}{count / total:>9.1%}{self.scenes.get(name, 0):>10}{empty}")
        lines.append(f"scenes in several splits: {len(self.shared_scenes)}")
        lines += [f"  {scene}: {', '.join(found)}" for scene, found in list(self.shared_scenes.items())[:limit]]
        lines.append(
            f"images in several splits: {len(self.near_duplicates)} "
            f"({self.compared:,} comparisons, {self.candidates:,} candidates)"
        )
        lines += [
            f"  {found.kind} of {found.first} ({found.first_split}) and of {found.second} ({found.second_split}): "
            f"{found.distance} of 64 bits differ, correlation {found.correlation:.3f}"
            for found in self.near_duplicates[:limit]
        ]
        if max(len(self.shared_scenes), len(self.near_duplicates)) > limit:
            lines.append("  and more, see the JSON file")
        return "\n".join(lines)


def audit(
    splits: Mapping[str, Sequence[Pair]],
    facts: Mapping[str, Facts],
    formats: Mapping[Kind, Format],
    *,
    processes: int = 1,
    scene_key: rules.SceneKey = rules.by_location,
) -> Audit:
    """Compares the splits with each other.

    Args:
        splits: the pairs of each.
        facts: of every pair, by id.
        formats: how to read the images of candidates.
        processes: how many look for near-duplicates.
        scene_key: what makes two patches belong to one scene.
    """

    compared = candidates = 0
    duplicates: list[NearDuplicate] = []
    names = [name for name in rules.SPLITS if name in splits]
    split_of = {pair.patch.id: name for name in names for pair in splits[name]}
    for kind, place in itertools.product(KINDS, range(1, len(names))):
        name = names[place - 1]
        first, second = (_images(splits, of, facts, kind) for of in ([name], names[place:]))
        compared += _count(first) * _count(second)
        matches, count = near_duplicates.match(
            first, second, formats[kind], title=f"{kind} images of {name}", processes=processes
        )
        candidates += count
        duplicates += [
            NearDuplicate(
                kind=kind,
                first=same,
                first_split=name,
                second=match.second.ids[0],
                second_split=split_of[match.second.ids[0]],
                distance=match.distance,
                correlation=round(match.correlation, 4),
            )
            for match in matches
            for same in match.first.ids
        ]
    return Audit(
        pairs={name: len(members) for name, members in splits.items()},
        scenes=rules.count_scenes(splits, scene_key),
        shared_scenes=_shared_scenes(splits, scene_key),
        compared=compared,
        candidates=candidates,
        near_duplicates=duplicates,
    )


def _images(
    splits: Mapping[str, Sequence[Pair]], names: Sequence[str], facts: Mapping[str, Facts], kind: Kind
) -> dict[bytes, near_duplicates.Distinct]:
    """The distinct images of one kind in some splits."""
    pairs = (pair for name in names for pair in splits[name])
    return near_duplicates.distinct(
        (pair.patch.id, pair.image(kind), getattr(facts[pair.patch.id], kind)) for pair in pairs
    )


def _count(images: Mapping[bytes, near_duplicates.Distinct]) -> int:
    return sum(len(image.ids) for image in images.values())


def _shared_scenes(splits: Mapping[str, Sequence[Pair]], scene_key: rules.SceneKey) -> dict[str, list[str]]:
    """Scenes in several splits with these, each with the seasons in which it is seen: ``spring+fall/porto``."""
    splits_of: dict[tuple[str, str], list[str]] = {}
    seasons: dict[tuple[str, str], dict[str, None]] = {}
    for name, members in splits.items():
        for key in rules.scenes(members, scene_key):
            splits_of.setdefault(key, []).append(name)
        for pair in members:
            seasons.setdefault(scene_key(pair.patch), {})[pair.patch.season] = None
    shared = {key: found for key, found in splits_of.items() if len(found) > 1}
    return {f"{'+'.join(sorted(seasons[key]))}/{key[1]}": found for key, found in sorted(shared.items())}


def without_duplicates(
    splits: Mapping[str, Sequence[Pair]], found: Audit
) -> tuple[dict[str, list[Pair]], dict[str, NearDuplicate]]:
    """The splits without the earlier one of two near-duplicates: training gives way to validation, both to the test.

    Returns:
        The splits, without any that is empty now; and what was left out, by id, with the reason.
    """
    dropped = {duplicate.first: duplicate for duplicate in found.near_duplicates}
    kept = {name: [pair for pair in members if pair.patch.id not in dropped] for name, members in splits.items()}
    return {name: members for name, members in kept.items() if members}, dropped
