"""What all processes of a run must agree on before they continue: one that branches off leaves the others waiting."""

import itertools
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")

_rounds = itertools.count(1)

PARAGRAPH_BYTES = 1000
"""Texts are padded to multiples of it, so that few lengths have to be compiled for."""


def gather(text: str) -> list[str]:
    """The text of each process, in the order of the processes; a collective operation, so all must call it.

    Args:
      text: without a zero character.
    """
    if jax.process_count() == 1:
        return [text]
    encoded = np.frombuffer(text.encode(), np.uint8)
    longest = int(np.max(multihost_utils.process_allgather(np.int32(encoded.size))))
    padded = np.zeros(-(-max(longest, 1) // PARAGRAPH_BYTES) * PARAGRAPH_BYTES, np.uint8)
    padded[: encoded.size] = encoded
    return [row.tobytes().rstrip(b"\0").decode() for row in np.asarray(multihost_utils.process_allgather(padded))]


def first_says(text: str) -> str:
    """The text of the first process, in all of them."""
    return gather(text)[0]


def together(action: Callable[[], T]) -> T:
    """Runs an action in each process; where it fails in one of them, it fails in all.

    Args:
      action: must not wait for other processes: one of them may have failed already.

    Returns:
      What the action returns in this process.

    Raises:
      ValueError: in several processes, with the message of each that failed; in one, the action's own error.
    """
    if jax.process_count() == 1:
        return action()
    done: list[T] = []
    complaint = ""
    try:
        done.append(action())
    except Exception as error:
        complaint = (str(error).strip() or type(error).__name__)[:PARAGRAPH_BYTES]
    complaints = gather(complaint)
    if not any(complaints):
        return done[0]
    said = [f"process {number}: {text}" for number, text in enumerate(complaints) if text]
    raise ValueError(complaints[0] if len(set(complaints)) == 1 else "; ".join(said))


def told_to_stop() -> bool:
    """Whether one of several processes received SIGTERM; True in all of them in the same round.

    A collective operation, called once a round. JAX picks a round that no process has reached and waits for that
    number: it deadlocks if the counter restarts, as steps do with a stage, or another caller uses its own counter.
    """
    if jax.process_count() == 1:
        return False
    try:
        return multihost_utils.reached_preemption_sync_point(next(_rounds))
    except RuntimeError:  # The service is switched off in JAX.
        return False
