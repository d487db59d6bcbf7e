"""What the names of folders and files tell of splits, of seasons and of dates."""

import collections
import re
from collections.abc import Iterable

from tfds_builders.finding import folded

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders, in lower case, that state the split of what lies below."""

_SEASONS = "spring|summer|autumn|fall|winter"
_DATE = r"(19|20)\d\d[-_.]?(0[1-9]|1[0-2])([-_.]?(0[1-9]|[12]\d|3[01])(t\d{4,6}z?)?)?"
_PASSES = "asc|ascending|desc|descending|pre|post|before|after"
_TIME = re.compile(rf"({_SEASONS}|{_PASSES}|{_DATE}|(19|20)\d\d)([-_. ]?((19|20)\d\d|{_SEASONS}))?")
"""A name, in lower case, that tells when something was acquired and not where."""
_TIME_IN_NAME = re.compile(
    rf"(?:(?<=[-_. ])|^)({_SEASONS}|{_PASSES}|(19|20)\d{{6}}(t\d{{4,6}}z?)?|{_DATE})(?=[-_. ]|$)", re.IGNORECASE
)
"""The same as a part of a longer name, where a number of four digits may be anything."""


def is_time(name: str) -> bool:
    """Whether a name tells nothing but a season, a date, a year or a pass."""
    return _TIME.fullmatch(folded(name)) is not None


def without_time(name: str) -> str:
    """A name without the seasons, dates and passes in it: ``porto_summer_01`` -> ``porto_01``."""
    rest = _TIME_IN_NAME.sub("", name)
    return name if rest == name else re.sub(r"([-_. ])[-_. ]+", r"\1", rest).strip("-_. ")


def same_location(names: Iterable[str]) -> dict[str, str]:
    """The names, and what each is without season and date, where that makes several of them one.

    Returns:
        Only those that become one with another: ``porto_summer`` and ``porto_winter`` -> ``porto``.
    """
    groups: dict[str, set[str]] = collections.defaultdict(set)
    for name in names:
        groups[without_time(name)].add(name)
    return {name: short for short, members in groups.items() if short and len(members) > 1 for name in members}
