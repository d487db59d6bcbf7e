"""Compiles a program and reads what it takes of a chip."""

import contextlib
import dataclasses
import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from sar2opt_jax import paths
from sar2opt_jax.planner import collectives
from sar2opt_jax.planner.chips import GIB
from sar2opt_jax.planner.topology import Target

logger = logging.getLogger(__name__)

_UNITS = {"K": 2**10, "M": 2**20, "G": GIB, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT])"
_TOO_LARGE = (
    # Arguments are in it, whatever it says: so it was for programs of known size.
    re.compile(rf"total memory required for HLO temporaries \({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
    re.compile(rf"Used {_SIZE} of {_SIZE} hbm"),
)
"""How libtpu says what a program takes, and what there is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """What a compiled program takes of each chip.

    Attributes:
      peak: bytes of memory while it runs.
      capacity: bytes that the compiler says the chip has; None unless the program does not fit.
      arguments: bytes of what it is given; None, as all that follow, of a program that does not fit.
      temporaries: bytes of what it computes on the way.
      flops: operations as the compiler counts them, the body of a loop once.
      bytes_accessed: bytes read and written, as the compiler counts them, the body of a loop once.
      collectives: bytes of the results of collective operations, see ``collectives.sizes``.
      seconds: that it took to compile.
    """

    peak: float
    capacity: float | None = None
    arguments: float | None = None
    temporaries: float | None = None
    flops: float | None = None
    bytes_accessed: float | None = None
    collectives: Mapping[str, int] = dataclasses.field(default_factory=dict)
    seconds: float | None = None

    def fits(self, memory: float | None) -> bool:
        """Whether the program fits into this many bytes; None: into whatever there is."""
        return self.capacity is None and (memory is None or self.peak <= memory)


def usage(lowered: Any, target: Target, *, label: str, cache: Path | None) -> Usage:
    """Compiles a program, or reads what was found when the same one was compiled before.

    The cache's key is the program's text with the topology and the versions of compiler and JAX: a change of config or
    code that changes the program compiles anew.

    Args:
      lowered: of ``jax.jit(...).lower(...)``.
      target: what it is compiled for.
      label: of the progress line.
      cache: a folder for results; None keeps none.
    """
    key = hashlib.sha256("\n".join([lowered.as_text(), target.name, target.compiler, jax.__version__]).encode())
    path = cache and cache / f"{key.hexdigest()[:32]}.json"
    known = path and paths.read_json(path)
    if known and known.keys() == {field.name for field in dataclasses.fields(Usage)}:
        logger.info("%s: compiled before, in %.0f s.", label, known["seconds"])
        return Usage(**known)
    started = time.monotonic()
    with _ticking(f"Compiling {label}"):
        found = _compile(lowered)
    found = dataclasses.replace(found, seconds=round(time.monotonic() - started, 1))
    if path:
        paths.write_json(path, dataclasses.asdict(found))
    return found


def _compile(lowered: Any) -> Usage:
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        match = next(filter(None, (pattern.search(str(error)) for pattern in _TOO_LARGE)), None)
        if match is None:
            raise
        used, used_unit, capacity, unit = match.groups()
        return Usage(peak=float(used) * _UNITS[used_unit], capacity=float(capacity) * _UNITS[unit])
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    if memory is None:
        raise ValueError("This compiler does not say what memory a program takes; try --topology=cpu.")
    kept = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Usage(
        peak=kept + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        flops=cost.get("flops"),
        bytes_accessed=cost.get("bytes accessed"),
        collectives=collectives.sizes(compiled.as_text()),
    )


@contextlib.contextmanager
def _ticking(text: str) -> Iterator[None]:
    """A line with the seconds that have passed, or a log line where nobody watches."""
    done = threading.Event()
    with tqdm(desc=text, bar_format="{desc}: {elapsed}", disable=None) as bar:
        if bar.disable:
            logger.info("%s.", text)

        def tick() -> None:
            while not done.wait(1):
                bar.refresh()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
