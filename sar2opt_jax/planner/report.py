"""A plan as text for a terminal and as plain JSON: what each program takes, what would fit, what it costs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from sar2opt_jax import __version__
from sar2opt_jax.planner import collectives
from sar2opt_jax.planner.chips import GIB
from sar2opt_jax.planner.laws import Roofline, roofline
from sar2opt_jax.planner.programs import Finding
from sar2opt_jax.planner.topology import Target

CHIPS = tuple(2**i for i in range(9))
"""Numbers of chips of the table of costs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What was found for a config on a target.

    Attributes:
      config: its name and preset.
      target: what it was compiled for.
      batch_size: examples a step over all chips.
      findings: of all programs, in the order in which they run.
      price: dollars an hour of one chip; None where it was not given.
      efficiency: the share of the roofline's speed that hours and rates are computed with.
    """

    config: str
    target: Target
    batch_size: int
    findings: Sequence[Finding]
    price: float | None
    efficiency: float

    @property
    def fits(self) -> bool:
        """Whether all programs fit."""
        return all(finding.fits for finding in self.findings)

    def seconds(self, roof: Roofline | None) -> float | None:
        """Of one step."""
        return roof and roof.seconds / self.efficiency

    def hours(self, finding: Finding) -> float | None:
        """Of all steps of a stage; None for a translation, or where unknown."""
        seconds, steps = self.seconds(finding.roofline), finding.program.num_steps
        return None if seconds is None or steps is None else seconds * steps / 3600

    def scaling(self) -> list[dict[str, float]]:
        """Hours and costs for 1 to 256 chips, each with as many examples as now, for the examples that the config sees.

        Only the bytes that chips exchange depend on their number. Empty where a roofline is missing.
        """
        stages = [finding for finding in self.findings if finding.program.num_steps is not None]
        chip, own = self.target.chip, len(self.target.devices)
        if chip is None or any(finding.bytes_moved is None for finding in stages):
            return []
        rows = []
        for chips in CHIPS:
            hours = 0.0
            for finding in stages:
                roof = roofline(
                    flops=finding.flops,
                    bytes_moved=finding.bytes_moved or 0.0,
                    bytes_sent=collectives.sent(finding.usage.collectives, num_chips=chips),
                    chip=chip,
                    dtype=finding.program.dtype,
                )
                steps = (finding.program.num_steps or 0) * own / chips
                hours += (self.seconds(roof) or 0.0) * steps / 3600
            row = {"chips": chips, "batch_size": self.batch_size // own * chips, "hours": hours}
            row["chip_hours"] = hours * chips
            rows.append(row | ({} if self.price is None else {"dollars": hours * chips * self.price}))
        return rows

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON; bytes, seconds and operations are those of one chip and one step."""
        programs = []
        for finding in self.findings:
            program, usage = finding.program, dataclasses.asdict(finding.usage)
            hours = self.hours(finding)
            programs.append(
                {
                    "name": program.name,
                    "steps": program.num_steps,
                    "dtype": program.dtype,
                    "examples_at_once": program.examples,
                    "micro_batches": program.micro_batches,
                    "fits": finding.fits,
                    "compiler": usage,
                    "flops": finding.flops,
                    "bytes_moved": finding.bytes_moved,
                    "bytes_sent": finding.bytes_sent,
                    "roofline_seconds": finding.roofline and dataclasses.asdict(finding.roofline),
                    "bound": finding.roofline and finding.roofline.bound,
                    "memory_law": finding.law and finding.law._asdict(),
                    "most_examples_at_once": finding.most,
                    "most_is_checked": finding.checked,
                    "hours": hours,
                    "dollars": None if hours is None or self.price is None else hours * self._hourly,
                }
            )
        return {
            "config": self.config,
            "topology": self.target.name,
            "chips": len(self.target.devices),
            "chip": self.target.chip and dataclasses.asdict(self.target.chip),
            "batch_size": self.batch_size,
            "efficiency": self.efficiency,
            "price": self.price,
            "versions": {"sar2opt_jax": __version__, "jax": jax.__version__, "compiler": self.target.compiler},
            "fits": self.fits,
            "programs": programs,
            "scaling": self.scaling(),
        }

    @property
    def _hourly(self) -> float:
        return (self.price or 0.0) * len(self.target.devices)

    def text(self) -> str:
        """For a terminal."""
        parts = [self._heading(), self._programs(), *([self._scaling()] if self.scaling() else []), self._basis()]
        return "\n\n".join(parts)

    def _heading(self) -> str:
        chips = len(self.target.devices)
        kind = self.target.devices[0].device_kind
        return f"{self.config} on {self.target.name}: {chips} x {kind}, {self.batch_size} examples a step."

    def _programs(self) -> str:
        memory = self.target.memory
        rows: list[tuple[str, Callable[[Finding], str]]] = [
            ("steps", lambda f: _number(f.program.num_steps, ",")),
            ("dtype", lambda f: f.program.dtype),
            ("examples at once, a chip", lambda f: str(f.program.examples)),
            ("micro-batches", lambda f: str(f.program.micro_batches)),
            ("arguments, GiB", lambda f: _number(f.usage.arguments, ".4g", GIB)),
            ("temporaries, GiB", lambda f: _number(f.usage.temporaries, ".4g", GIB)),
            ("peak, GiB", lambda f: _number(f.usage.peak, ".4g", GIB)),
            ("the chip has, GiB", lambda f: _number(f.usage.capacity or memory, ".4g", GIB)),
            ("fits", lambda f: "yes" if f.fits else "NO"),
            ("most examples at once", _most),
            ("TFLOP", lambda f: _number(f.flops, ".3g", 1e12)),
            ("GB moved", lambda f: _number(f.bytes_moved, ".3g", 1e9)),
            ("MB sent", lambda f: _number(f.bytes_sent, ".3g", 1e6)),
            ("roofline, ms", lambda f: _number(f.roofline and f.roofline.seconds * 1e3, ".3g")),
            ("bound by", lambda f: f.roofline.bound if f.roofline else "-"),
            ("examples a second", lambda f: _number(self._rate(f), ".3g")),
            ("hours", lambda f: _number(self.hours(f), ".3g")),
        ]
        if self.price is not None:
            rows.append(("dollars", lambda f: _number((self.hours(f) or 0) * self._hourly or None, ",.2f")))
        table = [("a chip and step", *(finding.program.name for finding in self.findings))]
        table += [(label, *map(cell, self.findings)) for label, cell in rows]
        return _aligned(table)

    def _rate(self, finding: Finding) -> float | None:
        """Examples a second, over all chips."""
        seconds, program = self.seconds(finding.roofline), finding.program
        return seconds and program.examples * program.micro_batches * len(self.target.devices) / seconds

    def _scaling(self) -> str:
        scaling = self.scaling()
        table: list[tuple[str, ...]] = []
        table += [("chips", "examples a step", "hours", "chip hours", *(["dollars"] if self.price is not None else []))]
        for row in scaling:
            cells = [f"{row['chips']:d}", f"{row['batch_size']:,d}", f"{row['hours']:.3g}", f"{row['chip_hours']:.4g}"]
            table.append((*cells, *([f"{row['dollars']:,.2f}"] if "dollars" in row else [])))
        return f"All stages, for as many examples as the config sees, by the number of chips:\n{_aligned(table)}"

    def _basis(self) -> str:
        """What the numbers rest on."""
        chip = self.target.chip
        lines = [
            f"Memory and GB moved: {self.target.compiler}, JAX {jax.__version__}; the bodies of loops are counted by "
            "their rounds. TFLOP: convolutions and matrix products by their shapes.",
            "MB sent: collective operations of the compiled program, by rings.",
        ]
        if chip is None:
            lines.append("No roofline: peak rates of this device are not in sar2opt_jax/planner/chips.py.")
            return "\n".join(lines)
        lines.append(
            f"Time: the roofline by the peak rates of {chip.source}, of which steps reach {self.efficiency:.3g} "
            "(--efficiency): nothing here has run. Evaluation and reading data are not in it."
        )
        if self.scaling():
            lines.append(
                f"Other numbers of chips: the program for {len(self.target.devices)} chips, with other exchanges. A "
                "larger batch may need another learning rate, or more examples."
            )
        return "\n".join(lines)


CHECKED = {True: "compiled", False: "by a line", None: "by a line"}
"""How the largest batch is known, by ``Finding.checked``."""


def _most(finding: Finding) -> str:
    return "-" if finding.most is None else f"{finding.most} ({CHECKED[finding.checked]})"


def _number(value: float | None, form: str, unit: float = 1) -> str:
    return "-" if value is None else f"{value / unit if unit != 1 else value:{form}}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *rest in table:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
