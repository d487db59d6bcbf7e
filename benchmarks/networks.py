"""The U-Net's forward pass and the teacher's training step, against diffusers' UNet2DModel in PyTorch.

python -m benchmarks.networks                                    # small sizes, for a CPU
python -m benchmarks.networks --rivals=none                      # alone, without PyTorch
python -m benchmarks.networks --work=teacher_step:paper:16:256 --precision=bfloat16 --rivals=channels_last,compile

The weights are the same, and so is what is computed; ``difference`` says how far the outputs of forward passes lie
apart. A training step is forward, backward, clipping of the norm, AdamW and the moving average of the weights.
"""

import argparse
import functools
from collections.abc import Callable

import numpy as np

from benchmarks import commands, timing, workloads
from benchmarks.timing import OURS, Call
from benchmarks.workloads import Size

DEFAULT_WORK = (
    "teacher_step:default:16:32,teacher_step:default:8:64,teacher_step:paper:2:64,"
    "forward:default:16:32,forward:paper:1:256"
)
FLOPS = {
    "forward": workloads.forward_flops,
    "teacher_step": lambda size: workloads.step_flops("teacher", size),
}


Outputs = dict[str, Callable[[], np.ndarray]]
"""By contender: what returns its prediction."""


def ours(kind: str, size: Size, outputs: Outputs) -> Call:
    """Prepares our side of a kind of work; a forward pass leaves in ``outputs`` what it predicts."""
    if kind == "teacher_step":
        return workloads.training_step("teacher", size)
    call, outputs[OURS] = workloads.forward(size)
    return call


def rival(kind: str, size: Size, outputs: Outputs, way: str) -> Call:
    """The same of PyTorch, run in one of ``torch_workloads.WAYS``."""
    from benchmarks.torch_workloads import Rival

    if kind == "teacher_step":
        return Rival(size, way).teacher_step()
    call, outputs[way] = Rival(size, way).forward()
    return call


def differences(outputs: Outputs) -> dict[str, float]:
    """By rival: the largest difference of its output from ours, relative to our largest value."""
    if OURS not in outputs:
        return {}
    expected = outputs[OURS]()
    largest = np.abs(expected).max()
    return {
        way: timing.significant(float(np.abs(output() - expected).max() / largest), digits=2)
        for way, output in outputs.items()
        if way != OURS
    }


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every piece of work, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.networks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--work",
        default=DEFAULT_WORK,
        help="KIND:NETWORK:BATCH:SIDE, separated by commas; kinds: forward, teacher_step (default: %(default)s)",
    )
    commands.add_flags(parser, output="networks.json")
    flags = parser.parse_args(arguments)
    work = [commands.parse_work(parser, text, kinds=FLOPS, precision=flags.precision) for text in flags.work.split(",")]

    with commands.Report("networks", flags, arguments) as report:
        for kind, size in work:
            outputs: Outputs = {}
            made = commands.contenders(
                flags, functools.partial(ours, kind, size, outputs), functools.partial(rival, kind, size, outputs)
            )
            row = timing.take_turns(made, repeats=flags.repeats, turn_seconds=flags.turn_seconds)
            if kind == "forward" and flags.repeats:
                row["difference"] = differences({name: outputs[name] for name in outputs if name not in row["failed"]})
            report.add(f"{kind}, {size}", row, flops=FLOPS[kind](size), examples=size.batch_size)


if __name__ == "__main__":
    main()
