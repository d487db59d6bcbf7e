"""The two figures of a report: samplers side by side, and quality against the number of steps."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.evaluation.evaluate import Result, Results, steps_text
from sar2opt_jax.evaluation.figures import enlarge, show

DPI = 200
INK, GREY, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette, which colour-blind readers tell apart; markers tell apart in print without colour."""
MARKERS = (("o", 8.5), ("s", 6.0), ("D", 6.5), ("^", 7.5), ("v", 7.5), ("P", 8.0))
"""Shape and size; the first is the largest, because few-step DDIM and DPM++ coincide."""

CELL_PIXELS = 256  # Side of an image in the figure, at least; a whole multiple of its own pixels.
GAP, GROUP_GAP, MARGIN, HEAD, FOOT = 8, 40, 40, 230, 95  # pixels


def samplers(results: Results, *, teacher_steps: int = 8, rows: int = 8) -> Figure:
    """SAR | truth | DDIM | DPM++ | original | student at each of its steps, as figure 1 of arXiv 2407.06095.

    Args:
      results: of ``evaluate.run``.
      teacher_steps: which number of steps of DDIM and DPM++ is shown.
      rows: how many examples, at most.
    """
    count = min(rows, len(results.sar))
    teacher = [r for r in results.methods if r.sampler not in ("ddpm", "lcm") and r.num_steps == teacher_steps]
    teacher += [results.original] if results.original else []
    student = [r for r in results.methods if r.sampler == "lcm"]
    groups = [group for group in (teacher, student) if group]

    scale = max(1, round(CELL_PIXELS / results.image_size[1]))
    height, width = (side * scale for side in results.image_size)
    columns = 2 + sum(len(group) for group in groups)
    total_width = 2 * MARGIN + columns * width + (columns - 1 - len(groups)) * GAP + len(groups) * GROUP_GAP
    total_height = HEAD + count * height + (count - 1) * GAP + FOOT
    figure = Figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI, facecolor="white")
    canvas = np.full((total_height, total_width, 3), 255, np.uint8)

    def text(x: float, y: float, content: str, **style) -> None:
        figure.text(x / total_width, 1 - y / total_height, content, va="baseline", **style)

    def column(x: int, images: np.ndarray, title: str, *lines: str) -> None:
        for row, image in enumerate(enlarge(images[:count], scale)):
            top = HEAD + row * (height + GAP)
            canvas[top : top + height, x : x + width] = image
        text(x + width / 2, HEAD - 102, title, ha="center", size=9.5, weight="bold", color=INK)
        for i, line in enumerate(lines):
            text(x + width / 2, HEAD - 72 + 27 * i, line, ha="center", size=7.5, color=INK if i == 0 else GREY)

    column(MARGIN, show(results.sar), "SAR", "input")
    column(MARGIN + width + GAP, to_uint8(results.optical), "Truth", "optical")
    x = MARGIN + 2 * width + GAP
    for name, group in (("TEACHER", teacher), ("STUDENT", student)):
        x += GROUP_GAP if group else 0
        start = x
        for i, result in enumerate(group):
            quality = f"{result.mean('psnr'):.1f} dB", f"sharpness {_number(results.relative_sharpness(result))}"
            column(x, to_uint8(result.images), result.title, steps_text(result.num_steps), *quality)
            x += width + (GAP if i < len(group) - 1 else 0)
        if group:
            text((start + x) / 2, HEAD - 168, name, ha="center", size=7, color=GREY, weight="bold")
            level = 1 - (HEAD - 152) / total_height
            rule = Line2D([start / total_width, x / total_width], [level, level], color=FAINT, linewidth=0.8)
            figure.add_artist(rule)
    note = f"PSNR in dB and sharpness relative to the truth: means over all {len(results.ids)} evaluated images."
    for i, line in enumerate((note, "PSNR rewards blur: read the two together.")):
        text(MARGIN, total_height - FOOT + 44 + 26 * i, line, ha="left", size=7, color=GREY)
    # One image over the whole figure, pixel for pixel.
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def steps(results: Results) -> Figure:
    """PSNR, SSIM and relative sharpness against the number of steps, as figure 5 of arXiv 2407.06095.

    One line per sampler; horizontal lines for the linear floor and for the original.
    """
    figure = Figure(figsize=(10.8, 3.9), dpi=DPI, facecolor="white")
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.055, right=0.985, top=0.80, bottom=0.145, wspace=0.2)
    quality: tuple[tuple[str, Callable[[Result], float]], ...] = (
        ("PSNR (dB)", lambda result: result.mean("psnr")),
        ("SSIM", lambda result: result.mean("ssim")),
        ("Sharpness relative to the truth", results.relative_sharpness),
    )
    handles = []
    for axes, (title, value) in zip(panels, quality, strict=True):
        handles = _panel(axes, results, value)
        axes.set_title(title, loc="left", size=10, weight="bold", color=INK, pad=9)
    truth = panels[-1].axhline(1, color=INK, linewidth=0.9, zorder=1, label="Truth")
    figure.legend(
        handles=[*handles, truth],
        loc="upper left",
        bbox_to_anchor=(0.045, 1.0),
        ncols=len(handles) + 1,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.4,
        columnspacing=2.2,
    )
    return figure


def _panel(axes: Axes, results: Results, value: Callable[[Result], float]) -> list[Line2D]:
    """Draws one quality against the steps and returns what belongs in the legend."""
    handles = []
    series = dict.fromkeys(result.title for result in results.methods if result.sampler != "ddpm")
    for title, colour, (marker, size) in zip(series, itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
        points = sorted((r.num_steps, value(r)) for r in results.methods if r.title == title)
        style = {"color": colour, "marker": marker, "markersize": size, "markeredgecolor": "white", "linewidth": 1.8}
        handles += axes.plot(*zip(*points, strict=True), label=title, zorder=3, **style)
    if results.original:
        label = f"{results.original.title}, {steps_text(results.original.num_steps)}"
        handles.append(
            axes.axhline(value(results.original), color=GREY, linewidth=1.3, linestyle=(0, (5, 2)), label=label)
        )
    floor = value(results.floor)
    handles.append(axes.axhline(floor, color=GREY, linewidth=1.3, linestyle=(0, (1, 1.6)), label=results.floor.title))
    _dress(axes, sorted({result.num_steps for result in results.methods if result.sampler != "ddpm"}))
    return handles


def _dress(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.85 * min(ticks, default=1), 1.18 * max(ticks, default=1))
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("Network evaluations per image", size=9, color=INK)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK, pad=5)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def _number(ratio: float) -> str:
    return "undefined" if np.isnan(ratio) else f"{ratio:.2f}"
