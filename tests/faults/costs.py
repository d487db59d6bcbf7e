"""What a run pays for its reliability; each function makes an outcome."""

import shutil
import statistics
import time
from pathlib import Path

import driver
import jax
import numpy as np
from outcome import Outcome

from sar2opt_jax.engine import digests, durable
from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel

STATED_SHARE = 0.5
"""By how much of itself a step may be longer, in the median, while a checkpoint is written behind it."""


def cost_of_digests(place: Path, *, numbers: int = 64_000_000) -> Outcome:
    """Of a checkpoint of 256 MB, while nothing else runs."""
    outcome = Outcome(fault="none: what saving and verifying a large checkpoint costs")
    stage = driver.TinyStage(numbers)
    state = jax.block_until_ready(stage.init(jax.random.key(0)))
    batches = driver.batches_of("teacher", driver.pairs())
    with Checkpoints(place / "checkpoints", keep=1, meta={"stage": "teacher"}) as checkpoints:
        began = time.monotonic()
        checkpoints.save(1, state, batches, stage.export(state), progress={})
        blocked = time.monotonic() - began
        checkpoints.wait()
        saved = time.monotonic() - began
        checkpoint = checkpoints.directory / "1"
        began = time.monotonic()
        found = digests.faults(checkpoint)
        verified = time.monotonic() - began
        began = time.monotonic()
        restored, _, _ = checkpoints.restore(state, batches)
        read = time.monotonic() - began
        shutil.copytree(checkpoint, place / "copy")
        began = time.monotonic()
        durable.force(place / "copy")
        forced = time.monotonic() - began
    same = np.array_equal(restored.ballast["numbers"], state.ballast["numbers"])
    outcome.count(1, found if same else ["the state is another"], "large checkpoint")
    size = sum(path.stat().st_size for path in Path(checkpoint).rglob("*") if path.is_file()) / 2**20
    outcome.notes.append(
        f"A checkpoint of {size:.0f} MiB: the loop is held up for {blocked:.2f} s, the whole save takes {saved:.2f} s "
        f"in the background, of which the digests about {verified:.2f} s ({size / verified / 1024:.2f} GiB/s) and "
        f"forcing it to the disk about {forced:.2f} s ({size / forced / 1024:.2f} GiB/s); to restore takes "
        f"{read:.2f} s, verification included."
    )
    return outcome


def steps_behind_saves(place: Path, *, numbers: int = 16_000_000, saves: int = 12) -> Outcome:
    """Steps while a checkpoint of 64 MB is written, against steps while none is."""
    outcome = Outcome(fault=f"none: what a step loses to a save behind it, over {saves} saves")
    stage = driver.TinyStage(numbers)
    parallel = DataParallel(stage, devices=jax.devices()[:1])
    state, rng = parallel.place(stage.init(jax.random.key(0))), parallel.place(jax.random.key(1))
    batches = driver.batches_of("teacher", driver.pairs())
    seconds: dict[bool, list[float]] = {True: [], False: []}
    held_up = []
    with Checkpoints(place / "checkpoints", keep=1, meta={"stage": "teacher"}) as checkpoints:
        torn = checkpoints.directory.glob

        def step(state):
            behind, began = any(torn("*.orbax-checkpoint-tmp*")), time.monotonic()
            state = jax.block_until_ready(parallel.step(state, parallel.shard(next(batches)), rng)[0])
            taken = time.monotonic() - began
            if behind == any(torn("*.orbax-checkpoint-tmp*")):  # All of it was one or the other.
                seconds[behind].append(taken)
            return state

        for number in range(saves + 1):  # The first compiles, and makes what the later ones find.
            for _ in range(20):
                state = step(state)
            began = time.monotonic()
            checkpoints.save(number + 1, state, batches, stage.export(state), progress={})
            held_up.append(time.monotonic() - began)
            while any(torn("*.orbax-checkpoint-tmp*")):
                state = step(state)
            checkpoints.wait()
            if number == 0:
                held_up.clear()
                seconds = {True: [], False: []}
    with_save, without = (statistics.median(seconds[behind]) for behind in (True, False))
    share = with_save / without - 1
    outcome.count(1, [] if share <= STATED_SHARE else [f"{share:.0%} longer"], "steps behind saves")
    outcome.notes.append(
        f"A step of {1000 * without:.0f} ms takes {1000 * with_save:.0f} ms while a checkpoint is written behind it "
        f"({share:+.0%}; medians of {len(seconds[False])} and {len(seconds[True])}; stated: at most "
        f"+{STATED_SHARE:.0%}). The one step at which a save begins is held up besides, by "
        f"{1000 * statistics.median(held_up):.0f} ms a save, {1000 * max(held_up):.0f} ms at most, "
        f"to copy {numbers * 4 / 2**20:.0f} MiB."
    )
    return outcome
