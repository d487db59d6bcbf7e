"""Seconds and peak memory of preparing a dataset, as somebody does it: the command, its start included.

python -m benchmarks.preparation sen12/10pct sen12 --manual_dir=DOWNLOADED
python -m benchmarks.preparation --manual_dir=DOWNLOADED --multiply=12000,48000 --size=64

The second command measures how cost grows: it writes the pairs of a SEN1-2 again and again, with other pixels, as a
dataset of the kind ``pairs``.
"""

import argparse
import itertools
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import tensorflow_datasets as tfds

from benchmarks import pairs, results
from tfds_builders import finding
from tfds_builders.sen12 import sen12_dataset_builder as sen12

PACKAGES = ("numpy", "pillow", "imagehash", "scipy", "tensorflow-datasets", "array_record")
_SAMPLE_SECONDS = 0.25  # between two looks at the memory


def measure(
    name: str, *, manual_dir: str | os.PathLike[str], processes: int, extra: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Prepares into a temporary folder, by a process of its own.

    Returns:
        ``pairs`` that were prepared, ``seconds``; ``cpu_seconds`` and ``peak_mib`` of all its processes together
        (shared memory once); ``files`` and ``mib`` that were written.

    Raises:
        RuntimeError: the preparation failed; with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "prepared")
        command = [sys.executable, "-m", "tfds_builders.prepare", name, f"--manual_dir={manual_dir}"]
        command += [f"--data_dir={data_dir}", f"--processes={processes}", *extra]
        with open(Path(folder, "said"), "w+") as said:
            start, used = time.perf_counter(), _cpu_seconds()
            running = subprocess.Popen(command, stdout=said, stderr=said)
            peak = 0
            while running.poll() is None:
                peak = max(peak, _memory(running.pid))
                time.sleep(_SAMPLE_SECONDS)
            seconds = time.perf_counter() - start
            if running.returncode:
                said.seek(0)
                raise RuntimeError(f"{shlex.join(command)} ended with {running.returncode}: {said.read().strip()}")
        splits: dict[str, tfds.core.SplitInfo] = tfds.builder_from_directory(_version(data_dir)).info.splits
        written = [path.stat().st_size for path in data_dir.rglob("*") if path.is_file()]
        return {
            "pairs": sum(split.num_examples for split in splits.values()),
            "seconds": round(seconds, 2),
            "cpu_seconds": round(_cpu_seconds() - used, 2),
            "peak_mib": round(peak / 2**20),
            "files": len(written),
            "mib": round(sum(written) / 2**20),
        }


def _cpu_seconds() -> float:
    """Of all processes that were started and have ended: on a busy machine, steadier than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(process: int) -> int:
    """Bytes of a process and all that it started; memory that several share is counted once (Linux: PSS)."""
    try:
        parent = psutil.Process(process)
        family = [parent, *parent.children(recursive=True)]
        return sum(getattr(each.memory_full_info(), "pss", each.memory_info().rss) for each in family)
    except psutil.Error:
        return 0  # One of them has just ended.


def _version(data_dir: Path) -> Path:
    [info] = data_dir.rglob("dataset_info.json")
    return info.parent


def compare(
    names: list[str],
    *,
    manual_dir: str | os.PathLike[str],
    processes: list[int],
    repeats: int,
    extra: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Prepares every dataset with every number of processes, in turns, and prints the medians as rows of a table."""
    turns: dict[tuple[int, str], list[dict[str, Any]]] = {each: [] for each in itertools.product(processes, names)}
    for _, (count, name) in itertools.product(range(repeats), turns):
        load = results.load_average()
        found = measure(name, manual_dir=manual_dir, processes=count, extra=extra)
        turns[count, name].append({**found, "load_average": load})
    rows = []
    for (count, name), found in turns.items():
        seconds = [turn["seconds"] for turn in found]
        median, pairs_prepared = statistics.median(seconds), found[0]["pairs"]
        spread = f"{median:.1f} ({min(seconds):.1f} .. {max(seconds):.1f})"
        row = {
            "processes": count,
            "dataset": name,
            **found[0],
            "seconds": seconds,
            "median": median,
            "pairs_per_second": round(pairs_prepared / median, 1),
            "peak_mib": max(turn["peak_mib"] for turn in found),
            "load_average": [turn["load_average"] for turn in found],
        }
        shown = (count, name, pairs_prepared, spread, f"{row['pairs_per_second']:.0f}", row["peak_mib"])
        print(f"| {' | '.join(map(str, shown))} |", flush=True)
        rows.append(row)
    return rows


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every dataset and number of processes in turns, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preparation", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("names", nargs="*", help="datasets of tfds_builders.prepare: sen12/10pct sen12")
    add("--manual_dir", required=True, help="folder of the downloaded files")
    add("--multiply", type=_numbers, default=[], help="12000,48000: so many pairs, written from those of sen12")
    add("--size", type=int, default=64, help="side of these in pixels (default: 64)")
    add("--skip_bad", action="store_true", help="leave bad files and near-duplicates out")
    add("--processes", type=_numbers, default=[1, 2], help="default: 1,2")
    add("--repeats", type=int, default=3, help="preparations for each (default: 3)")
    add("--output", default="benchmarks/results/preparation.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)

    extra = ("--skip_bad",) if flags.skip_bad else ()
    turns = {"processes": flags.processes, "repeats": flags.repeats, "extra": extra}
    given = sys.argv[1:] if arguments is None else arguments
    result: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.preparation", *given]),
        **results.circumstances(*PACKAGES),
        "measured": [],
    }
    print(
        "| processes | dataset | pairs | seconds | pairs per second | peak MiB |\n| --- | --- | --- | --- | --- | --- |"
    )
    try:
        result["measured"] += compare(flags.names, manual_dir=flags.manual_dir, **turns)
        results.write(flags.output, result)  # Also what is measured before something fails.
        for count in flags.multiply:
            with tempfile.TemporaryDirectory() as folder:
                found, _ = finding.find_pairs(Path(flags.manual_dir), sen12.layout)
                pairs.multiply(found, Path(folder), num_pairs=count, size=flags.size)
                result["measured"] += compare(["pairs/multiplied"], manual_dir=folder, **turns)
                results.write(flags.output, result)
    except RuntimeError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
