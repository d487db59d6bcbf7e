"""Pairs per second of the training pipeline, against a PyTorch DataLoader over the same files.

python -m benchmarks.input_pipeline
python -m benchmarks.input_pipeline --data_dir=PREPARED --manual_dir=DOWNLOADED   # of sen12
python -m benchmarks.input_pipeline --rival=none                                  # without PyTorch

Both decode, crop to a random place, turn and flip, scale to float32 in [-1, 1], stack and put batches on the device,
with equally many workers (threads here, processes there). They run in turns, A B A B, so that a change of the machine's
load meets both; what they had prepared while they waited is thrown away before the clock starts.

JAX and the package are imported in functions: the rival's worker processes import this module again, and are to hold
nothing of them.
"""

import argparse
import contextlib
import gc
import itertools
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import results

if TYPE_CHECKING:
    from sar2opt_jax.data import prepared
    from tfds_builders import files

PACKAGES = ("jax", "grain", "isal", "numba", "numpy", "pillow", "tensorflow-datasets", "torch")
Batches = Callable[..., Iterator[Any]]
"""``batches(image_size=, batch_size=, workers=)``: endless, each on the device when it is returned."""


def own_batches(source: "prepared.Source") -> Batches:
    """The pipeline as a training uses it."""
    import jax

    from sar2opt_jax.data import pipeline

    def batches(*, image_size: int, batch_size: int, workers: int) -> Iterator[Any]:
        with contextlib.closing(
            pipeline.training_batches(
                source, image_size=image_size, batch_size=batch_size, seed=0, augment=True, num_threads=workers
            )
        ) as found:
            for batch in found:
                yield jax.block_until_ready(jax.device_put(batch))

    return batches


def torch_batches(found: "Sequence[files.Pair]") -> Batches:
    """The DataLoader over the same files.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
    """
    import jax

    try:
        from benchmarks import torch_loader
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            "The rival needs PyTorch, which this project does not: pip install torch, or run with --rival=none."
        ) from None
    paths = [(pair.sar, pair.optical) for pair in found]
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"

    def batches(*, image_size: int, batch_size: int, workers: int) -> Iterator[Any]:
        return torch_loader.batches(paths, image_size=image_size, batch_size=batch_size, workers=workers, device=device)

    return batches


def measure(
    contenders: dict[str, Batches],
    *,
    image_size: int,
    batch_size: int,
    workers: int,
    num_batches: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Lets the contenders run in turns.

    Args:
        contenders: how each makes its batches.
        image_size: side of the crops in pixels.
        batch_size: pairs in a batch.
        workers: threads or processes that prepare batches.
        num_batches: how many are timed in one turn.
        repeats: turns of each contender.
        clock: seconds.

    Returns:
        The setting; ``pairs_per_second``, a list of one number a turn for each contender; their ``median``; the
        ``load_average`` before each turn of the first; and, for two contenders, ``ratio``: the first's median over the
        second's.
    """
    iterators = {
        name: batches(image_size=image_size, batch_size=batch_size, workers=workers)
        for name, batches in contenders.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    loads = []
    # What a DataLoader holds ready: two batches a worker, and one in the hand of each.
    ready = 3 * workers + 1
    for _ in range(repeats):
        loads.append(results.load_average())
        for name, iterator in iterators.items():
            _take(iterator, ready)
            start = clock()
            _take(iterator, num_batches)
            rates[name].append(round(num_batches * batch_size / (clock() - start), 1))
    for iterator in iterators.values():
        iterator.close()  # pyright: ignore[reportAttributeAccessIssue]
    gc.collect()  # The DataLoader's workers end with its iterator.

    medians = {name: statistics.median(found) for name, found in rates.items()}
    result = {
        "image_size": image_size,
        "workers": workers,
        "pairs_per_second": rates,
        "median": medians,
        "load_average": loads,
    }
    if len(medians) == 2:
        own, rival = medians.values()
        result["ratio"] = round(own / rival, 2)
    return result


def _take(iterator: Iterator[Any], count: int) -> None:
    for _ in range(count):
        next(iterator)


def table(measured: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, one line a setting: medians in pairs per second, with the lowest and the highest turn."""
    names = list(measured[0]["median"])
    lines = [
        "| crop | workers | " + " | ".join(names) + (" | ratio |" if len(names) == 2 else " |"),
        "| --- | --- |" + " --- |" * (len(names) + (len(names) == 2)),
    ]
    for row in measured:
        cells = [f"{row['image_size']}", f"{row['workers']}"]
        for name in names:
            turns = row["pairs_per_second"][name]
            cells.append(f"{row['median'][name]:.0f} ({min(turns):.0f} .. {max(turns):.0f})")
        if "ratio" in row:
            cells.append(f"{row['ratio']:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """The command: measures every crop with every number of workers, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.input_pipeline", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--data_dir", help="where sen12 is prepared (default: a temporary folder with simulated scenes)")
    add("--manual_dir", help="the PNG files that it was prepared from")
    add("--num_pairs", type=int, default=200, help="simulated scenes, where there are no files (default: 200)")
    add("--crops", type=_numbers, default=(64, 128, 256), help="sides in pixels (default: 64,128,256)")
    add("--workers", type=_numbers, default=(1, 2), help="threads or processes (default: 1,2)")
    add("--batch_size", type=int, default=16, help="pairs (default: 16)")
    add("--num_batches", type=int, default=20, help="batches timed in a turn (default: 20)")
    add("--repeats", type=int, default=7, help="turns of each (default: 7)")
    add("--rival", choices=("torch", "none"), default="torch", help="whom to compare with (default: torch)")
    add("--output", default="benchmarks/results/input_pipeline.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)
    if (flags.data_dir is None) != (flags.manual_dir is None):
        parser.error("--data_dir and --manual_dir belong together: the prepared dataset and the files it was made of.")

    import jax

    from benchmarks import pairs

    with contextlib.ExitStack() as stack:
        data_dir, manual_dir = flags.data_dir, flags.manual_dir
        if data_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            data_dir, manual_dir = folder / "prepared", folder / "files"
            pairs.simulate(manual_dir, num_pairs=flags.num_pairs)
        try:
            source, found = pairs.open_pairs(data_dir=data_dir, manual_dir=manual_dir)
            contenders = {"sar2opt_jax": own_batches(source)}
            if flags.rival == "torch":
                contenders["torch"] = torch_batches(found)
        except (ModuleNotFoundError, OSError, ValueError) as error:
            sys.exit(f"{error}")

        measured = []
        for image_size, workers in itertools.product(flags.crops, flags.workers):
            measured.append(
                measure(
                    contenders,
                    image_size=image_size,
                    batch_size=flags.batch_size,
                    workers=workers,
                    num_batches=flags.num_batches,
                    repeats=flags.repeats,
                )
            )
            print(table(measured[-1:]).splitlines()[-1], file=sys.stderr)

    given = sys.argv[1:] if arguments is None else arguments
    result = {
        "command": shlex.join(["python", "-m", "benchmarks.input_pipeline", *given]),
        **results.circumstances(*PACKAGES),
        "device": jax.devices()[0].device_kind,
        "data": "simulated scenes" if flags.data_dir is None else "sen12",
        "pairs": len(source),
        "batch_size": flags.batch_size,
        "num_batches": flags.num_batches,
        "measured": measured,
    }
    results.write(flags.output, result)
    print(table(measured))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    main()
