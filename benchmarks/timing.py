"""Contenders take turns at the same work: how long each takes, and how they compare.

A contender that fails (out of memory, say) is reported as failed, and the others go on. Needs neither JAX nor PyTorch.
"""

import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import results

Call = Callable[[int], None]
"""``call(count)`` does the work ``count`` times and returns when the last one is finished, on the device as well."""
OURS = "sar2opt_jax"
"""The contender whose speed is compared with that of all others."""


def say(text: str) -> None:
    """Prints a line of progress with the time of day to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def take_turns(
    contenders: Mapping[str, Callable[[], Call]],
    *,
    repeats: int,
    turn_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[], None] = lambda: time.sleep(0.2),
) -> dict[str, Any]:
    """Lets the contenders take turns, A B A B, so that a change of the machine's load affects all of them.

    Args:
        contenders: what prepares each; ``OURS`` is compared with the others.
        repeats: turns of each contender; 0 makes only the first calls, which fills the caches of the compilers.
        turn_seconds: how long a turn lasts at least; a turn of one call may last longer.
        clock: seconds.
        pause: before each turn, for the threads of the contender before it to fall asleep: they spin for a while.

    Returns:
        ``first_call_seconds``: of each contender, preparing and compiling included; ``failed``: why, by contender;
        and if there are turns, what ``compare`` returns, with ``calls``, how many of them make a turn, and
        ``load_average``, the machine's before each round.
    """
    ready: dict[str, Call] = {}
    first: dict[str, float] = {}
    failed: dict[str, str] = {}
    calls: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}

    def attempt(name: str, work: Callable[[], Any]) -> float | None:
        """Seconds of ``work``; None where it failed, and the contender is dropped."""
        start = clock()
        try:
            work()
        except Exception as error:  # Whatever a framework raises: the others still have their turns.
            failed[name] = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
            say(f"{name} failed: {failed[name]}")
            ready.pop(name, None)
            seconds.pop(name, None)
            calls.pop(name, None)
            gc.collect()  # What it held on the device is for the others.
            return None
        return clock() - start

    for name, prepare in contenders.items():

        def prepare_and_call(name: str = name, prepare: Callable[[], Call] = prepare) -> None:
            ready[name] = prepare()
            ready[name](1)

        taken = attempt(name, prepare_and_call)
        if taken is None:
            continue
        first[name] = significant(taken)
        say(f"{name}: prepared, first call after {taken:.1f} s")
        once = taken
        if repeats and turn_seconds:
            once = attempt(name, lambda name=name: ready[name](1))
        if once is not None:
            calls[name] = max(1, math.ceil(turn_seconds / once)) if once > 0 else 1
            seconds[name] = []

    found: dict[str, Any] = {"first_call_seconds": first, "failed": failed}
    if not repeats:
        return found
    loads = []
    for _ in range(repeats):
        loads.append(results.load_average())
        for name in list(seconds):
            pause()
            taken = attempt(name, lambda name=name: ready[name](calls[name]))
            if taken is not None:
                seconds[name].append(significant(taken / calls[name]))
    if max((load for load in loads if load is not None), default=0.0) > results.num_cores() + 1:
        say(f"Other programs took part: the load was {loads} on {results.num_cores()} cores. Measure again alone.")
    return {**compare(seconds), "calls": calls, **found, "load_average": loads}


def compare(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """How contenders compare.

    Args:
        seconds: a call of each contender, one number a turn.

    Returns:
        ``seconds`` as given; their ``median``; ``speedup``: for each rival its median over ours, above 1 where ours is
        faster; ``ours_over_best``: our median over that of the fastest rival. The latter two only where ours ran.
    """
    median = {name: significant(statistics.median(turns)) for name, turns in seconds.items()}
    found: dict[str, Any] = {"seconds": {name: list(turns) for name, turns in seconds.items()}, "median": median}
    rivals = {name: value for name, value in median.items() if name != OURS}
    if OURS in median and rivals:
        found["speedup"] = {name: significant(value / median[OURS]) for name, value in rivals.items()}
        found["ours_over_best"] = significant(median[OURS] / min(rivals.values()))
    return found


def rates(median: Mapping[str, float], *, flops: float, examples: int, matrix_rate: float | None) -> dict[str, Any]:
    """Rates of contenders at work of known size.

    Args:
        median: seconds a call, by contender.
        flops: what the work needs, in floating-point operations a call.
        examples: images a call.
        matrix_rate: of a large matrix product on the same device in the same precision, operations a second.

    Returns:
        By contender: ``examples_per_second``, ``tflops`` (10^12 operations a second) and, where the matrix rate is
        known, ``utilisation``, the share of it that is reached (model-FLOP utilisation).
    """
    found: dict[str, Any] = {
        "examples_per_second": {name: significant(examples / value) for name, value in median.items()},
        "tflops": {name: significant(flops / value / 1e12) for name, value in median.items()},
    }
    if matrix_rate:
        found["utilisation"] = {name: significant(flops / value / matrix_rate) for name, value in median.items()}
    return found


def significant(value: float, *, digits: int = 4) -> float:
    """``value`` rounded to so many digits that say something."""
    return float(f"{value:.{digits}g}")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, one line a row of ``measured``: milliseconds a call by contender, and ours over the best."""
    names = list(dict.fromkeys(name for row in rows for name in (*row.get("median", {}), *row["failed"])))
    lines = [
        "| work | " + " | ".join(f"{name}, ms" for name in names) + " | ours / best | utilisation |",
        "| --- |" + " ---: |" * (len(names) + 2),
    ]
    for row in rows:
        cells = [row["work"]]
        for name in names:
            value = row.get("median", {}).get(name)
            cells.append("failed" if name in row["failed"] else "" if value is None else f"{1e3 * value:.4g}")
        cells.append(f"{row['ours_over_best']:.2f}" if "ours_over_best" in row else "")
        share = row.get("utilisation", {}).get(OURS)
        cells.append("" if share is None else f"{100 * share:.1f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
