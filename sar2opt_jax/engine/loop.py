"""The training loop: one for all stages, and it knows nothing of what they learn."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from sar2opt_jax.engine import checkpoint
from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.writer import Writer
from sar2opt_jax.types import Array, Batch, Export, Metrics, PyTree, Stage

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal stopped the run after its state was saved."""

    def __init__(self, stage: str, step: int):
        """Where the run stands."""
        super().__init__(f"Stopped by a signal; stage {stage} is saved at step {step}. The same command goes on.")


def train(
    stage: Stage,
    *,
    name: str,
    num_steps: int,
    parallel: DataParallel,
    batches: Iterator[Batch],
    checkpoints: Checkpoints,
    writer: Writer,
    rng: Array,
    initial: Callable[[], PyTree],
    preview: Callable[[Export], np.ndarray],
    log_every_steps: int,
    preview_every_steps: int,
    save_every_steps: int,
    nonfinite: str,
) -> Export:
    """Runs a stage from where it stands to its last step.

    The order of a round is: save, preview, leave if told to, then read a batch, step, log. Metrics are read one step
    late, so that the device never waits for the log.

    Args:
      stage: the training objective.
      name: its name, for messages.
      num_steps: optimiser steps in all.
      parallel: the compiled step.
      batches: this process's share of every batch, a Grain iterator.
      checkpoints: to resume from and to save to; a stage that is finished there is not run again.
      writer: takes metrics and previews.
      rng: the key of all noise; steps and examples are folded in.
      initial: makes the state before the first step.
      preview: makes a picture of an export, [height, width, 3] uint8.
      log_every_steps: a logged value is the mean over as many steps.
      preview_every_steps: how often a picture is made.
      save_every_steps: how often all is saved; always after the last step.
      nonfinite: ``stop`` or ``skip`` where a loss or gradient is not finite.

    Returns:
      The export after the last step, as numpy arrays.

    Raises:
      Interrupted: after SIGTERM or SIGINT, when all is saved.
      FloatingPointError: for a loss or gradient that is not finite, unless it is to be skipped.
    """
    if checkpoints.latest_step() == num_steps:
        logger.info("Stage %s is finished: %d steps.", name, num_steps)
        return checkpoint.load_export(checkpoints.directory)[0]
    state, step, meter = initial(), 0, Meter(name, log_every_steps, writer, nonfinite)
    if checkpoints.latest_step() is not None:
        state, step, progress = checkpoints.restore(state, batches)
        meter.restore(progress)
        logger.info("Stage %s goes on from step %d.", name, step)
    writer.resume(step)
    state, rng = parallel.place(state), parallel.place(rng)
    saved, first = step, step

    with Signals() as signals, tqdm(total=num_steps, initial=step, desc=name, unit="step", disable=None) as bar:
        meter.show_in(bar)
        while True:
            told_to_stop = signals.caught or checkpoints.interruption_noticed(step)
            finished = step == num_steps
            if step > saved and (step % save_every_steps == 0 or finished or told_to_stop):
                meter.catch_up()
                checkpoints.save(step, state, batches, stage.export(state), progress=meter.progress())
                saved = step
            if step > first and (step % preview_every_steps == 0 or finished):
                writer.image(step, preview(jax.device_get(stage.export(state))))
            if told_to_stop and not finished:
                checkpoints.wait()
                raise Interrupted(name, step)
            if finished:
                break
            batch = parallel.shard(next(batches))
            if step == first:
                logger.info("Stage %s: compiling the training step.", name)
            started = time.monotonic()
            state, metrics = parallel.step(state, batch, rng)
            if step == first:
                logger.info("Stage %s: compiled in %.0f s.", name, time.monotonic() - started)
            step += 1
            meter.add(step, metrics, examples=len(np.ravel(batch.index)))
    checkpoints.wait()
    return jax.device_get(stage.export(state))


class Meter:
    """Averages metrics between logged steps, reading each step's when the next one has been started."""

    def __init__(self, stage: str, every_steps: int, writer: Writer, nonfinite: str):
        """Reports to ``writer`` at every multiple of ``every_steps``."""
        self.stage, self.every_steps, self.writer, self.nonfinite = stage, every_steps, writer, nonfinite
        self._bar: Any = None
        self._waiting: tuple[int, Metrics, int] | None = None
        self._sums: dict[str, float] = {}
        self._counts = {"steps": 0, "finite_steps": 0}
        self._examples, self._since = 0, time.monotonic()

    def show_in(self, bar: Any) -> None:
        """Moves a progress bar; without one on the screen, logged steps become log lines."""
        self._bar = bar

    def add(self, step: int, metrics: Metrics, *, examples: int) -> None:
        """Takes the metrics of a step that may still be running, and reads those of the one before."""
        self.catch_up()
        self._waiting = step, metrics, examples

    def catch_up(self) -> None:
        """Reads the metrics of the last step."""
        if self._waiting is None:
            return
        (step, metrics, examples), self._waiting = self._waiting, None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        finite = values.pop("finite") == 1
        if not finite:
            where = f"Stage {self.stage}, step {step}: a loss or gradient is not finite ({values})."
            if self.nonfinite == "stop":
                raise FloatingPointError(
                    f"{where} The state of step {step - 1} stands; the newest checkpoint is whole. Lower the learning "
                    "rate, use float32, or go over such steps with --config.train.nonfinite=skip."
                )
            logger.warning("%s It is skipped.", where)
        self._counts["steps"] += 1
        self._counts["finite_steps"] += finite
        self._examples += examples
        for key, value in values.items() if finite else ():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._bar.update()
        if step % self.every_steps == 0:
            self._report(step)

    def progress(self) -> dict[str, Any]:
        """The unfinished averages, as JSON: a resumed run logs what an undisturbed one would."""
        return {"sums": self._sums, "counts": self._counts}

    def restore(self, progress: dict[str, Any]) -> None:
        """Goes on with unfinished averages."""
        self._sums, self._counts = dict(progress["sums"]), dict(progress["counts"])

    def _report(self, step: int) -> None:
        means = {name: total / self._counts["finite_steps"] for name, total in self._sums.items()}
        means["skipped_steps"] = self._counts["steps"] - self._counts["finite_steps"]
        seconds = max(time.monotonic() - self._since, 1e-9)
        rates = {"examples_per_second": self._examples / seconds}
        self.writer.scalars(step, means | rates)
        losses = {name.removeprefix("loss/"): f"{mean:.4f}" for name, mean in means.items() if name.startswith("loss/")}
        self._bar.set_postfix(losses)
        if self._bar.disable:
            remaining = (self._bar.total - step) * seconds * self._counts["steps"] ** -1
            shown = ", ".join(f"{key} {value}" for key, value in losses.items())
            logger.info(
                "%s %d/%d: %s; %.1f examples/s, %.0f s left",
                self.stage,
                step,
                self._bar.total,
                shown,
                rates["examples_per_second"],
                remaining,
            )
        self._sums, self._counts = {}, {"steps": 0, "finite_steps": 0}
        self._examples, self._since = 0, time.monotonic()


class Signals:
    """Notes SIGTERM and the first SIGINT instead of dying of them; a second SIGINT leaves at once."""

    def __init__(self):
        self.caught = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = True
        logger.warning("%s: saving and leaving after this step.", signal.Signals(number).name)
