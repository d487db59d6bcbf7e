"""Bytes that chips exchange, read from the text of a compiled program."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping

RING: dict[str, Callable[[float, int], float]] = {
    "all-reduce": lambda size, chips: 2 * size * (chips - 1) / chips,
    "all-gather": lambda size, chips: size * (chips - 1) / chips,
    "reduce-scatter": lambda size, chips: size * (chips - 1),
    "all-to-all": lambda size, chips: size * (chips - 1) / chips,
    "collective-permute": lambda size, chips: size,
}
"""What each chip sends in a ring, from the bytes of an operation's result on one chip and the number of chips."""

_OPERATION = re.compile(rf"= (?P<result>.+?) (?P<name>{'|'.join(RING)})(?P<start>-start)?\(")
_ARRAY = re.compile(r"\b(?:pred|[a-z]+?(\d+)\w*)\[([\d,]*)\]")


def sizes(hlo: str) -> dict[str, int]:
    """Bytes of the results of a program's collective operations on one chip, by operation.

    An operation in a loop is counted once: a training step exchanges its gradients after its loop over micro-batches.

    Args:
      hlo: the text of a compiled program, one operation a line.
    """
    found: Counter[str] = Counter()
    for line in hlo.splitlines():
        if not (operation := _OPERATION.search(line)):
            continue
        arrays = [_size(*match.groups()) for match in _ARRAY.finditer(operation["result"])]
        if operation["start"] and operation["name"] in ("all-gather", "collective-permute"):
            arrays = arrays[len(arrays) // 2 :] if operation["name"] == "all-gather" else arrays[1:2]  # Without inputs.
        found[operation["name"]] += sum(arrays)
    return dict(found)


def sent(collectives: Mapping[str, int], *, num_chips: int) -> float:
    """Bytes that each chip sends in one step, by rings; 0 on one chip. ``collectives`` are of ``sizes``."""
    if num_chips == 1:
        return 0.0
    return sum(RING[name](size, num_chips) for name, size in collectives.items())


def _size(bits: str | None, dimensions: str) -> int:
    """Bytes of an array; ``bits`` of an element, None of a truth value."""
    return math.ceil(int(bits or 8) * math.prod(int(n) for n in dimensions.split(",") if n) / 8)
