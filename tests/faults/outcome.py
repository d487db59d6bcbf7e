"""What a fault of the soak came to."""

import dataclasses


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """What was done to runs, and what came of it.

    Attributes:
      fault: what was done.
      injected, survived: how often, and how often the result was that of an undisturbed run.
      lost: what was not, in words.
      recovery_seconds: from a restart to its first step.
      notes: what else was seen, for the report.
    """

    fault: str
    injected: int = 0
    survived: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    recovery_seconds: list[float] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def count(self, injected: int, lost: list[str], what: str) -> None:
        """Adds faults; all of them survived where nothing was lost."""
        self.injected += injected
        self.survived += 0 if lost else injected
        self.lost += [f"{what}: {', '.join(lost[:5])}"] if lost else []
