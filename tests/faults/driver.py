"""A run of two tiny stages, quick to start and to kill:  python tests/faults/driver.py --workdir=DIR.

Loop, checkpoints, writers and pipeline are those of a real run; only the networks are a few numbers. It says on its
standard output which step it took, and leaves with the exit statuses of the real command.
"""

import argparse
import dataclasses
import errno
import functools
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from sar2opt_jax.data import pipeline
from sar2opt_jax.data.examples import Examples
from sar2opt_jax.engine import lock, loop
from sar2opt_jax.engine.checkpoint import Checkpoints, SaveError
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.writer import make_writer

STAGES = ("teacher", "distill")
SIZE, STORED, PAIRS, BATCH = 4, 6, 24, 8
INTERRUPTED_STATUS = 75


class TinyState(NamedTuple):
    step: Any
    params: Any
    ema: Any
    opt_state: Any
    ballast: Any


@dataclasses.dataclass(frozen=True)
class TinyStage:
    """optical + eps ~ sar w + b by least squares, with Adam and an EMA; ``ballast`` numbers make the state larger."""

    ballast: int
    optimizer: optax.GradientTransformation = dataclasses.field(default_factory=lambda: optax.adam(0.05))

    def init(self, rng, export=None):
        if export is None:
            params = {"w": jax.random.normal(rng, (1, 3)), "b": jnp.zeros(3)}
        else:
            params = jax.tree.map(jnp.array, export["unet"])
        ballast = jax.random.normal(rng, (self.ballast,))
        return TinyState(
            jnp.int32(0), params, jax.tree.map(jnp.copy, params), self.optimizer.init(params), {"numbers": ballast}
        )

    def gradients(self, state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)
        eps = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(rng, i), batch.optical.shape[1:]))(batch.index)

        def loss(params):
            predicted = batch.sar @ params["w"] + params["b"].reshape(1, 1, 1, 3)
            return jnp.mean((predicted - batch.optical - 0.1 * eps) ** 2)

        value, grads = jax.value_and_grad(loss)(state.params)
        return {"unet": grads}, {"loss/tiny": value}

    def update(self, state, grads):
        updates, opt_state = self.optimizer.update(grads["unet"], state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, state.ema, params)
        ballast = jax.tree.map(lambda x: jnp.roll(x, 1), state.ballast)
        return TinyState(state.step + 1, params, ema, opt_state, ballast)

    def export(self, state):
        return {"unet": state.ema}

    def preview(self, export, sar, rng):
        eps = jax.random.normal(rng, (*sar.shape[:3], 3))
        return sar @ export["unet"]["w"] + export["unet"]["b"].reshape(1, 1, 1, 3) + 0.1 * eps


class Paced(DataParallel):
    """Says every step and takes its time, so that a kill can be aimed."""

    def __init__(self, stage: TinyStage, *, name: str, seconds: float):
        super().__init__(stage)
        self.name, self.seconds = name, seconds

    def shard(self, batch):
        if self.seconds:
            say(f"examples {batch.index.tolist()}")
        return super().shard(batch)

    def step(self, state, batch, rng):
        state, metrics = super().step(state, batch, rng)
        if self.seconds:
            say(f"step {self.name} {int(state.step)}")
            time.sleep(self.seconds)
        return state, metrics


def say(what: str) -> None:
    print(what, flush=True)


def pairs() -> list[dict[str, Any]]:
    """The dummy dataset."""
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (STORED, STORED, 4), np.uint8) for _ in range(PAIRS)]
    return [{"sar": i[..., :1], "optical": i[..., 1:], "id": f"pair_{n}"} for n, i in enumerate(images)]


def batches_of(name: str, source: list[dict[str, Any]]) -> Any:
    """This process's share of a stage's batches."""
    return pipeline.training_batches(
        source,
        image_size=SIZE,
        batch_size=BATCH,
        seed=STAGES.index(name),
        augment=True,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
        num_threads=2,
    )


def train_stage(name: str, export: Any, flags: argparse.Namespace) -> Any:
    """One stage, as ``Experiment.train`` runs it."""
    stage, source = TinyStage(flags.ballast), pairs()
    init_rng, train_rng, preview_rng = jax.random.split(jax.random.key(STAGES.index(name)), 3)
    samples = Examples(source, num_examples=4, image_size=SIZE).batch()
    translate = jax.jit(stage.preview)

    def preview(step, networks):
        del step
        image = np.asarray(translate(jax.device_get(networks), samples.sar, preview_rng))[0]
        return np.clip(127.5 * image + 127.5, 0, 255).astype(np.uint8)

    def validate(step, state, networks):
        del step, state
        return {"validation/mean": float(np.mean(jax.device_get(networks["unet"]["w"])))}

    with (
        Checkpoints(flags.workdir / name / "checkpoints", keep=flags.keep, meta={"stage": name}) as checkpoints,
        make_writer(flags.workdir, stage=name) as writer,
    ):
        return loop.train(
            stage,
            name=name,
            num_steps=flags.steps,
            parallel=Paced(stage, name=name, seconds=flags.seconds),
            batches=batches_of(name, source),
            checkpoints=checkpoints,
            writer=writer,
            rng=train_rng,
            initial=functools.partial(stage.init, init_rng, export),
            preview=preview,
            validate=validate,
            explain=str,
            log_every_steps=flags.log_every,
            preview_every_steps=flags.preview_every,
            validate_every_steps=flags.preview_every,
            save_every_steps=flags.save_every,
            nonfinite="stop",
        )


def make_unreadable(process: int, place: str) -> None:
    """Keeps one process from reading the items of a checkpoint, STAGE/STEP, as a broken mount of its host would."""
    stage, step = place.split("/")
    restore = ocp.Checkpointer.restore

    def fail(self, directory, *args, **kwargs):
        if jax.process_index() == process and Path(directory).match(f"{stage}/checkpoints/{step}/*"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))
        return restore(self, directory, *args, **kwargs)

    ocp.Checkpointer.restore = fail


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12, help="of each stage")
    parser.add_argument("--seconds", type=float, default=0.0, help="pause after every step")
    parser.add_argument("--ballast", type=int, default=100, help="numbers that make the state larger")
    parser.add_argument("--log_every", type=int, default=3)
    parser.add_argument("--preview_every", type=int, default=5)
    parser.add_argument("--save_every", type=int, default=4)
    parser.add_argument("--keep", type=int, default=2)
    parser.add_argument("--unreadable", help="PROCESS:STAGE/STEP, a checkpoint that one process cannot read")
    parser.add_argument("--coordinator", help="HOST:PORT of the first of several processes")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--heartbeat", type=int, default=10, help="seconds after which a silent process counts as dead")
    return parser.parse_args(arguments)


def main() -> None:
    flags = parse()
    if flags.coordinator:
        jax.distributed.initialize(
            flags.coordinator,
            flags.processes,
            flags.process,
            heartbeat_timeout_seconds=flags.heartbeat,
            shutdown_timeout_seconds=flags.heartbeat,
        )
    if flags.unreadable:
        process, place = flags.unreadable.split(":")
        make_unreadable(int(process), place)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("sar2opt_jax").setLevel(logging.INFO)
    try:
        with lock.hold(flags.workdir):
            export = None
            for name in STAGES:
                export = train_stage(name, export, flags)
    except loop.Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except (lock.WorkdirError, SaveError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    say("done")


if __name__ == "__main__":
    main()
