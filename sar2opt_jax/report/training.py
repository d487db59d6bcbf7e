"""The training behind a report: its curves, and a table with the time and the parameters of each stage."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sar2opt_jax.evaluation.results import QUANTITIES
from sar2opt_jax.report import curves
from sar2opt_jax.report.about import About
from sar2opt_jax.report.history import LOSS, VALIDATION, Curve, StageLog
from sar2opt_jax.report.styles import COLOURS, DPI, INK, plain
from sar2opt_jax.report.tables import Cell, ColumnHead, Row, Section, Table, significant

VALIDATED = ", validation"
"""How the name of a loss ends that is of validation images; it is dashed."""
WIDTHS = (3.0, 1.6, 1.1)
"""Of a panel's first three curves, widest first: one that lies on another leaves it visible."""


def table(about: About) -> Table | None:
    """Steps, parameters, time and speed of every stage; None where nothing was logged."""
    rows = []
    for stage in about.training:
        parameters = about.parameters(stage.name)
        cells = (
            f"{stage.steps:,}",
            f"{parameters:,}" if parameters else "",
            duration(stage.seconds),
            significant(stage.steps_per_second),
            f"{stage.skipped:,}" if stage.skipped else "",
        )
        rows.append(Row(stage.name, None, tuple(map(Cell, cells))))
    heads = (
        ColumnHead("Stage"),
        ColumnHead("Steps"),
        ColumnHead("Parameters", "of the network"),
        ColumnHead("Time", "without compiling"),
        ColumnHead("Steps per second"),
        ColumnHead("Skipped steps", "not finite"),
    )
    return Table("Training", heads, (Section("", tuple(rows)),)) if rows else None


def duration(seconds: float | None) -> str:
    """``42 s``, ``12 min 5 s``, ``3 h 20 min``; nothing where it is unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s" if rest else f"{seconds:.1f} s"


class Panel(NamedTuple):
    """What one figure draws: its title, a key of ``curves.BETTER``, whether it is of losses, and curves by name."""

    title: str
    better: str
    of_losses: bool
    lines: dict[str, Curve]


def panels(stages: Sequence[StageLog]) -> list[Panel]:
    """The losses of each stage, then each validation metric; a curve needs two points."""
    found: dict[str, Panel] = {}
    for stage in stages:
        for key, curve in stage.curves.items():
            if len(curve) < 2:
                continue
            metric = key.removeprefix(VALIDATION)
            of_losses = metric.startswith(LOSS)
            quantity = None if of_losses else QUANTITIES.get(metric)
            title = f"Losses, {stage.name}" if of_losses else f"Validation: {quantity.head if quantity else metric}"
            panel = Panel(title, quantity.better if quantity else "lower", of_losses, {})
            found.setdefault(title, panel).lines[_name(key) if of_losses else stage.name] = curve
    return sorted(found.values(), key=lambda panel: not panel.of_losses)


def _name(key: str) -> str:
    """Of a loss: ``teacher``, or ``teacher, validation``."""
    return key.rpartition("/")[2] + (VALIDATED if key.startswith(VALIDATION) else "")


def draw(panel: Panel, *, size: tuple[float, float]) -> Figure:
    """One panel of ``size`` in inches, for a page in whose font it is set; positive losses on a logarithmic scale."""
    title, better, of_losses, lines = panel
    width, height = size
    figure = Figure(figsize=size, dpi=DPI, facecolor="none")
    axes = figure.subplots()
    figure.subplots_adjust(left=0.62 / width, right=1 - 0.14 / width, top=1 - 0.58 / height, bottom=0.48 / height)
    axes.set_facecolor("none")
    names = list(dict.fromkeys(name.removesuffix(VALIDATED) for name in lines))
    for name, curve in lines.items():
        i = names.index(name.removesuffix(VALIDATED))
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linewidth": WIDTHS[min(i, len(WIDTHS) - 1)]}
        shown = name.removesuffix(VALIDATED) if name.removesuffix(VALIDATED) in lines else name  # A name a colour.
        look |= {"linestyle": curves.DASHED} if name.endswith(VALIDATED) else {}
        look |= {"label": name} if shown == name else {}
        axes.plot(list(curve), list(curve.values()), **look)
    curves.dress(axes, title, "Optimiser steps", better=better, pad=22)
    if of_losses and all(value > 0 for curve in lines.values() for value in curve.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    look = {"fontsize": 7.5, "labelcolor": INK, "handlelength": 1.4, "columnspacing": 1.2, "borderpad": 0.1}
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(names), frameon=False, **look)
    plain(figure, printed=False)
    return figure
