"""JSON files that other programs wrote: one object, of bounded size, every name once."""

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 4 * 2**20
"""A config has some kilobytes; the index of a network of 40,000 tensors would have this."""
MAX_DIGITS = 20
MAX_SHOWN = 80


def read(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
      FileNotFoundError: where it does not exist.
      ValueError: where it holds something else, is larger than ``MAX_BYTES``, or says something twice.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES // 2**20} MiB; expected a JSON file of some kilobytes.")
    try:
        # With or without a byte order mark, which some editors of Windows write.
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError:
        raise ValueError(f"{path} is not JSON of a config: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}; expected names and values.")
    return found


def shown(value: Any) -> str:
    """A value for a message, however long it is."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values. Readers differ on which of two values they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"it says {shown(twice)} twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"it has a number of {len(text)} digits")
    return int(text)
