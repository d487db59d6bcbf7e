"""What a report says of its run besides the numbers: where they come from and how to get them again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sar2opt_jax.report.history import StageLog


class Change(NamedTuple):
    """A setting that differs from the preset: its dotted name, the preset's value and the run's."""

    name: str
    preset: Any
    value: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """Where results come from.

    Attributes:
      title: what was evaluated, such as ``acd:simulated``.
      facts: dataset, hardware, commit and date, by names that a person reads.
      config: of the evaluation, the whole of it as plain JSON.
      changes: the settings that differ from the preset; None where the preset is unknown.
      command: what was typed; None where it is unknown.
      networks: by name the description of each as plain JSON, with its number of ``parameters``.
      training: the log of each stage of the run.
    """

    title: str
    facts: Mapping[str, str]
    config: Mapping[str, Any]
    changes: Sequence[Change] | None = None
    command: str | None = None
    networks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    training: tuple[StageLog, ...] = ()

    @property
    def commit(self) -> str:
        """The commit of the source, or why it is unknown."""
        return self.facts.get("Commit", "unknown")

    def parameters(self, stage: str) -> int | None:
        """The number of parameters of the network that ``stage`` of this run exports; None where it is unknown."""
        for name, network in self.networks.items():
            if network.get("stage") == stage and name in (stage, "student"):
                return network.get("parameters")
        return None
