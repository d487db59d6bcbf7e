"""Trains a teacher, its student and pix2pix one after the other, measures them, and keeps the networks.

``python -m benchmarks.ablation.fit --pairs=PAIRS.npz --preset=real_small --output=FOLDER``: what a run of the project
trains, with the data on the device. pix2pix gets as many optimiser steps as both others together. Everything is written
as soon as it is known: ``fit.json``, ``STAGE.safetensors`` (bfloat16), ``samples.png``.
"""

import argparse
import concurrent.futures
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from PIL import Image
from safetensors.flax import save_file

from benchmarks import results
from benchmarks.ablation import pairs as data
from benchmarks.ablation.__main__ import setting
from benchmarks.ablation.measuring import Meter, Row
from benchmarks.ablation.training import Trained, Trainer
from benchmarks.ablation.variants import change
from configs.base import get_base
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Params

STAGES = ("teacher", "adversarial", "pix2pix")
SAMPLES = 12


class Fit:
    """The three trainings, and what was found so far."""

    def __init__(self, options: argparse.Namespace, config: Config):
        """Reads the pairs and measures the linear floor."""
        self.options, self.config = options, config
        self.folder = Path(options.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        splits = data.read(options.pairs)
        size = config.data.image_size
        self.train_pairs, test = splits["train"], splits[options.split]
        self.meters = {
            "crops": Meter(data.crops(test, size), batch_size=options.batch_size, lpips=options.lpips),
            "centres": Meter(data.centres(test, size), batch_size=options.batch_size, lpips=options.lpips),
        }
        whole = min(test.sar.shape[1:3])
        if whole > size:
            self.meters["whole"] = Meter(
                data.centres(test, whole), batch_size=max(options.batch_size // 4, 1), lpips=options.lpips
            )
        self.trainers = {
            stage: Trainer(config, stage, train=self.train_pairs, steps_a_call=options.steps_a_call) for stage in STAGES
        }
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)
        self.ready: dict[str, concurrent.futures.Future[None]] = {}
        self.exports: dict[str, Params] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.found: dict[str, Any] = {
            "command": f"python -m benchmarks.ablation.fit {' '.join(sys.argv[1:])}",
            "config": json.loads(config.to_json_best_effort()),
            "split": options.split,
            "images": {name: len(meter.sar) for name, meter in self.meters.items()},
            **results.circumstances("jax", "jaxlib", "flax", "optax", "numpy"),
            "device": jax.devices()[0].device_kind,
            "linear": self.meters["crops"].floor(data.centres(self.train_pairs, size), count=200),
            "training": {},
            "measured": [],
        }

    def prepare(self) -> None:
        """Compiles all three, the first one at once, the others behind its back."""
        trainer = self.trainers["teacher"]
        trainer.prepare()
        note(f"teacher: compiled in {trainer.compile_seconds:.0f} s")
        start = {"unet": trainer.stage.export(trainer.stage.init(jax.random.key(0), None))["unet"]}
        for stage in STAGES[1:]:
            self.ready[stage] = self.pool.submit(self.trainers[stage].prepare, start)
        for stage, on, method in plan(self.config):
            if on in self.meters:
                self.pool.submit(self.meters[on].prepare, self.config, stage, start["unet"], method)

    def train(self, stage: str, *, seconds: float, steps: int | None = None) -> None:
        """Trains a stage for as many steps as take so long, or for ``steps``, and keeps its network."""
        started = time.monotonic()
        if stage in self.ready:
            self.ready[stage].result()
            note(f"{stage}: compiled in {self.trainers[stage].compile_seconds:.0f} s, waited {since(started):.0f} s")
        export = {"unet": self.exports["teacher"]} if stage == "adversarial" else None
        trainer = self.trainers[stage]
        if steps is None and seconds < float("inf"):
            pace = trainer.seconds_a_step(export)
            steps = max(int((seconds - since(started)) / pace), 1)
            note(f"{stage}: {pace * 1e3:.1f} ms a step, {steps} steps")
        run: Trained = trainer.run(
            seed=self.config.seed + 1000 * self.options.seed,
            export=export,
            steps=steps,
            deadline=started + 1.3 * seconds,
        )
        self.exports[stage] = run.export["unet"]
        self.found["training"][stage] = {
            "steps": run.steps,
            "of": steps or trainer.settings.num_steps,
            "seconds": round(run.seconds, 2),
            "compile_seconds": round(run.compile_seconds, 1),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(self.exports[stage])),
            "curve": run.curve,
        }
        note(f"{stage}: {run.steps} steps in {run.seconds:.0f} s; {run.curve[-1]}")
        flat = traverse_util.flatten_dict(self.exports[stage], sep="/")
        about = {"stage": stage, "config": config_text(self.config), "step": str(run.steps)}
        path = self.folder / f"{stage}.safetensors"
        save_file({name: jnp.asarray(leaf, jnp.bfloat16) for name, leaf in flat.items()}, path, metadata=about)
        self.write()

    def measure(self, stage: str, on: str, *methods: Method) -> None:
        """Measures a network sampled in some ways."""
        for method in methods:
            meter = self.meters[on]
            images, seconds = meter.translate(self.config, stage, self.exports[stage], method)
            row: Row = {"stage": stage, "on": on, "sampler": method.sampler, "steps": method.num_steps}
            row |= {"gamma": method.gamma, "seconds": round(seconds, 3)} | meter.row(images)
            self.found["measured"].append(row)
            if on == "crops":
                chosen = np.linspace(0, len(images) - 1, SAMPLES).astype(int)
                self.pictures[f"{stage} {method.sampler} {method.num_steps}"] = images[chosen]
            self.write()
            shown = {key: row[key] for key in SHOWN if key in row}
            note(f"{stage} on {on}, {method.sampler} {method.num_steps} (gamma {method.gamma}): {shown}")

    def write(self) -> None:
        """Everything so far."""
        results.write(self.folder / "fit.json", self.found)
        if self.pictures:
            truth = self.meters["crops"].truth
            chosen = np.linspace(0, len(truth.sar) - 1, SAMPLES).astype(int)
            columns = [
                np.repeat(truth.sar[chosen][..., :1], 3, axis=-1),
                truth.optical[chosen],
                *self.pictures.values(),
            ]
            rows = [np.concatenate(list(row), axis=1) for row in zip(*columns, strict=True)]
            self.found["columns"] = ["radar", "truth", *self.pictures]
            Image.fromarray(np.concatenate(rows)).save(self.folder / "samples.png")


SHOWN = ("psnr", "ssim", "lpips_alexnet", "colour_shift", "sharpness", "frechet_alexnet")


def main(arguments: list[str] | None = None) -> None:
    """Trains and measures, each as long as its share of the time allows."""
    options = parser().parse_args(arguments)
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset=options.preset)
    change(config, dict(options.set))
    started = time.monotonic()

    def left() -> float:
        return options.seconds - (time.monotonic() - started)

    fit = Fit(options, config)
    note(f"linear: { {key: fit.found['linear'][key] for key in SHOWN if key in fit.found['linear']} }")
    fit.prepare()
    if (wait := options.start_at - time.time()) > 0:
        note(f"waits {wait:.0f} s")
        time.sleep(wait)
    shares = dict(zip(STAGES, options.shares, strict=True))
    whole, done = max(left() - options.reserve, 1.0), fit.found["training"]
    for stage in STAGES:
        if left() < options.reserve:
            note(f"no time left for {stage}")
            break
        steps = done["teacher"]["steps"] + done["adversarial"]["steps"] if stage == "pix2pix" else None
        fit.train(stage, seconds=min(shares[stage] * whole, left() - options.reserve), steps=steps)
        for _, on, method in (row for row in plan(config)[: len(FIRST)] if row[0] == stage):
            fit.measure(stage, on, method)
    for stage, on, method in plan(config)[len(FIRST) :]:
        if left() < options.reserve / 4:
            note(f"no time left for {stage} on {on}, {method}")
        elif stage in fit.exports and on in fit.meters:
            fit.measure(stage, on, method)
    fit.pool.shutdown(wait=False, cancel_futures=True)
    fit.write()


Measurement = tuple[str, str, Method]
"""A stage, what it is measured on, and how it is sampled."""
FIRST: tuple[Measurement, ...] = (
    ("teacher", "crops", Method(sampler="ddim", num_steps=1)),
    *(("adversarial", "crops", Method(sampler="lcm", num_steps=n)) for n in (1, 2, 4, 8)),
    ("pix2pix", "crops", Method(sampler="direct", num_steps=1)),
)
"""Measured as soon as a stage is trained."""


def plan(config: Config) -> list[Measurement]:
    """All measurements in order, ``FIRST`` first."""
    student = [Method(sampler="lcm", num_steps=steps) for steps in config.evaluation.student_steps]
    return [
        *FIRST,
        ("teacher", "crops", Method(sampler="ddim", num_steps=4)),
        ("teacher", "crops", Method(sampler="ddim", num_steps=50)),
        *(("adversarial", "whole", method) for method in student),
        ("pix2pix", "whole", Method(sampler="direct", num_steps=1)),
        ("teacher", "centres", Method(sampler="ddpm", num_steps=config.evaluation.original_steps)),
        ("adversarial", "centres", student[0]),
        *(("adversarial", "crops", Method(sampler="lcm", num_steps=n, gamma=g)) for g in (0.0, 0.3) for n in (2, 4, 8)),
    ]


def note(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%T')} {text}", flush=True)


def since(started: float) -> float:
    """Seconds."""
    return time.monotonic() - started


def config_text(config: Config) -> str:
    """The groups that describe a network, as JSON."""
    whole: Mapping[str, Any] = json.loads(config.to_json_best_effort())
    return json.dumps({group: whole[group] for group in ("data", "model", "schedule", "distill", "adversarial")})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(prog="python -m benchmarks.ablation.fit", description=__doc__.partition("\n")[0])
    known.add_argument("--pairs", required=True, help="file of pairs, npz")
    known.add_argument("--preset", default="real_small")
    known.add_argument("--split", default="test", choices=data.SPLITS, help="what is measured on")
    known.add_argument("--set", nargs="+", default=[], type=setting, metavar="NAME=VALUE", help="of the config")
    known.add_argument("--seed", type=int, default=0)
    known.add_argument("--seconds", type=float, default=float("inf"), help="for everything")
    known.add_argument("--shares", type=float, nargs=3, default=(0.4, 0.3, 0.3), help="of the time")
    known.add_argument("--start_at", type=float, default=0.0, help="seconds since 1970; before, all is compiled")
    known.add_argument("--reserve", type=float, default=20.0, help="seconds that are kept for measuring")
    known.add_argument("--batch_size", type=int, default=212, help="images at once when translating")
    known.add_argument("--steps_a_call", type=int, default=20)
    known.add_argument("--no-lpips", dest="lpips", action="store_false", help="without the extra lpips")
    known.add_argument("--output", required=True, help="folder")
    return known


if __name__ == "__main__":
    main()
