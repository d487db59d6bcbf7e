"""What the commands that measure networks share: flags, sizes, and a result that is written after every row."""

import argparse
import functools
import shlex
import sys
from collections.abc import Callable, Collection
from typing import Any

import jax

from benchmarks import results, timing, workloads
from benchmarks.matrix_rate import matrix_rate
from benchmarks.timing import OURS, Call
from benchmarks.workloads import NETWORKS, PRECISIONS, Size


def add_flags(parser: argparse.ArgumentParser, *, output: str, rivals: str = "eager,channels_last") -> None:
    """Adds the flags that all of these commands have."""
    add = parser.add_argument
    add("--precision", choices=tuple(PRECISIONS), default="float32", help="of all networks (default: %(default)s)")
    add(
        "--rivals",
        type=names,
        default=names(rivals),
        help=f"ways to run PyTorch, separated by commas, see torch_workloads.WAYS; none: alone (default: {rivals})",
    )
    add("--only_rivals", action="store_true", help="leave us out, to fill the caches of PyTorch's compiler")
    add("--repeats", type=int, default=5, help="turns of each; 0 only fills the compilers' caches (default: 5)")
    add("--turn_seconds", type=float, default=0.0, help="a turn lasts at least so long (default: one call)")
    add("--output", default=f"benchmarks/results/{output}", help="the JSON file (default: %(default)s)")


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas; ``none`` is no name at all."""
    return () if text == "none" else tuple(text.split(","))


def contenders(
    flags: argparse.Namespace,
    ours: Callable[[], Call],
    theirs: Callable[[str], Call],
    *,
    ways: Collection[str] | None = None,
) -> dict[str, Callable[[], Call]]:
    """What prepares each contender, as ``timing.take_turns`` takes it.

    Args:
        flags: of ``add_flags``.
        ours: prepares us.
        theirs: prepares PyTorch's side in one of ``torch_workloads.WAYS``; imports it when it is called, not before.
        ways: those of the rivals; None: of the flags.
    """
    rivals = {way: functools.partial(theirs, way) for way in (flags.rivals if ways is None else ways)}
    return rivals if flags.only_rivals else {OURS: ours, **rivals}


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    return tuple(map(int, text.split(",")))


def parse_work(
    parser: argparse.ArgumentParser, text: str, *, kinds: Collection[str], precision: str
) -> tuple[str, Size]:
    """``KIND:NETWORK:BATCH:SIDE`` as a kind and a size; ends the command with a message where it is none."""
    kind, _, rest = text.partition(":")
    if kind not in kinds:
        parser.error(f"Unknown work {kind!r} in {text!r}; known: {', '.join(kinds)}.")
    return kind, parse_size(parser, rest, precision=precision)


def parse_size(parser: argparse.ArgumentParser, text: str, *, precision: str) -> Size:
    """``NETWORK:BATCH:SIDE`` as a size; ends the command with a message where it is none."""
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in NETWORKS or not all(part.isdigit() and int(part) for part in parts[1:]):
        parser.error(f"A size is NETWORK:BATCH:SIDE with NETWORK one of {', '.join(NETWORKS)}; got {text!r}.")
    size = Size(network=parts[0], batch_size=int(parts[1]), image_size=int(parts[2]), precision=precision)
    try:
        size.unet.check_image_size(size.image_size, size.image_size)
    except ValueError as error:
        parser.error(f"{text!r}: {error}")
    return size


class Report:
    """A result that grows row by row: the file is written anew after each, so that a stopped run keeps its rows."""

    def __init__(self, name: str, flags: argparse.Namespace, arguments: list[str] | None):
        """``name`` is the module's; ``arguments`` are as of ``main``, None for those of the command line."""
        given = sys.argv[1:] if arguments is None else arguments
        workloads.use_precision(flags.precision)
        self._flags = flags
        self._matrix_rate: float | None = None
        self.measured: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {
            "command": shlex.join(["python", "-m", f"benchmarks.{name}", *given]),
            **results.circumstances(*workloads.PACKAGES),
            "device": jax.devices()[0].device_kind,
            "precision": flags.precision,
        }

    def __enter__(self) -> "Report":
        """Measures the device's matrix rate, where there is something to compare with it."""
        if self._flags.repeats:
            self._matrix_rate = matrix_rate(self._flags.precision)
            self.result["matrix_tflops"] = timing.significant(self._matrix_rate / 1e12)
            timing.say(f"matrix products: {self.result['matrix_tflops']} TFLOP/s in {self._flags.precision}")
        return self

    def add(self, work: str, row: dict[str, Any], *, flops: float, examples: int) -> None:
        """Adds what ``timing.take_turns`` measured of a piece of work of so many operations and images a call."""
        if "median" in row:
            row |= timing.rates(row["median"], flops=flops, examples=examples, matrix_rate=self._matrix_rate)
        self.measured.append({"work": work, "gigaflop": timing.significant(flops / 1e9), **row})
        timing.say(timing.table(self.measured[-1:]).splitlines()[-1])
        self.write()

    def write(self) -> None:
        """Writes what is known so far, unless only caches are filled."""
        if self._flags.repeats:
            results.write(self._flags.output, self.result | {"measured": self.measured})

    def __exit__(self, *error: object) -> None:
        """Prints the table."""
        print(timing.table(self.measured))
