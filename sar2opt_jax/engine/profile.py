"""A trace of some training steps, which the profiler of TensorBoard (XProf) and Perfetto open."""

import logging
from collections.abc import Callable
from pathlib import Path

import jax

logger = logging.getLogger(__name__)

WARM_UP = 10
"""Steps of a start that are not traced: the first compiles, and the next ones fill queues."""


class Profile:
    """Traces ``steps`` steps of a start, once it is warm."""

    def __init__(self, directory: Path | None, *, steps: int):
        """Writes below ``directory``; with 0 steps nothing is traced, and it may be None."""
        self._directory, self._steps, self._running = directory, steps, False

    def before_step(self, done: int, settle: Callable[[], None]) -> None:
        """Begins or ends the trace.

        Args:
          done: steps since the start.
          settle: waits until all steps so far have run on the device.
        """
        if self._steps and self._directory and done == WARM_UP:
            settle()
            jax.profiler.start_trace(self._directory)
            self._running = True
        elif done == WARM_UP + self._steps:
            self.close(settle)

    def close(self, settle: Callable[[], None]) -> None:
        """Ends a trace that is running, also one of fewer steps."""
        if self._running:
            settle()
            jax.profiler.stop_trace()
            self._running = False
            logger.info("The trace of %d steps is in %s: tensorboard --logdir there.", self._steps, self._directory)
