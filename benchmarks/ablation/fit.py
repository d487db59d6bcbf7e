"""Trains a teacher, its students and baselines one after the other, measures them, and keeps the networks.

``python -m benchmarks.ablation.fit --pairs=PAIRS.npz --preset=real_small --output=FOLDER``: what a run of the project
trains, with the data on the device. Several students, ``--student NAME SETTING=VALUE ...``, start from one teacher; the
one to keep is chosen on the validation split. The baselines, pix2pix and a regression (pix2pix without its adversary),
get as many optimiser steps as the teacher and one student together. Everything is written as soon as it is known:
``fit.json``, ``NAME.safetensors`` (bfloat16), ``samples.png``.
``benchmarks.ablation.keep`` makes a model folder of one of them.
"""

import argparse
import concurrent.futures
import copy
import dataclasses
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from safetensors.flax import save_file

from benchmarks import results
from benchmarks.ablation import pairs as data
from benchmarks.ablation.__main__ import setting
from benchmarks.ablation.measuring import Meter, Row
from benchmarks.ablation.training import Trained, Trainer
from benchmarks.ablation.variants import VARIANTS, Changes, change
from configs.base import get_base
from sar2opt_jax.interop import model_folder
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Params

SAMPLES = 12
STUDENTS_OWN = ("distill.", "adversarial.")
"""Where a student's settings may differ from its teacher's."""
BASELINES = {name: VARIANTS[name] for name in ("pix2pix", "regression")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """One that is trained: what it is called, the stage that trains it, its config, and what only it changes there."""

    name: str
    stage: str
    config: Config
    changes: Changes = dataclasses.field(default_factory=dict)


def networks(config: Config, students: list[list[str]]) -> dict[str, Network]:
    """The teacher, the students and the baselines, by name and in order.

    Raises:
      ValueError: for a student that has no name of its own, or changes more than its own settings.
    """
    found = {"teacher": Network(name="teacher", stage="teacher", config=config)}
    for name, *texts in students or [["student"]]:
        if not re.fullmatch(r"[\w-]+", name) or name in (*found, *BASELINES):
            raise ValueError(f"--student {name}: expected a new name of letters, digits, _ and -, then SETTING=VALUE.")
        changes = dict(map(setting, texts))
        if others := [path for path in changes if not path.startswith(STUDENTS_OWN)]:
            raise ValueError(
                f"--student {name} changes {', '.join(others)}; expected settings of distill or adversarial."
            )
        found[name] = _changed(name, "adversarial", config, changes)
    return found | {name: _changed(name, variant.stage, config, variant.changes) for name, variant in BASELINES.items()}


def _changed(name: str, stage: str, config: Config, changes: Changes) -> Network:
    own = copy.deepcopy(config)
    change(own, changes)
    return Network(name=name, stage=stage, config=own, changes=changes)


class Fit:
    """The trainings, and what was found so far."""

    def __init__(self, options: argparse.Namespace, config: Config):
        """Reads the pairs and measures the linear floor."""
        self.options, self.config = options, config
        self.networks = networks(config, options.student)
        self.folder = Path(options.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        splits = data.read(options.pairs)
        size = config.data.image_size
        self.train_pairs, test = splits["train"], splits["test"]
        whole = min(test.sar.shape[1:3])
        sets = {"crops": data.crops(test, size), "centres": data.centres(test, size)}
        if "validation" in splits:
            sets["validation crops"] = data.crops(splits["validation"], size)
        self.meters = {name: Meter(pairs, batch_size=options.batch_size) for name, pairs in sets.items()}
        if whole > size:
            self.meters["whole"] = Meter(data.centres(test, whole), batch_size=max(options.batch_size // 4, 1))
        self.trainers = {
            name: Trainer(network.config, network.stage, train=self.train_pairs, steps_a_call=options.steps_a_call)
            for name, network in self.networks.items()
        }
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=options.compilers)
        self.ready: dict[str, concurrent.futures.Future[None]] = {}
        self.exports: dict[str, Params] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.found: dict[str, Any] = {
            "command": f"python -m benchmarks.ablation.fit {' '.join(sys.argv[1:])}",
            "preset": options.preset,
            "config": json.loads(config.to_json_best_effort()),
            "images": {name: len(meter.sar) for name, meter in self.meters.items()},
            **results.circumstances("jax", "jaxlib", "flax", "optax", "numpy"),
            "device": jax.devices()[0].device_kind,
            "linear": self.meters["crops"].floor(data.centres(self.train_pairs, size), count=200),
            "training": {},
            "measured": [],
        }

    @property
    def students(self) -> list[str]:
        """Their names."""
        return [name for name, network in self.networks.items() if network.stage == "adversarial"]

    def prepare(self) -> None:
        """Compiles the teacher's steps at once, all else behind its back."""
        trainer = self.trainers["teacher"]
        trainer.prepare()
        note(f"teacher: compiled in {trainer.compile_seconds:.0f} s")
        start = {"unet": trainer.stage.export(trainer.stage.init(jax.random.key(0), None))["unet"]}
        for name in list(self.networks)[1:]:
            self.ready[name] = self.pool.submit(self.trainers[name].prepare, start)
        planned = [*self.at_once("teacher"), *self.at_once(self.students[0]), *self.at_once("pix2pix")]
        for name, on, method in [*planned, *self.afterwards(self.students[0])]:
            if on in self.meters:
                self.pool.submit(self.meters[on].prepare, self.config, self.networks[name].stage, start["unet"], method)

    def failure(self, name: str) -> str | None:
        """Why a network could not be compiled, which the others do without."""
        error = self.ready[name].exception() if name in self.ready else None
        if error is not None:
            self.found["failed"] = {**self.found.get("failed", {}), name: f"{type(error).__name__}: {error}"[:300]}
        return self.found.get("failed", {}).get(name)

    def train(self, name: str, *, seconds: float, steps: int | None = None) -> None:
        """Trains a network for as many steps as take so long, or for ``steps``, and keeps it."""
        started = time.monotonic()
        network, trainer = self.networks[name], self.trainers[name]
        note(f"{name}: compiled in {trainer.compile_seconds or 0:.0f} s")
        export = {"unet": self.exports["teacher"]} if network.stage == "adversarial" else None
        if steps is None and seconds < float("inf"):
            pace = trainer.seconds_a_step(export)
            steps = max(int((seconds - since(started)) / pace), 1)
            note(f"{name}: {pace * 1e3:.1f} ms a step, {steps} steps")
        run: Trained = trainer.run(
            seed=self.config.seed + 1000 * self.options.seed,
            export=export,
            steps=steps,
            deadline=started + 1.3 * seconds,
        )
        self.exports[name] = run.export["unet"]
        self.found["training"][name] = {
            "stage": network.stage,
            "changes": dict(network.changes),
            "steps": run.steps,
            "of": steps or trainer.settings.num_steps,
            "seconds": round(run.seconds, 2),
            "compile_seconds": round(run.compile_seconds, 1),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(self.exports[name])),
            "curve": run.curve,
        }
        note(f"{name}: {run.steps} steps in {run.seconds:.0f} s; {run.curve[-1]}")
        flat = model_folder.flat(self.exports[name])
        stored = {key: jnp.asarray(leaf, jnp.bfloat16) for key, leaf in flat.items()}
        save_file(stored, self.folder / f"{name}.safetensors")
        self.write()

    def at_once(self, name: str) -> "list[Measurement]":
        """What is measured as soon as a network is trained."""
        few = [Method(sampler="lcm", num_steps=steps) for steps in self.config.evaluation.student_steps]
        methods = {"teacher": [DDIM_1], "pix2pix": [DIRECT]}.get(self.networks[name].stage, few)
        on = ["crops", "validation crops"] if name in self.students else ["crops"]
        return [(name, where, method) for where in on for method in methods]

    def afterwards(self, best: str) -> "list[Measurement]":
        """The rest, in the order in which it is measured while there is time."""
        few = [method for _, where, method in self.at_once(best) if where == "crops"]
        return [
            *((best, "whole", method) for method in few),
            ("pix2pix", "whole", DIRECT),
            *(("teacher", "crops", Method(sampler="ddim", num_steps=steps)) for steps in (4, 8, 50)),
            ("teacher", "centres", Method(sampler="ddpm", num_steps=self.config.evaluation.original_steps)),
            *((best, "centres", method) for method in few),
            ("pix2pix", "centres", DIRECT),
            *((best, "crops", dataclasses.replace(method, gamma=gamma)) for gamma in (0.0, 0.3) for method in few[1:]),
        ]

    def measure(self, name: str, on: str, method: Method) -> None:
        """Measures a network sampled in one way."""
        meter, network = self.meters[on], self.networks[name]
        images, seconds = meter.translate(network.config, network.stage, self.exports[name], method)
        row: Row = {"network": name, "on": on, "sampler": method.sampler, "steps": method.num_steps}
        row |= {"gamma": method.gamma, "seconds": round(seconds, 3)} | meter.row(images)
        self.found["measured"].append(row)
        if on == "crops" and method.gamma == 1:
            chosen = np.linspace(0, len(images) - 1, SAMPLES).astype(int)
            self.pictures[f"{name} {method.sampler} {method.num_steps}"] = images[chosen]
        self.write()
        shown = {key: row[key] for key in SHOWN if key in row}
        note(f"{name} on {on}, {method.sampler} {method.num_steps} (gamma {method.gamma}): {shown}")

    def best_student(self) -> str:
        """The lowest LPIPS on the validation split, mean over the numbers of steps; else the first that was trained."""
        found: dict[str, list[float]] = {}
        for row in self.found["measured"]:
            if row["on"] == "validation crops" and "lpips_alexnet" in row:
                found.setdefault(row["network"], []).append(row["lpips_alexnet"])
        trained = [name for name in self.students if name in self.exports]
        best = min(found, key=lambda name: float(np.mean(found[name])), default=trained[0] if trained else "student")
        self.found["best"] = best
        return best

    def write(self) -> None:
        """Everything so far."""
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
        results.write(self.folder / "fit.json", self.found)


Measurement = tuple[str, str, Method]
"""A network, what it is measured on, and how it is sampled."""
DDIM_1, DIRECT = Method(sampler="ddim", num_steps=1), Method(sampler="direct", num_steps=1)
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
    teachers, students, baselines = options.shares
    shares = {"teacher": teachers}
    shares |= {"adversarial": students / len(fit.students), "pix2pix": baselines / len(BASELINES)}
    whole, done = max(left() - options.reserve, 1.0), fit.found["training"]
    for name, network in fit.networks.items():
        if left() < options.reserve:
            note(f"no time left for {name}")
            continue
        steps = None
        if name in BASELINES and "teacher" in done:
            steps = done["teacher"]["steps"] + max(
                (done[student]["steps"] for student in fit.students if student in done), default=0
            )
        if error := fit.failure(name):
            note(f"{name} failed: {error}")
            continue
        fit.train(name, seconds=min(shares[network.stage] * whole, left() - options.reserve), steps=steps)
        for _, on, method in fit.at_once(name):
            if on in fit.meters:
                fit.measure(name, on, method)
    for name, on, method in fit.afterwards(fit.best_student()):
        if left() < options.reserve / 4:
            note(f"no time left for {name} on {on}, {method}")
        elif name in fit.exports and on in fit.meters:
            fit.measure(name, on, method)
    fit.pool.shutdown(wait=False, cancel_futures=True)
    fit.write()


def note(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%T')} {text}", flush=True)


def since(started: float) -> float:
    """Seconds."""
    return time.monotonic() - started


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(prog="python -m benchmarks.ablation.fit", description=__doc__.partition("\n")[0])
    known.add_argument("--pairs", required=True, help="file of pairs, npz")
    known.add_argument("--preset", default="real_small")
    known.add_argument("--set", nargs="+", default=[], type=setting, metavar="NAME=VALUE", help="of the config")
    known.add_argument(
        "--student", nargs="+", action="append", default=[], metavar="NAME [SETTING=VALUE]", help="one of several"
    )
    known.add_argument("--seed", type=int, default=0)
    known.add_argument("--seconds", type=float, default=float("inf"), help="for everything")
    known.add_argument(
        "--shares", type=float, nargs=3, default=(0.4, 0.3, 0.3), help="of the time: teacher, students, baselines"
    )
    known.add_argument("--reserve", type=float, default=20.0, help="seconds that are kept for measuring")
    known.add_argument("--batch_size", type=int, default=212, help="images at once when translating")
    known.add_argument("--steps_a_call", type=int, default=20)
    known.add_argument("--compilers", type=int, default=2, help="programs compiled at once")
    known.add_argument("--output", required=True, help="folder")
    return known


if __name__ == "__main__":
    main()
