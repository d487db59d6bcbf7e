"""The proof that splits do not leak: no scene in two of them, and no image that is nearly one of another split.

Near-duplicates are searched in two steps. Perceptual hashes of 64 bits find candidates: they survive recompression,
changes of brightness and shifts by a few pixels. Images of plain ground have similar hashes by chance, so every
candidate is decoded, and only images whose *detail* agrees, at any shift, are called duplicates. Images that overlap by
a half, and turned or mirrored ones, are not found: against these the split by scene stands.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from tfds_builders import splits as rules
from tfds_builders.files import KINDS, Facts, Format, Kind, Pair, ordered_map

CANNOT_SEE = (
    "ground shared by images that overlap by a half or less, that are turned or mirrored, or that were taken in "
    "another season or by another sensor, where their scenes have different names"
)
"""What an audit that is clean says nothing about."""

MAX_DISTANCE = 8
"""Bits of 64 in which the hashes of candidates may differ; of unrelated images some 32 do."""
MIN_CORRELATION = 0.8
"""Of the detail of two images, at the shift where they agree best, from which on they are the same image."""
_DETAIL = (1.0, 8.0)
"""Detail is what lies between two Gaussian blurs, in pixels of an image of 256: finer is noise of a codec, coarser is
shared by every two images of one coast."""
_ROWS = 256  # hashes compared with all others at a time


class LeakError(ValueError):
    """The splits of a dataset share ground; the message lists where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """One image twice, in two splits."""

    kind: Kind
    first: str  # id of the pair in the earlier split of ``splits.SPLITS``
    first_split: str
    second: str
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
        candidates: of these, how many had similar hashes and were decoded.
        near_duplicates: of these, the ones that are the same image.
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
            f"({self.compared:,} comparisons, {self.candidates:,} looked at)"
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
        processes: how many look at candidates.
        scene_key: what makes two patches belong to one scene.
    """

    compared, candidates = 0, []
    for kind in KINDS:
        found, count = _candidates(splits, facts, kind)
        candidates += [(candidate, formats[kind]) for candidate in found]
        compared += count
    looked_at = ordered_map(_correlation, candidates, processes=processes)
    bar = tqdm(looked_at, total=len(candidates), desc="Auditing", unit=" images", disable=None)
    near_duplicates = [
        NearDuplicate(
            kind=candidate.kind,
            first=candidate.first.patch.id,
            first_split=candidate.first_split,
            second=candidate.second.patch.id,
            second_split=candidate.second_split,
            distance=candidate.distance,
            correlation=round(correlation, 4),
        )
        for (candidate, _), correlation in zip(candidates, bar, strict=True)
        if correlation >= MIN_CORRELATION
    ]
    return Audit(
        pairs={name: len(members) for name, members in splits.items()},
        scenes=rules.count_scenes(splits, scene_key),
        shared_scenes=_shared_scenes(splits, scene_key),
        compared=compared,
        candidates=len(candidates),
        near_duplicates=near_duplicates,
    )


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


def detail(values: np.ndarray) -> np.ndarray:
    """The detail of an image [height, width, channel], with mean zero and norm one; zeros where there is none."""
    grey = np.ma.getdata(values).astype(np.float32).mean(axis=-1)
    fine, coarse = (sigma * max(grey.shape) / 256 for sigma in _DETAIL)
    band = ndimage.gaussian_filter(grey, fine) - ndimage.gaussian_filter(grey, coarse)
    band -= band.mean()
    norm = np.linalg.norm(band)
    return band / norm if norm > 0 else band


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Candidate:
    kind: Kind
    first: Pair
    first_split: str
    second: Pair
    second_split: str
    distance: int


def _candidates(
    splits: Mapping[str, Sequence[Pair]], facts: Mapping[str, Facts], kind: Kind
) -> tuple[list[_Candidate], int]:
    """Images across splits with similar hashes; and how many were compared. Every hash is compared with every other."""
    hashed: dict[str, tuple[list[Pair], np.ndarray]] = {}
    for name, members in splits.items():
        prints = {pair.patch.id: getattr(facts[pair.patch.id], kind).fingerprint for pair in members}
        usable = [pair for pair in members if prints[pair.patch.id] is not None]
        hashed[name] = usable, np.array([prints[pair.patch.id] for pair in usable], np.uint64)

    found, compared = [], 0
    order = [name for name in rules.SPLITS if name in hashed]
    for place, first_split in enumerate(order):
        first, first_prints = hashed[first_split]
        for second_split in order[place + 1 :]:
            second, second_prints = hashed[second_split]
            compared += len(first) * len(second)
            for start in range(0, len(second), _ROWS):
                rows = second_prints[start : start + _ROWS, None]
                distances = np.bitwise_count(rows ^ first_prints[None, :])
                for row, column in np.argwhere(distances <= MAX_DISTANCE).tolist():
                    found.append(
                        _Candidate(
                            kind=kind,
                            first=first[column],
                            first_split=first_split,
                            second=second[start + row],
                            second_split=second_split,
                            distance=int(distances[row, column]),
                        )
                    )
    return found, compared


def _correlation(work: tuple[_Candidate, Format]) -> float:
    """Of the detail of two images, the largest over all shifts (cyclic)."""
    candidate, form = work
    first, second = (form.read(pair.path(candidate.kind)) for pair in (candidate.first, candidate.second))
    if first.shape != second.shape:
        return 0.0  # Images of two sizes are told apart by their size.
    one, other = (np.fft.rfft2(detail(image)) for image in (first, second))
    return float(np.fft.irfft2(one * other.conj(), s=first.shape[:2]).max())
