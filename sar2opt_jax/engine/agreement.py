"""What several processes have to agree on before they go on: one that goes another way leaves the rest waiting."""

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
    """What each process says, in the order of the processes; all of them have to call it.

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
    """What an action gives to this process; where it fails in one of several processes, it fails in all of them.

    Args:
      action: must not wait for other processes: one of them may have failed by then.

    Raises:
      ValueError: in several processes, with what each that failed has to say; in one, the action's own error comes.
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
    """Whether one of several processes was told to stop by SIGTERM; True for all of them in the same round.

    All have to ask once a round. JAX finds a round that none has reached yet and waits for exactly that number: it is
    lost where numbers begin again, as steps do with a stage, or where anyone else asks with numbers of his own.
    """
    if jax.process_count() == 1:
        return False
    try:
        return multihost_utils.reached_preemption_sync_point(next(_rounds))
    except RuntimeError:  # JAX was told to do without this service.
        return False
