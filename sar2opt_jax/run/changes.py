"""Explains what changed settings mean for a resumed run."""

from collections.abc import Iterator, Mapping
from typing import Any

ORDER_OF_SUMS = (
    "the examples, their order and their noise stay; sums are added up in another order, so that numbers may differ in "
    "their last digits"
)

MEANING = {
    "train.loader_threads": "every batch stays the same, to the bit; it is only read with more or less ahead",
    "train.micro_batches": ORDER_OF_SUMS,
    "train.mapping": ORDER_OF_SUMS,
    "train.batch_size": (
        "the place in the data cannot be kept: it is counted in steps, so that some examples of the epoch under way "
        "are seen again, or not at all"
    ),
    "seed": "the order of the examples and their noise cannot be kept: they are other ones from here on",
}
"""What it means when a setting of a run changes between two of its starts."""

WITHOUT_NEWS = ("name", "preset", "data.data_dir", "evaluation.")
"""Beginnings of the names of settings that no training step depends on."""


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence on each setting of the training that is another one now.

    Args:
      before: the config that the run was last started with, as plain JSON.
      now: the config that it resumes with, likewise.
    """
    old, new = dict(flat(before)), dict(flat(now))
    sentences = []
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name] and not name.startswith(WITHOUT_NEWS):
            what = f": {MEANING[name]}" if name in MEANING else ""
            sentences.append(f"{name} was {old[name]} and is {new[name]}{what}.")
    return sentences


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
