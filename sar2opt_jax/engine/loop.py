"""The training loop: one for all stages, and it knows nothing of what they learn."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from sar2opt_jax.engine import agreement
from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.writer import Writer
from sar2opt_jax.types import Array, Batch, Metrics, Networks, PyTree, Remarks, Stage

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal stopped the run after its state was saved."""

    def __init__(self, stage: str, step: int):
        """Where the run stands."""
        super().__init__(f"Stopped by a signal; stage {stage} is saved at step {step}. The same command resumes it.")


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
    preview: Callable[[int, Networks], np.ndarray],
    validate: Callable[[int, PyTree, Networks], dict[str, float]],
    explain: Callable[[int], str],
    log_every_steps: int,
    preview_every_steps: int,
    validate_every_steps: int,
    save_every_steps: int,
    nonfinite: str,
) -> Networks:
    """Runs a stage from where it stands to its last step.

    The order of a round is: validate, preview, save, leave if told to, then read a batch, step, log. Saving comes after
    all that is reported of a step, or a process killed in between would never report it. Metrics are read one step
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
      preview: from a step and the export at it to a picture, [height, width, 3] uint8.
      validate: from a step, the state and its export to metrics; they are logged beside those of the training.
      explain: what a person should know of a step whose loss or gradient is not finite.
      log_every_steps: a logged value is the mean over as many steps.
      preview_every_steps: how often a picture is made.
      validate_every_steps: how often it is validated; also after the last step, as previews are made.
      save_every_steps: how often all is saved; always after the last step.
      nonfinite: ``stop`` or ``skip`` where a loss or gradient is not finite.

    Returns:
      The export after the last step, as numpy arrays.

    Raises:
      Interrupted: after SIGTERM or SIGINT, when all is saved.
      FloatingPointError: for a loss or gradient that is not finite, unless it is to be skipped.
      SaveError: where the last save failed, on a full disk say; those before it are only reported.
      ValueError: for a number of steps below 1, a checkpoint of a longer run, or where none can be read.
    """
    every_steps = {"log": log_every_steps, "preview": preview_every_steps, "save": save_every_steps}
    every_steps["validate"] = validate_every_steps
    for what, steps in every_steps.items():
        if steps < 1:
            raise ValueError(f"{what}_every_steps must be at least 1; got {steps}.")
    latest = checkpoints.latest_step()
    if latest is not None and latest == num_steps:
        try:
            trained = checkpoints.read_export(latest)
        except Exception as error:  # Whatever a damaged file raises: then an older checkpoint is gone back to.
            logger.error("The last checkpoint of stage %s cannot be used: %s", name, error)
        else:
            logger.info("Stage %s is finished: %d steps.", name, num_steps)
            return trained
    step, meter = 0, Meter(name, log_every_steps, writer, nonfinite, explain)
    if latest is None:
        state = parallel.place(initial())
    else:
        # From shapes alone: a state to start from would take the memory of the one that is restored.
        state, step, progress = checkpoints.restore(parallel.shapes(initial()), batches)
        if step > num_steps:
            raise ValueError(
                f"Stage {name} stands at step {step} in {checkpoints.directory}, beyond num_steps ({num_steps}). "
                "Choose another workdir for a shorter run."
            )
        meter.restore(progress)
        logger.info("Stage %s resumes from step %d.", name, step)
    writer.resume(step)
    rng = parallel.place(rng)
    saved, first = step, step

    with Signals() as signals, tqdm(total=num_steps, initial=step, desc=name, unit="step", disable=None) as bar:
        meter.show_in(bar)
        while True:
            told_to_stop = signals.caught or agreement.told_to_stop()
            finished = step == num_steps
            if step > first and (step % validate_every_steps == 0 or finished):
                meter.catch_up()
                meter.validated(step, validate(step, state, stage.export(state)))
            if step > first and (step % preview_every_steps == 0 or finished):
                writer.image(step, preview(step, stage.export(state)))
            if step > saved and (step % save_every_steps == 0 or finished or told_to_stop):
                meter.catch_up()
                checkpoints.save(step, state, batches, stage.export(state), progress=meter.progress())
                saved = step
            if told_to_stop or finished:
                break
            batch = parallel.shard(next(batches))
            started = time.monotonic()
            if step == first:
                meter.say("compiling the training step.")
            state, metrics = parallel.step(state, batch, rng)
            if step == first:
                meter.say(f"compiled in {time.monotonic() - started:.0f} s.")
            step += 1
            meter.add(step, metrics, examples=batch.index.size)
        checkpoints.wait()
        if finished:
            meter.close(stage)
        if (best := checkpoints.best_step()) is not None:
            meter.say(f"the best checkpoint so far is that of step {best}.")
        if told_to_stop or signals.caught:  # After the last step too: the stages that follow must not begin.
            raise Interrupted(name, step)
    return jax.device_get(stage.export(state))


class Meter:
    """Averages metrics between logged steps, reading each step's when the next one has been started."""

    def __init__(self, stage: str, every_steps: int, writer: Writer, nonfinite: str, explain: Callable[[int], str]):
        """Reports to ``writer`` at every multiple of ``every_steps``; the others are ``train``'s."""
        self.stage, self.every_steps, self.writer = stage, every_steps, writer
        self.nonfinite, self.explain = nonfinite, explain
        self._bar: Any = None
        self._waiting: tuple[int, Metrics, int] | None = None
        self._sums: dict[str, float] = {}
        self._counts = {"steps": 0, "finite_steps": 0}
        self._logged: dict[str, float] = {}
        # What rates are taken from: work done since then. It begins after the first step, which compiles.
        self._since: float | None = None
        self._timed_steps = self._timed_examples = 0

    def show_in(self, bar: Any) -> None:
        """Moves a progress bar; without one on the screen, logged steps become log lines."""
        self._bar = bar

    def say(self, message: str) -> None:
        """Logs a line about the stage, above the progress bar."""
        with tqdm.external_write_mode():
            logger.info("Stage %s: %s", self.stage, message)

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
            where = (
                f"Stage {self.stage}, step {step}: a loss or gradient is not finite ({values}). {self.explain(step)}"
            )
            if self.nonfinite == "stop":
                raise FloatingPointError(
                    f"{where} The state of step {step - 1} stands; the newest checkpoint is intact. Lower the learning "
                    "rate, use float32, or skip such steps with --config.train.nonfinite=skip."
                )
            with tqdm.external_write_mode():
                logger.warning("%s The step is skipped.", where)
        self._counts["steps"] += 1
        self._counts["finite_steps"] += finite
        if self._since is None:
            self._since = time.monotonic()
        else:
            self._timed_steps += 1
            self._timed_examples += examples
        for key, value in values.items() if finite else ():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._bar.update()
        if step % self.every_steps == 0:
            self._report(step)

    def validated(self, step: int, values: dict[str, float]) -> None:
        """Writes the metrics of a validation; a checkpoint is as good as the latest before it."""
        if not values:
            return
        self._logged |= values
        self.writer.scalars(step, values)
        self.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def close(self, stage: Any) -> None:
        """Warns of what the stage has to say of its last logged means."""
        if isinstance(stage, Remarks) and (remark := stage.remark(self._logged)) is not None:
            with tqdm.external_write_mode():
                logger.warning("Stage %s: %s", self.stage, remark)

    def progress(self) -> dict[str, Any]:
        """The unfinished and the last logged averages, as JSON: a resumed run logs what an undisturbed one would."""
        # Copies: they are written in the background, while the next steps are counted.
        return {"sums": dict(self._sums), "counts": dict(self._counts), "logged": dict(self._logged)}

    def restore(self, progress: dict[str, Any]) -> None:
        """Goes on with unfinished averages."""
        self._sums, self._counts = dict(progress["sums"]), dict(progress["counts"])
        self._logged = dict(progress.get("logged", {}))  # Checkpoints of an earlier version have none.

    def _report(self, step: int) -> None:
        means = {name: total / self._counts["finite_steps"] for name, total in self._sums.items()}
        means["skipped_steps"] = self._counts["steps"] - self._counts["finite_steps"]
        rates = self._rates()
        self._logged |= means
        self.writer.scalars(step, means | rates)
        losses = {name.removeprefix("loss/"): f"{mean:.4f}" for name, mean in means.items() if name.startswith("loss/")}
        self._bar.set_postfix(losses)
        if self._bar.disable:
            shown = [f"{key} {value}" for key, value in losses.items()]
            if rates:
                left = (self._bar.total - step) / rates["steps_per_second"]
                shown += [f"{rates['steps_per_second']:.3g} steps/s", f"{tqdm.format_interval(left)} left"]
            logger.info("%s %d/%d: %s", self.stage, step, self._bar.total, ", ".join(shown))
        self._sums, self._counts = {}, {"steps": 0, "finite_steps": 0}

    def _rates(self) -> dict[str, float]:
        """Speed since the last logged step, saving and previews included; none of the step that compiles."""
        if self._since is None or not self._timed_steps:
            return {}
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        rates = {
            "steps_per_second": self._timed_steps / seconds,
            "examples_per_second": self._timed_examples / seconds,
        }
        self._since, self._timed_steps, self._timed_examples = now, 0, 0
        return rates


class Signals:
    """Notes SIGTERM and the first SIGINT instead of dying of them; a second SIGINT leaves at once.

    Only in the main thread of a single process. Several processes have to stop at one step: there JAX's own handler
    of SIGTERM stays in place, and ``agreement.told_to_stop`` asks it.
    """

    def __init__(self):
        self.caught = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if jax.process_count() > 1 or threading.current_thread() is not threading.main_thread():
            return self
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
        with tqdm.external_write_mode():
            logger.warning("%s: saving and leaving after this step.", signal.Signals(number).name)
