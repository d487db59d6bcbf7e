"""Trains and measures variants of a preset: ``python -m benchmarks.ablation --pairs=PAIRS.npz --output=RESULT.json``.

Every variant is trained with every seed on one device that several processes share; each result is kept as soon as it
is known, so that a run out of time loses only what it was at. The file of pairs is written by ``--pack=DATASET``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks import results
from benchmarks.ablation import pairs as data
from benchmarks.ablation.measuring import Meter, Row
from benchmarks.ablation.queue import Queue
from benchmarks.ablation.training import Trained, Trainer
from benchmarks.ablation.variants import STEPS_A_CALL, VARIANTS, config_of, methods
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.types import Params

MEASURED_ON = {"centres": data.centres, "crops": data.crops}
GRACE_SECONDS = 8.0
"""After the deadline, for what is being measured."""


def main(arguments: list[str] | None = None) -> None:
    """Packs a dataset, or trains and measures."""
    options = parser().parse_args(arguments)
    if options.pack:
        data.pack(options.pack, options.pairs, data_dir=options.data_dir)
        return
    if options.worker:
        work(options, Queue(Path(options.worker), options.variants))
        return
    with tempfile.TemporaryDirectory() as folder:
        queue, started = Queue(Path(options.folder or folder), options.variants), time.time()
        deadline = started + options.seconds
        command = [sys.executable, "-m", "benchmarks.ablation", *(arguments or sys.argv[1:])]
        command += [f"--worker={queue.folder}", f"--deadline={deadline}"]
        workers = [subprocess.Popen(command) for _ in range(options.workers)]
        while any(worker.poll() is None for worker in workers) and time.time() < deadline + GRACE_SECONDS:
            time.sleep(0.5)
            write(options, queue, started)
        for worker in workers:
            worker.kill()  # What it found is written; a compilation under way would not be told to stop.
            worker.wait()
        write(options, queue, started)
        if failed := [worker.returncode for worker in workers if worker.returncode not in (0, -9)]:
            raise SystemExit(f"{len(failed)} of {len(workers)} processes failed; see above. The rest is written.")


def work(options: argparse.Namespace, queue: Queue) -> None:
    """One process: takes variants until there are none, or no time."""
    splits = data.read(options.pairs)
    meters: dict[int, Meter] = {}
    for name in queue.take(deadline=options.deadline):
        config = config_of(name, options.preset, more=dict(options.set))
        variant, size = VARIANTS[name], config.data.image_size
        if size not in meters:
            meters[size] = Meter(MEASURED_ON[options.measured_on](splits[options.split], size))
        trainer = Trainer(config, variant.stage, train=splits["train"], steps_a_call=options.steps_a_call)
        # Students wait for all seeds of a teacher: it is measured afterwards, everything else seed by seed.
        groups = [options.seeds] if variant.stage == "teacher" else [[seed] for seed in options.seeds]
        for seeds in groups:
            runs = {
                seed: train(options, queue, trainer, name, seed) for seed in seeds if time.time() < options.deadline
            }
            if variant.stage == "teacher" and len(runs) == len(seeds):
                queue.done(name)
            for seed, run in runs.items():
                measured = measure(
                    options, meters[size], name, config, run.export["unet"], original=seed in options.original
                )
                told: Row = {"steps": run.steps, "seconds": round(run.seconds, 3), "curve": run.curve}
                told["compile_seconds"] = round(run.compile_seconds, 2)
                queue.write({"variant": name, "seed": seed, "training": told, "measured": measured})


def train(options: argparse.Namespace, queue: Queue, trainer: Trainer, name: str, seed: int) -> Trained:
    """One training; a teacher's network is kept for its students."""
    variant = VARIANTS[name]
    teacher = None if variant.teacher is None else queue.load(variant.teacher, seed)
    run = trainer.run(seed=trainer.config.seed + 1000 * seed, export=teacher)
    if variant.stage == "teacher":
        queue.save(name, seed, {"unet": run.export["unet"]})
    said = f"{run.steps} steps in {run.seconds:.1f} s, compiled in {run.compile_seconds:.0f} s"
    print(f"{time.strftime('%T')} {name}, seed {seed}: {said}; {run.curve[-1]}", flush=True)
    return run


def measure(
    options: argparse.Namespace, meter: Meter, name: str, config: Config, params: Params, *, original: bool
) -> list[Row]:
    """Every method of a variant, as long as there is time."""
    rows = []
    for method in methods(config, name, original=original):
        if time.time() > options.deadline + GRACE_SECONDS / 2:
            break
        images, seconds = meter.translate(config, VARIANTS[name].stage, params, method)
        row = {"sampler": method.sampler, "steps": method.num_steps, "gamma": method.gamma}
        rows.append(row | {"seconds": round(seconds, 3)} | meter.row(images))
    return rows


def write(options: argparse.Namespace, queue: Queue, started: float) -> None:
    """The results so far, with what is needed to repeat them."""
    found: dict[str, Any] = {
        "command": f"python -m benchmarks.ablation {' '.join(sys.argv[1:])}",
        "preset": options.preset,
        "changes": dict(options.set),
        "split": options.split,
        "measured_on": options.measured_on,
        "seeds": options.seeds,
        "workers": options.workers,
        "wall_seconds": round(time.time() - started, 1),
        **results.circumstances("jax", "jaxlib", "flax", "optax", "numpy"),
        "variants": {
            name: {"stage": VARIANTS[name].stage, "teacher": VARIANTS[name].teacher, "changes": VARIANTS[name].changes}
            for name in queue.names
        },
        "results": queue.results(),
    }
    results.write(options.output, found)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__.partition("\n")[0])
    known.add_argument("--pairs", required=True, help="file of pairs, npz")
    known.add_argument("--pack", metavar="DATASET", help="write --pairs from a prepared dataset, and leave")
    known.add_argument("--data_dir", help="where prepared datasets stand")
    known.add_argument("--preset", default="simulated")
    known.add_argument("--split", default="test", choices=data.SPLITS, help="what is measured on")
    known.add_argument("--measured_on", default="centres", choices=MEASURED_ON, help="what of each pair")
    known.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    known.add_argument("--original", type=int, nargs="*", default=[0], help="seeds whose teachers take all steps")
    known.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    known.add_argument(
        "--set", nargs="+", default=[], type=setting, metavar="NAME=VALUE", help="of the config, for all"
    )
    known.add_argument("--output", default="benchmarks/results/ablation.json")
    known.add_argument("--seconds", type=float, default=float("inf"), help="no training begins after these")
    known.add_argument("--workers", type=int, default=1, help="processes that share the device")
    known.add_argument("--steps_a_call", type=int, default=STEPS_A_CALL)
    known.add_argument("--folder", help="where processes meet; a temporary one by default")
    known.add_argument("--worker", help=argparse.SUPPRESS)
    known.add_argument("--deadline", type=float, default=float("inf"), help=argparse.SUPPRESS)
    return known


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``, the value as JSON, or else a text."""
    name, _, value = text.partition("=")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    return name, tuple(found) if isinstance(found, list) else found


if __name__ == "__main__":
    jax.config.update("jax_compilation_cache_max_size", -1)
    main()
