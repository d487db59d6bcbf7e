"""A program of a plan, and what is found of it: whether it fits, the largest batch, seconds by the roofline."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sar2opt_jax.planner import collectives
from sar2opt_jax.planner.compiling import Usage, usage
from sar2opt_jax.planner.laws import MemoryLaw, Roofline, bytes_of_loop, roofline
from sar2opt_jax.planner.topology import Target

logger = logging.getLogger(__name__)

EFFORTS = ("none", "law", "checked")
"""How the largest batch is found: not at all; by a straight line through the memory of two batches; by that line, and a
program of the size that it proposes. Each takes one program more than the one before."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program, for any number of examples.

    Attributes:
      name: of the stage, or of the translation.
      lower: from the examples that each chip computes at once to what is compiled.
      flops: from the same to the operations of one chip in one step.
      examples: that each chip computes at once, as the config has it.
      repeats: of the program's loop: micro-batches of a step, or evaluations of a sampler.
      micro_batches: parts of a step: it takes ``examples`` times as many examples of a chip.
      num_steps: optimiser steps of the stage; None for a translation.
      dtype: of the network's inside.
      once_bytes: bytes that a step moves outside of its loop.
      accumulator_bytes: bytes that gradients take where they are added up over micro-batches.
      savers: flags that would save memory by how much only another plan can tell.
    """

    name: str
    lower: Callable[[int], Any]
    flops: Callable[[int], float]
    examples: int
    repeats: int
    micro_batches: int
    num_steps: int | None
    dtype: str
    once_bytes: float
    accumulator_bytes: float
    savers: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What is found of a program.

    Attributes:
      program: it.
      usage: of the program as the config has it.
      fits: whether it fits; also where the chip's memory is not known.
      flops: operations of one chip in one step, convolutions and matrix products by their shapes.
      bytes_moved: of one chip in one step; None where it does not fit, or the compiler does not say.
      bytes_sent: of one chip in one step.
      law: memory by examples at once; None where it was not asked for.
      most: the most examples that a chip computes at once; None where unknown.
      checked: whether a program of that size was compiled and fits; None where it was not compiled.
      roofline: None where the chip or the bytes are not known.
    """

    program: Program
    usage: Usage
    fits: bool
    flops: float
    bytes_moved: float | None
    bytes_sent: float
    law: MemoryLaw | None
    most: int | None
    checked: bool | None
    roofline: Roofline | None


def find(program: Program, target: Target, *, effort: str, cache: Path | None) -> Finding:
    """Compiles a program as the config has it, and for its largest batch as ``EFFORTS`` says.

    Args:
      program: what to compile.
      target: what for.
      effort: one of ``EFFORTS``.
      cache: a folder for what was found; None keeps nothing.
    """

    def compiled(examples: int) -> Usage:
        label = f"{program.name} for {target.name}, {examples} at once on a chip"
        return usage(program.lower(examples), target, label=label, cache=cache)

    memory, own = target.memory, program.examples
    first = compiled(own)
    fits, law, most, checked = first.fits(memory), None, None, None
    limit = first.capacity or memory
    # A config that does not fit is told what would: that takes the line, too.
    if limit is not None and (effort != "none" or not fits):
        other = 4 * own if fits or own == 1 else own // 2
        second = compiled(other)
        if second.peak == first.peak:  # Compilers pad: a few examples may take as much as one.
            other = 64 * own
            second = compiled(other)
        law = MemoryLaw.through((own, first.peak), (other, second.peak))
        limit = min(limit, second.capacity or limit)
        most = law.most(limit)
        if most and effort == "checked":
            most, checked = _checked(most, first=(own, first.peak), limit=limit, compiled=compiled)
    moved = None
    if first.bytes_accessed is not None:
        moved = bytes_of_loop(first.bytes_accessed, outside=program.once_bytes, repeats=program.repeats)
    sent = collectives.sent(first.collectives, num_chips=len(target.devices))
    count = program.flops(own)
    roof = None
    if target.chip is not None and moved is not None:
        roof = roofline(flops=count, bytes_moved=moved, bytes_sent=sent, chip=target.chip, dtype=program.dtype)
    return Finding(
        program=program, usage=first, fits=fits, flops=count, bytes_moved=moved, bytes_sent=sent,
        law=law, most=most, checked=checked, roofline=roof,
    )  # fmt: skip


def _checked(
    most: int, *, first: tuple[int, float], limit: float, compiled: Callable[[int], Usage]
) -> tuple[int, bool]:
    """The largest batch that a compiled program shows to fit, and whether one did; two are compiled at most.

    Args:
      most: by the line.
      first: examples and bytes of a program that was compiled.
      limit: bytes of a chip.
      compiled: what a program of so many examples takes.
    """
    own = first[0]
    for _ in range(2):
        found = compiled(most)
        if found.fits(limit):
            return most, True
        # The compiler pads and rounds: a line through this point is nearer to the limit than the one before.
        most = max(0, min(MemoryLaw.through(first, (most, found.peak)).most(limit) or 0, most - 1))
        if most <= own and first[1] <= limit:
            return own, True
    return most, False
