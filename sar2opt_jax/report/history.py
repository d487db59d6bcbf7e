"""What a run logged while it was trained: curves, speed and time of each stage, from its ``metrics.jsonl``."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

LOSS, VALIDATION = "loss/", "validation/"
"""How the names of the metrics begin that are shown as curves."""
Curve = Mapping[int, float]
"""Values by step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageLog:
    """What a stage logged.

    Attributes:
      name: of the stage.
      steps: the last logged optimiser step.
      seconds: of training, saving and previews included, compilation not; None where no speed was logged.
      skipped: steps whose loss or gradient was not finite.
      curves: by the metric's name.
    """

    name: str
    steps: int
    seconds: float | None
    skipped: int
    curves: Mapping[str, Curve]

    @property
    def steps_per_second(self) -> float | None:
        """The mean over the whole stage."""
        return self.steps / self.seconds if self.seconds else None


def read(path: Path) -> tuple[StageLog, ...]:
    """The stages that ``metrics.jsonl`` tells of, in the order of their first lines; none where there is no such file.

    A line that a killed process left incomplete is passed over.
    """
    stages: dict[str, dict[int, dict[str, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            name, step = entry.pop("stage"), int(entry.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        numbers = {key: float(value) for key, value in entry.items() if value is not None}
        stages.setdefault(name, {}).setdefault(step, {}).update(numbers)
    return tuple(_stage(name, dict(sorted(lines.items()))) for name, lines in stages.items())


def _stage(name: str, lines: Mapping[int, Mapping[str, float]]) -> StageLog:
    """A stage from its lines by step."""
    metrics = dict.fromkeys(key for values in lines.values() for key in values)
    by_metric = {key: {step: values[key] for step, values in lines.items() if key in values} for key in metrics}
    before, seconds = 0, 0.0
    for step, rate in by_metric.get("steps_per_second", {}).items():
        seconds += (step - before) / rate
        before = step
    return StageLog(
        name=name,
        steps=max(lines),
        seconds=seconds or None,
        skipped=round(sum(by_metric.get("skipped_steps", {}).values())),
        curves={key: curve for key, curve in by_metric.items() if key.startswith((LOSS, VALIDATION))},
    )
