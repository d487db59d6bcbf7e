"""From what compiled programs take to what other batches, slices and hours would: straight lines and a roofline."""

import dataclasses
import math
from typing import NamedTuple

from sar2opt_jax.planner.chips import Chip


class MemoryLaw(NamedTuple):
    """Bytes of a chip as a straight line of the examples that it computes at once."""

    fixed: float
    per_example: float

    @classmethod
    def through(cls, first: tuple[int, float], second: tuple[int, float]) -> "MemoryLaw":
        """The line through two points, each a number of examples and bytes. Raises ValueError for equal numbers."""
        if first[0] == second[0]:
            raise ValueError(f"A line needs two numbers of examples; got {first[0]} twice.")
        slope = (second[1] - first[1]) / (second[0] - first[0])
        return cls(fixed=first[1] - slope * first[0], per_example=slope)

    def at(self, examples: int) -> float:
        """Bytes with so many examples at once."""
        return self.fixed + self.per_example * examples

    def most(self, memory: float) -> int | None:
        """The most examples that fit into so many bytes, 0 where none do; None where more examples cost nothing."""
        if self.per_example <= 0:
            return None
        return max(0, math.floor((memory - self.fixed) / self.per_example))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roofline:
    """Seconds of one step at peak rates: of computing, of moving data in memory, of exchanging gradients."""

    compute: float
    memory: float
    exchange: float

    @property
    def seconds(self) -> float:
        """Of the step: computing and memory at the same time, the exchange after them."""
        return max(self.compute, self.memory) + self.exchange

    @property
    def bound(self) -> str:
        """What takes the most time."""
        times = dataclasses.asdict(self)
        return max(times, key=times.__getitem__)


def roofline(*, flops: float, bytes_moved: float, bytes_sent: float, chip: Chip, dtype: str) -> Roofline:
    """The roofline of one step of one chip (Williams et al., doi 10.1145/1498765.1498785).

    Args:
      flops: operations.
      bytes_moved: between memory and chip.
      bytes_sent: to other chips.
      chip: what it can do.
      dtype: of the network's inside, ``bfloat16`` or ``float32``.
    """
    return Roofline(
        compute=flops / chip.flops[dtype],
        memory=bytes_moved / chip.bandwidth,
        exchange=bytes_sent / chip.interconnect if chip.interconnect else 0.0,
    )


def bytes_of_loop(counted: float, *, outside: float, repeats: int) -> float:
    """Bytes that a program moves, where the compiler counted the body of its loop once.

    Args:
      counted: by the compiler.
      outside: of the loop: reading and writing the state once.
      repeats: rounds of the loop.
    """
    return outside + max(counted - outside, 0.0) * repeats
