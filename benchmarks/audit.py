"""Seconds and memory of the audit: searching similar hashes, and looking at the candidates.

python -m benchmarks.audit --manual_dir=DOWNLOADED   # of sen12

Hashes are those of the real images, each copy with other bits changed, and some of them in clusters, as plain ground
and open water have them; and uniform ones. The rival is what stood here before: all hashes compared, one thread. Every
measurement has a process of its own, for its peak memory. The rival runs up to ``--rival_most`` pairs only.
"""

import argparse
import itertools
import multiprocessing
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from tfds_builders import files, finding, hash_search, near_duplicates
from tfds_builders.sen12.sen12_dataset_builder import PATCH_SIZE, layout

PACKAGES = ("numpy", "pillow", "scipy", "imagehash")
SPLITS = (0.8, 0.1, 0.1)
FLIPPED = (12, 28)
"""Bits of a copy that are changed: unrelated images differ in 32, so that copies are neighbours, seldom candidates."""
LOOKED_AT = 128
"""Images whose candidates are timed."""
CLUSTERED, CLUSTERS, CLUSTER_FLIPS = 0.02, 20, 4
"""Share of the hashes in clusters, how many clusters there are, and the most bits changed in one of them."""


def uniform(count: int, *, seed: int = 0) -> np.ndarray:
    """Hashes without any structure, [count] uint64."""
    return np.random.default_rng(seed).integers(2**64, size=count, dtype=np.uint64)


def multiplied(hashes: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Real hashes, as often as is asked for, [count] uint64; see the top of this file."""
    rng = np.random.default_rng(seed)
    found = rng.choice(hashes, count)
    _flip(found, rng.integers(*FLIPPED, size=count), rng)
    members = np.flatnonzero(rng.random(count) < CLUSTERED)
    found[members] = rng.choice(uniform(CLUSTERS, seed=seed + 1), len(members))
    clustered = found[members]
    _flip(clustered, rng.integers(CLUSTER_FLIPS + 1, size=len(members)), rng)
    found[members] = clustered
    return found


def _flip(hashes: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> None:
    for number in range(counts.max(initial=0)):
        changed = counts > number
        hashes[changed] ^= np.uint64(1) << rng.integers(64, size=changed.sum(), dtype=np.uint64)


def search(first: np.ndarray, second: np.ndarray, *, threads: int) -> int:
    """The number of candidates, found as the audit finds them."""
    found = hash_search.near(first, second, distance=near_duplicates.MAX_DISTANCE, threads=threads)
    return sum(map(len, found))


def brute_force(first: np.ndarray, second: np.ndarray, *, threads: int) -> int:
    """The same by comparing all, 256 at a time; more threads than one are not used."""
    del threads
    count = 0
    for start in range(0, len(second), 256):
        distances = np.bitwise_count(second[start : start + 256, None] ^ first[None, :])
        count += len(np.argwhere(distances <= near_duplicates.MAX_DISTANCE))
    return count


CONTENDERS: dict[str, Callable[..., int]] = {"search": search, "brute_force": brute_force}


def measure(contender: str, hashes: np.ndarray, threads: int) -> dict[str, Any]:
    """One search in all splits: seconds, comparisons, candidates and peak memory of this process, in MiB."""
    train, validation, test = np.split(hashes, (np.cumsum(SPLITS[:2]) * len(hashes)).astype(int))
    work = [(train, np.concatenate([validation, test])), (validation, test)]
    start = time.perf_counter()
    candidates = sum(CONTENDERS[contender](*each, threads=threads) for each in work)
    return {
        "seconds": round(time.perf_counter() - start, 3),
        "comparisons": sum(len(first) * len(second) for first, second in work),
        "candidates": candidates,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10),
    }


def compare(hashes: np.ndarray, *, threads: int, repeats: int, rival: bool) -> list[dict[str, Any]]:
    """Lets the contenders run in turns; the medians of their seconds."""
    turns = {name: [] for name in CONTENDERS if rival or name == "search"}
    for _, name in itertools.product(range(repeats), turns):
        turns[name].append(_alone(name, hashes, threads))
    seconds = {name: [turn.pop("seconds") for turn in found] for name, found in turns.items()}
    return [
        {"contender": name, **found[0], "seconds": seconds[name], "median": round(statistics.median(seconds[name]), 3)}
        for name, found in turns.items()
    ]


def _alone(contender: str, hashes: np.ndarray, threads: int) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, contender, hashes, threads).result()


def look_rates(images: list[Path], form: files.Format) -> dict[str, float]:
    """Candidates a second in one process: each with images of its own, and all images candidates of each other.

    ``before`` decodes both images of every candidate anew.
    """

    def rate(first: list[Path], second: list[Path], candidates: np.ndarray) -> float:
        task = near_duplicates._Task(candidates, dict(enumerate(first)), dict(enumerate(second)), form)
        start = time.perf_counter()
        near_duplicates._look(task)
        return round(len(candidates) / (time.perf_counter() - start), 1)

    half = len(images) // 2
    first, second = images[:half], images[half : 2 * half]
    own = np.stack([np.arange(half)] * 2, axis=1)
    every = np.argwhere(np.ones((half, half), bool))
    before = statistics.median(rate(first[:1], second[:1], own[:1]) for _ in range(half))
    return {"before": before, "images_of_their_own": rate(first, second, own), "all_alike": rate(first, second, every)}


def main(arguments: list[str] | None = None) -> None:
    """The command: measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--manual_dir", help="folder of the downloaded files of sen12 (default: uniform hashes only)")
    add("--pairs", type=lambda text: [int(part) for part in text.split(",")], default=[50_000, 282_384, 1_000_000])
    add("--threads", type=int, default=results.num_cores(), help="default: one a core")
    add("--repeats", type=int, default=3, help="default: 3")
    add("--rival_most", type=int, default=50_000, help="pairs up to which the rival runs (default: 50000)")
    add("--output", default="benchmarks/results/audit.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)

    sources: dict[str, Callable[[int], np.ndarray]] = {"uniform": uniform}
    looked_at = None
    if flags.manual_dir:
        form = files.EightBit(size=PATCH_SIZE, mode="RGB")
        images = [pair.optical for pair in finding.find_pairs(Path(flags.manual_dir), layout)[0]]
        found = [files.image_facts(form.read(image)).fingerprint for image in images]
        real = np.array([each for each in found if each is not None], np.uint64)
        sources["real, multiplied"] = lambda count: multiplied(real, count)
        looked_at = look_rates(images[:LOOKED_AT], form)

    given = sys.argv[1:] if arguments is None else arguments
    result: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.audit", *given]),
        **results.circumstances(*PACKAGES),
        "threads": flags.threads,
        "load_average": [],
        "measured": [],
        "candidates_per_second": looked_at,
    }
    print("| pairs | hashes | contender | seconds | candidates | peak MiB |\n| --- | --- | --- | --- | --- | --- |")
    for count, (source, make) in itertools.product(flags.pairs, sources.items()):
        result["load_average"].append(results.load_average())
        rows = compare(make(count), threads=flags.threads, repeats=flags.repeats, rival=count <= flags.rival_most)
        for row in rows:
            result["measured"].append({"pairs": count, "hashes": source, **row})
            shown = (count, source, row["contender"], row["median"], row["candidates"], row["peak_mib"])
            print(f"| {' | '.join(map(str, shown))} |", flush=True)
        results.write(flags.output, result)
    print(looked_at)


if __name__ == "__main__":
    main()
