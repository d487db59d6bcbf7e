"""Which checkpoints of a stage stay when a new one is whole."""

import dataclasses
import json
import logging
import math
from collections.abc import Mapping, Sequence

import jax
import orbax.checkpoint as ocp
from etils import epath

from sar2opt_jax.engine import agreement

logger = logging.getLogger(__name__)

policies = ocp.checkpoint_managers
Logged = Mapping[str, float]
"""The last logged mean of every metric at the time of a save."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retention:
    """The rules that keep checkpoints; one that any of them keeps stays.

    A checkpoint is as good as the metric that was logged last before it was saved: a mean over ``log_every_steps``, the
    same however often the run was interrupted. One that was saved before anything was logged, or whose stage does not
    log the metric, is not among the best and stays by the other rules alone.

    Attributes:
      newest: how many of the newest stay; the newest always does.
      every_steps: those of its multiples stay for good; None for none.
      best_metric: by which the best are found, as it is logged, such as ``loss/teacher``; of equals the newer is
        better. None for none.
      best_is_highest: whether larger values of it are better.
      best: how many of the best stay.
    """

    newest: int
    every_steps: int | None = None
    best_metric: str | None = None
    best_is_highest: bool = False
    best: int = 1

    def __post_init__(self):
        names = {"keep_checkpoints": self.newest, "keep_best_checkpoints": self.best}
        if self.every_steps is not None:
            names["keep_every_steps"] = self.every_steps
        for name, value in names.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")

    def best_of(self, logged: Mapping[int, Logged | None]) -> list[int]:
        """The steps of the best, best first.

        Args:
          logged: of each checkpoint, by its step; None where it cannot be read.
        """
        metric = {step: (values or {}).get(self.best_metric or "") for step, values in logged.items()}
        sign = -1 if self.best_is_highest else 1
        known = {step: sign * value for step, value in metric.items() if value is not None and math.isfinite(value)}
        return sorted(known, key=lambda step: (known[step], -step))[: self.best]


class Policy(policies.PreservationPolicy):
    """A ``Retention`` as Orbax asks for it.

    Orbax's own policy of the best needs metrics of its own file, of which a damaged one keeps it from opening a
    directory at all: nothing could then go back to an older checkpoint.
    """

    def __init__(self, retention: Retention, logged: Mapping[int, Logged | None]):
        """Keeps by ``retention``; ``logged`` is that of the directory and may change."""
        self.retention, self.logged = retention, logged
        rules: list[policies.PreservationPolicy] = [policies.LatestN(n=retention.newest)]
        if retention.every_steps is not None:
            rules.append(policies.EveryNSteps(interval_steps=retention.every_steps))
        self.rules = policies.AnyPreservationPolicy(rules)

    def should_preserve(
        self,
        checkpoints: Sequence[policies.PolicyCheckpointInfo],
        *,
        context: policies.PreservationContext,
    ) -> Sequence[bool]:
        """Of each checkpoint, the oldest first, whether it stays."""
        here = {info.step: self.logged.get(info.step, {}) for info in checkpoints}
        # What cannot be read is never deleted: it may be the best there is.
        stay = {step for step, values in here.items() if values is None} | set(self.retention.best_of(here))
        by_rule = self.rules.should_preserve(checkpoints, context=context)
        return [kept or info.step in stay for kept, info in zip(by_rule, checkpoints, strict=True)]


def read_logged(directory: epath.Path, steps: Sequence[int]) -> dict[int, Logged | None]:
    """What was logged before each of some checkpoints was saved, read by the first process for all.

    Args:
      directory: of the checkpoints.
      steps: which of them.

    Returns:
      The metrics by step; none of a checkpoint of an earlier version, None for one whose description cannot be read.
    """
    read: dict[int, Logged | None] = {}
    for step in steps if jax.process_index() == 0 else ():
        path = directory / str(step) / "meta" / "metadata"
        try:
            read[step] = dict(json.loads(path.read_text())["progress"].get("logged", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.error("%s cannot be read (%s): its checkpoint is kept.", path, error)
            read[step] = None
    pairs = json.loads(agreement.first_says(json.dumps(list(read.items()))))
    return {int(step): values for step, values in pairs}
