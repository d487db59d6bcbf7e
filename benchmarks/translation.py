"""Translation in one step and in few, against the same network in diffusers with its LCM scheduler and the original.

python -m benchmarks.translation                                                    # small sizes, for a CPU
python -m benchmarks.translation --sizes=paper:1:256,paper:16:256 --precision=tf32

From radar images in the host's memory to optical ones in the host's memory: batch 1 is the latency, a large batch the
throughput. "The original" is ancestral sampling (DDPM) in 1000 steps with the teacher's network, which is of the same
size. Where fewer of its steps are run, the time of all 1000 is extrapolated in proportion, and the result says so.
"""

import argparse
import functools
from collections.abc import Mapping
from typing import Any

from benchmarks import commands, timing, workloads
from benchmarks.timing import OURS, Call
from benchmarks.workloads import Size

ORIGINAL_STEPS = 1000


def ours(size: Size, sampler: str, num_steps: int) -> Call:
    """Prepares our translation; see ``workloads.translation``."""
    return workloads.translation(size, sampler=sampler, num_steps=num_steps)


def rival(size: Size, sampler: str, num_steps: int, evaluations: int | None, way: str) -> Call:
    """PyTorch's, run in one of ``torch_workloads.WAYS``; see ``Rival.translation``."""
    from benchmarks.torch_workloads import Rival

    return Rival(size, way).translation(sampler=sampler, num_steps=num_steps, evaluations=evaluations)


def original(medians: Mapping[str, float], *, evaluations: int) -> dict[str, dict[str, Any]]:
    """Seconds of the 1000-step original by contender, and from how many evaluations they were extrapolated.

    Args:
        medians: seconds of so many evaluations, by contender.
        evaluations: how many of the 1000 steps were run.
    """
    return {
        name: {
            "seconds": timing.significant(value * ORIGINAL_STEPS / evaluations),
            "steps_run": evaluations,
            "extrapolated": evaluations != ORIGINAL_STEPS,
        }
        for name, value in medians.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every size with every number of steps, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.translation", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--sizes", default="default:1:32,default:16:32", help="NETWORK:BATCH:SIDE,... (default: %(default)s)")
    add("--steps", type=commands.numbers, default=(1, 4), help="of the student (default: 1,4)")
    add("--original", help="NETWORK:BATCH:SIDE of the 1000-step original; none: without (default: the first size)")
    add("--original_steps", type=int, default=10, help="how many of its 1000 steps we run (default: 10)")
    add("--original_rival_steps", type=int, default=10, help="how many of them the rivals run (default: 10)")
    commands.add_flags(parser, output="translation.json")
    flags = parser.parse_args(arguments)
    for steps in (flags.original_steps, flags.original_rival_steps):
        if not 1 <= steps <= ORIGINAL_STEPS:
            parser.error(f"Of the original 1 to {ORIGINAL_STEPS} steps can be run; got {steps}.")
    sizes = [commands.parse_size(parser, text, precision=flags.precision) for text in flags.sizes.split(",")]
    original_size = sizes[0]
    if flags.original not in (None, "none"):
        original_size = commands.parse_size(parser, flags.original, precision=flags.precision)

    with commands.Report("translation", flags, arguments) as report:
        few: dict[str, float] = {}
        for size in sizes:
            for steps in flags.steps:
                row = timing.take_turns(
                    commands.contenders(
                        flags,
                        functools.partial(ours, size, "lcm", steps),
                        functools.partial(rival, size, "lcm", steps, None),
                    ),
                    repeats=flags.repeats,
                    turn_seconds=flags.turn_seconds,
                )
                if size == original_size and OURS in row.get("median", {}):
                    few[str(steps)] = row["median"][OURS]
                flops = steps * workloads.forward_flops(size)
                report.add(f"lcm, {steps} steps, {size}", row, flops=flops, examples=size.batch_size)
        if flags.original == "none":
            return
        # One after the other: a chain is long, and each contender may run another part of it.
        chains = {OURS: (flags.original_steps, functools.partial(ours, original_size, "ddpm", flags.original_steps))}
        if flags.only_rivals:
            chains.clear()
        steps = flags.original_rival_steps
        chains |= {
            way: (steps, functools.partial(rival, original_size, "ddpm", ORIGINAL_STEPS, steps, way))
            for way in flags.rivals
        }
        found: dict[str, Any] = {}
        for name, (evaluations, prepare) in chains.items():
            repeats = min(flags.repeats, 1) if evaluations == ORIGINAL_STEPS else flags.repeats
            row = timing.take_turns({name: prepare}, repeats=repeats, turn_seconds=0.0)
            found |= original(row.get("median", {}), evaluations=evaluations)
            for entry in found.values():
                entry["over_our_few_steps"] = {
                    steps: timing.significant(entry["seconds"] / seconds) for steps, seconds in few.items()
                }
            report.result["original"] = {"size": str(original_size), **found}
            flops = evaluations * workloads.forward_flops(original_size)
            work = f"ddpm, {evaluations} of {ORIGINAL_STEPS} steps, {original_size}"
            report.add(work, row, flops=flops, examples=original_size.batch_size)


if __name__ == "__main__":
    main()
