"""Replays one training step example by example, to debug a loss or gradient that was not finite."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel, gradient_norms
from sar2opt_jax.types import Array, Batch, Networks, PyTree, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replayed:
    """A replayed step.

    Attributes:
      step: the step, as it is logged: the first one is 1.
      start: the step of the checkpoint that was restored, 0 for a fresh state.
      batch: the examples of the step.
      metrics: of the whole step, as they are logged.
      examples: the same of each example alone, at the same state and with the same noise.
      export: of the state before the step.
    """

    step: int
    start: int
    batch: Batch
    metrics: dict[str, float]
    examples: list[dict[str, float]]
    export: Networks

    @property
    def suspects(self) -> list[int]:
        """Positions of the examples whose own loss or gradient is not finite."""
        return [i for i, values in enumerate(self.examples) if not np.isfinite(list(values.values())).all()]


def replay(
    stage: Stage,
    *,
    step: int,
    parallel: DataParallel,
    batches: Iterator[Batch],
    checkpoints: Checkpoints,
    rng: Array,
    initial: Callable[[], PyTree],
) -> Replayed:
    """Restores the newest checkpoint before a step, replays up to it and computes every example of the step alone.

    A run is bit-identical on one kind of device, so the state before the step is the one it had.

    Args:
      stage: the training objective.
      step: which one, as it is logged: the first one is 1.
      parallel, batches, checkpoints, rng, initial: as of ``loop.train``.

    Raises:
      ValueError: for a step below 1, or in several processes.
    """
    if step < 1:
        raise ValueError(f"The first step is 1; got {step}.")
    if jax.process_count() > 1:
        raise ValueError("A step is replayed by one process; the noise is the same as that of several.")
    start = max((saved for saved in checkpoints.steps() if saved < step), default=0)
    if start == 0:
        state = parallel.place(initial())
    else:
        state = checkpoints.restore_step(start, parallel.shapes(initial()), batches)
    rng = parallel.place(rng)
    for _ in tqdm(range(start, step - 1), desc="Replaying", unit="step", disable=None):
        state, _ = parallel.step(state, parallel.shard(next(batches)), rng)

    batch = jax.tree.map(np.asarray, next(batches))
    look = jax.jit(lambda state, one: _measure(stage, state, one, rng))
    examples = []
    for i in tqdm(range(len(batch.index)), desc="Per-example gradients", unit="example", disable=None):
        values = look(state, jax.tree.map(lambda x: x[i : i + 1], batch))  # noqa: B023
        examples.append({name: float(value) for name, value in jax.device_get(values).items()})
    export = jax.device_get(stage.export(state))  # Before the step takes the state's buffers.
    _, metrics = parallel.step(state, parallel.shard(batch), rng)
    return Replayed(
        step=step,
        start=start,
        batch=batch,
        metrics={name: float(value) for name, value in jax.device_get(metrics).items()},
        examples=examples,
        export=export,
    )


def _measure(stage: Stage, state: Any, batch: Batch, rng: Array) -> dict[str, Array]:
    """Metrics and norms of the gradients of some examples."""
    grads, metrics = stage.gradients(state, batch, rng)
    return {**metrics, **gradient_norms(grads)}
