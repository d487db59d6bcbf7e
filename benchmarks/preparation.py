"""Pairs per second of preparing a dataset, as somebody does it: the command, its start included.

python -m benchmarks.preparation sen12/10pct sen12 --manual_dir=DOWNLOADED

Two subsets of one dataset, a small and a large one, tell the start from the work: how long a larger one takes follows
from their difference.
"""

import argparse
import itertools
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import tensorflow_datasets as tfds

from benchmarks import results
from tfds_builders.prepare import make_builder

PACKAGES = ("numpy", "pillow", "imagehash", "scipy", "tensorflow-datasets", "array_record")
SEN12_PAIRS = 282_384
"""Of the whole SEN1-2 (arXiv 1807.01569)."""


def time_preparation(name: str, *, manual_dir: str | os.PathLike[str], processes: int, extra: tuple[str, ...] = ()):
    """Prepares into a temporary folder, by a process of its own.

    Returns:
        The seconds, and how many pairs were prepared.

    Raises:
        RuntimeError: the preparation failed; with what it said.
    """
    with tempfile.TemporaryDirectory() as data_dir:
        command = [sys.executable, "-m", "tfds_builders.prepare", name, f"--manual_dir={manual_dir}"]
        command += [f"--data_dir={data_dir}", f"--processes={processes}", *extra]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        splits: dict[str, tfds.core.SplitInfo] = make_builder(name, data_dir=data_dir).info.splits
        return seconds, sum(split.num_examples for split in splits.values())


def seconds_for(pairs: int, measured: dict[int, float]) -> float:
    """How long a preparation takes, on the line through the smallest and the largest one measured.

    Args:
        pairs: of the dataset that is asked for.
        measured: seconds by number of pairs; a single one is taken to be proportional.
    """
    (few, short), (many, long) = min(measured.items()), max(measured.items())
    if few == many:
        return long * pairs / many
    return long + (pairs - many) * (long - short) / (many - few)


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every dataset and number of processes in turns, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preparation", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("names", nargs="+", help="datasets of tfds_builders.prepare: sen12/10pct sen12")
    add("--manual_dir", required=True, help="folder of the downloaded files")
    add("--skip_bad", action="store_true", help="leave bad files and near-duplicates out")
    add("--processes", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2], help="default: 1,2")
    add("--repeats", type=int, default=3, help="preparations for each (default: 3)")
    add("--output", default="benchmarks/results/preparation.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)

    extra = ("--skip_bad",) if flags.skip_bad else ()
    settings = list(itertools.product(flags.processes, flags.names))
    seconds: dict[tuple[int, str], list[float]] = {setting: [] for setting in settings}
    pairs: dict[str, int] = {}
    loads = []
    try:
        for _, (processes, name) in itertools.product(range(flags.repeats), settings):
            loads.append(results.load_average())
            taken, pairs[name] = time_preparation(name, manual_dir=flags.manual_dir, processes=processes, extra=extra)
            seconds[processes, name].append(round(taken, 2))
    except RuntimeError as error:
        sys.exit(f"{error}")

    medians = {setting: statistics.median(found) for setting, found in seconds.items()}
    print("| processes | dataset | pairs | seconds | pairs per second |\n| --- | --- | --- | --- | --- |")
    for (processes, name), found in seconds.items():
        median = medians[processes, name]
        spread = f"{median:.1f} ({min(found):.1f} .. {max(found):.1f})"
        print(f"| {processes} | {name} | {pairs[name]} | {spread} | {pairs[name] / median:.0f} |")
    extrapolated = {}
    for processes in flags.processes:
        by_pairs = {pairs[name]: medians[processes, name] for name in flags.names}
        extrapolated[processes] = round(seconds_for(SEN12_PAIRS, by_pairs))
        print(f"Extrapolated, {processes} processes: {SEN12_PAIRS:,} pairs in {extrapolated[processes] / 60:.0f} min.")

    given = sys.argv[1:] if arguments is None else arguments
    result = {
        "command": shlex.join(["python", "-m", "benchmarks.preparation", *given]),
        **results.circumstances(*PACKAGES),
        "load_average": loads,
        "measured": [
            {
                "processes": processes,
                "dataset": name,
                "pairs": pairs[name],
                "seconds": found,
                "median": medians[processes, name],
                "pairs_per_second": round(pairs[name] / medians[processes, name], 1),
            }
            for (processes, name), found in seconds.items()
        ],
        "extrapolated": {"pairs": SEN12_PAIRS, "seconds": extrapolated},
    }
    results.write(flags.output, result)


if __name__ == "__main__":
    main()
