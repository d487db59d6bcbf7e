"""Figures of curves: quality against the number of steps, and against the time for an image."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sar2opt_jax.evaluation.results import Results, steps_text
from sar2opt_jax.report import curves, selection
from sar2opt_jax.report.styles import DPI, INK, LINEAR, ORIGINAL, plain

PANELS = (("psnr",), ("ssim",), selection.LEARNED, ("colour_shift",), ("sharpness",), selection.SET_DISTANCES)
"""Of figure 5: the first of each that was measured."""
PANEL_INCHES, SPEED_INCHES = (3.6, 3.0), (5.4, 4.2)


def step_keys(results: Results) -> list[str]:
    """The quantities that figure 5 shows."""
    return [key for keys in PANELS if (key := selection.first_measured(results, keys))]


def speed_keys(results: Results) -> list[str]:
    """The quantities that are set against speed: fidelity, and what blur does not win."""
    second = selection.first_measured(results, selection.PERCEPTION)
    return [key for key in ("psnr", second) if key in results.quantities]


def steps(results: Results) -> Figure:
    """Quality against the number of steps, as figure 5 of arXiv 2407.06095: a panel for each quantity."""
    return _sheet(results, step_keys(results), curves.draw_steps, columns=3, levels=True)


def speed(results: Results) -> Figure:
    """Quality against the time for an image, with all methods."""
    keys = speed_keys(results)
    return _sheet(results, keys, curves.draw_speed, columns=2, levels=False, size=SPEED_INCHES)


def panel(results: Results, key: str, draw: curves.Draw, *, size: tuple[float, float]) -> Figure:
    """One panel by itself, for a page that sets them beside each other as its width allows, in the page's font.

    Args:
      results: of an evaluation.
      key: of the quantity.
      draw: ``curves.draw_steps`` or ``curves.draw_speed``.
      size: in inches.
    """
    figure = Figure(figsize=size, dpi=DPI, facecolor="none")
    axes = figure.subplots()
    width, height = size
    top = 0.52 if draw is curves.draw_speed else 0.36
    figure.subplots_adjust(left=0.52 / width, right=1 - 0.14 / width, top=1 - top / height, bottom=0.48 / height)
    axes.set_facecolor("none")
    draw(axes, results, key)
    plain(figure, printed=False)
    return figure


def _sheet(
    results: Results,
    keys: Sequence[str],
    draw: curves.Draw,
    *,
    columns: int,
    levels: bool,
    size: tuple[float, float] = PANEL_INCHES,
) -> Figure:
    """Panels in rows of ``columns`` under one legend."""
    columns = min(columns, len(keys))
    rows = -(-len(keys) // columns)
    entries = _legend(results, levels=levels)
    per_line = max(1, int(size[0] * columns / 1.3))
    legend = 0.28 * -(-len(entries) // per_line) + 0.1
    width, height = size[0] * columns, size[1] * rows + legend
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    head = 0.62 if draw is curves.draw_speed else 0.46
    figure.subplots_adjust(
        left=0.55 / width,
        right=1 - 0.15 / width,
        top=1 - (legend + head) / height,
        bottom=0.52 / height,
        wspace=0.2 if columns == 3 else 0.16,
        hspace=0.48,
    )
    for axes, key in zip(grid.flat, keys, strict=False):
        draw(axes, results, key)
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_axis_off()
    figure.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0.4 / width, 1 - 0.04 / height),
        ncols=per_line,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=2.4,
        columnspacing=2.0,
    )
    plain(figure)
    return figure


def _legend(results: Results, *, levels: bool) -> list[Line2D]:
    """An entry for each series, for the original's level where one is drawn, and for the linear baseline's."""
    original = results.original
    entries = []
    for name, style, members in curves.series_of(results):
        look, label = curves.drawn(style), name
        if original and members[0] is original and len(members) == 1:
            label = f"Original, {steps_text(original.num_steps)}"
            look["linestyle"] = curves.DASHED if levels else "none"
        elif members[0].kind == "generator" and len(members) == 1:
            look["linestyle"] = "none"
        entries.append(Line2D([], [], label=label, **look))
        if original and levels and len(members) > 1 and name == original.series:
            entries.append(Line2D([], [], color=ORIGINAL, linewidth=1.3, linestyle=curves.DASHED, label="Original"))
    return [*entries, Line2D([], [], color=LINEAR, linewidth=1.3, linestyle=curves.DOTTED, label=results.linear.series)]
