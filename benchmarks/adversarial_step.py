"""The step of adversarial consistency distillation, against the same step in plain PyTorch with diffusers' networks.

python -m benchmarks.adversarial_step                                                # small sizes, for a CPU
python -m benchmarks.adversarial_step --sizes=paper:8:256 --precision=tf32 --rivals=eager,channels_last

Teacher, target and student are evaluated, the discriminator scores the student's image and the target's, both networks
take a step of AdamW, the target follows. The rival computes no feature map twice (``Rival.adversarial_step``).
"""

import argparse
import functools

from benchmarks import commands, timing, workloads
from benchmarks.timing import Call
from benchmarks.workloads import Size


def rival(size: Size, way: str) -> Call:
    """PyTorch's step, run in one of ``torch_workloads.WAYS``."""
    from benchmarks.torch_workloads import Rival

    return Rival(size, way).adversarial_step()


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every size, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adversarial_step", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--sizes", default="default:16:32", help="NETWORK:BATCH:SIDE, separated by commas (default: %(default)s)"
    )
    commands.add_flags(parser, output="adversarial_step.json")
    flags = parser.parse_args(arguments)
    sizes = [commands.parse_size(parser, text, precision=flags.precision) for text in flags.sizes.split(",")]

    with commands.Report("adversarial_step", flags, arguments) as report:
        for size in sizes:
            made = commands.contenders(
                flags,
                functools.partial(workloads.training_step, "adversarial", size),
                functools.partial(rival, size),
            )
            row = timing.take_turns(made, repeats=flags.repeats, turn_seconds=flags.turn_seconds)
            flops = workloads.step_flops("adversarial", size)
            report.add(f"adversarial step, {size}", row, flops=flops, examples=size.batch_size)


if __name__ == "__main__":
    main()
