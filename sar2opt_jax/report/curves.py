"""What a figure of curves draws into one panel: a quantity over the number of steps, or over the time for an image."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sar2opt_jax.evaluation.results import QUANTITIES, Result, Results
from sar2opt_jax.report.styles import FAINT, GREY, INK, LINEAR, ORIGINAL, Style, styles

DECADES = (1, 10, 100, 1000)
DASHED, DOTTED = (0, (5, 2)), (0, (1, 1.6))
BETTER = {"higher": "higher is better", "lower": "lower is better", "one": "1 is the truth"}
Draw = Callable[[Axes, Results, str], None]
"""Draws a quantity, by its key."""


def draw_steps(axes: Axes, results: Results, key: str) -> None:
    """One line per series over the number of steps; horizontal lines for the original and for the linear baseline."""
    for name, look, members in series_of(results):
        points = sorted((r.num_steps, results.value(r, key)) for r in members if np.isfinite(results.value(r, key)))
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, label=name, zorder=3, **drawn(look))
        _band(axes, results, key, members, look)
    used = sorted({result.num_steps for result in results.methods}) or [1]
    axes.set_xscale("log")
    axes.set_xlim(0.8 * min(1, used[0]), 1.25 * max(used[-1], 10))
    quantity = QUANTITIES[key]
    dress(axes, quantity.head, "Network evaluations per image", better=quantity.better)
    ticks = _spread(used, span=np.log(axes.get_xlim()[1] / axes.get_xlim()[0]))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    _levels(axes, results, key)


def draw_speed(axes: Axes, results: Results, key: str) -> None:
    """Every method over its time for an image, marked with its steps; above, how much faster than the original."""
    for name, look, members in series_of(results):
        points = sorted((r.num_steps, *_point(results, r, key)) for r in members if _is_timed(results, r, key))
        if points:
            _, x, y = zip(*points, strict=True)
            axes.plot(x, y, label=name, zorder=3, **drawn(look, width=0.7))
    times = [r.ms_per_image for r in results.methods if r.ms_per_image] or [1.0]
    low, high = min(times), max(times)
    room = max(1.4, (high / low) ** 0.06, (10 * low / high) ** 0.5)  # A decade at least, for its ticks.
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    quantity, pad = QUANTITIES[key], 24 if results.original else 9
    dress(axes, quantity.head, "Milliseconds per image", better=quantity.better, pad=pad)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    _levels(axes, results, key, original=False)
    _speed_ups(axes, results)
    _label_points(axes, results, key)


def series_of(results: Results) -> Iterator[tuple[str, Style, list[Result]]]:
    """Name, style and methods of every line, in the order in which the methods were given."""
    looks = styles(results)
    for name in dict.fromkeys(result.series for result in results.methods):
        yield name, looks[name], [result for result in results.methods if result.series == name]


def drawn(look: Style, *, width: float = 1) -> dict[str, Any]:
    """What matplotlib calls a style; ``width`` times as wide."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.8}
    return {
        "color": look.colour,
        "marker": look.marker,
        "markersize": look.size - 1,
        "linewidth": width * look.width,
        **edge,
    }


def _band(axes: Axes, results: Results, key: str, members: Sequence[Result], look: Style) -> None:
    """The 95% interval of each point, as a band between them; nothing for a single point or without intervals."""
    ends = {r.num_steps: interval for r in members if (interval := results.interval(r, key))}
    if len(ends) > 1:
        steps = sorted(ends)
        low, high = zip(*(ends[n] for n in steps), strict=True)
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=1)


def _is_timed(results: Results, result: Result, key: str) -> bool:
    return bool(result.ms_per_image) and bool(np.isfinite(results.value(result, key)))


def _point(results: Results, result: Result, key: str) -> tuple[float, float]:
    return float(result.ms_per_image or 0), results.value(result, key)


def _levels(axes: Axes, results: Results, key: str, *, original: bool = True) -> None:
    """Horizontal lines; the linear baseline is only named where it lies so far off that the rest would be crushed."""
    shown = [value for r in results.methods if np.isfinite(value := results.value(r, key))]
    if original and results.original and np.isfinite(level := results.value(results.original, key)):
        axes.axhline(level, color=ORIGINAL, linewidth=1.3, linestyle=DASHED, zorder=2)
    if key == "sharpness":
        axes.axhline(1, color=INK, linewidth=0.9, zorder=1, label="Truth")
        shown.append(1)
    linear = results.value(results.linear, key)
    spread = max(shown, default=linear) - min(shown, default=linear)
    above = linear > max(shown, default=linear)
    if np.isfinite(linear) and (spread == 0 or min(shown) - spread <= linear <= max(shown) + spread):
        axes.axhline(linear, color=LINEAR, linewidth=1.3, linestyle=DOTTED, zorder=2, label=results.linear.series)
        shown.append(linear)
    elif np.isfinite(linear):
        text = f"{'↑' if above else '↓'} linear baseline {linear:,.{QUANTITIES[key].digits}f}"
        anchor = (0.99, 1 if above else 0.02)
        look = {"ha": "right", "va": "top" if above else "bottom", "size": 7.5, "color": GREY, "zorder": 5}
        axes.annotate(text, anchor, xycoords="axes fraction", **look)
    if shown:
        room = 0.15 * (max(shown) - min(shown)) or 0.05 * abs(shown[0]) or 1
        axes.set_ylim(min(shown) - room, max(shown) + room)


def dress(axes: Axes, title: str, x_label: str, *, better: str, pad: float = 9) -> None:
    """Titles, grid and ticks of a panel, the same for all; ``better`` is a key of ``BETTER``."""
    axes.set_title(title, loc="left", size=9.5, weight="bold", color=INK, pad=pad)
    axes.set_title(BETTER[better], loc="right", size=7.5, color=GREY, pad=pad)
    axes.set_xlabel(x_label, size=8, color=GREY)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, pad=5)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 2.5, 5, 10)))


def _spread(used: Sequence[int], *, span: float) -> list[int]:
    """Numbers of steps that have room for their labels on a logarithmic axis: powers of ten and two first."""
    kept: list[int] = []
    ranked = sorted(used, key=lambda n: (n not in DECADES, n & (n - 1) != 0, n))
    for value in (*ranked, *(decade for decade in DECADES if decade <= max(used))):
        width = 0.055 + 0.018 * len(str(value))
        if all(abs(np.log(value / other)) > width * span for other in kept):
            kept.append(value)
    return sorted(kept)


def _speed_ups(axes: Axes, results: Results) -> None:
    """A second axis above: 1× is the original."""
    if results.original is None or not results.original.ms_per_image:
        return
    slowest = results.original.ms_per_image
    low, high = axes.get_xlim()
    factors = [10.0**k for k in range(-4, 8) if low <= slowest / 10.0**k <= high]
    top = axes.twiny()
    top.set_xscale("log")
    top.set_xlim(low, high)
    top.xaxis.set_major_locator(FixedLocator([slowest / factor for factor in factors]))
    top.xaxis.set_major_formatter(FixedFormatter([f"{factor:,g}×" for factor in factors]))
    top.xaxis.set_minor_locator(NullLocator())
    top.tick_params(length=0, labelsize=7.5, labelcolor=GREY, pad=2)
    top.grid(axis="x", color=FAINT, linewidth=0.6)
    top.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
    top.spines[:].set_visible(False)


def _label_points(axes: Axes, results: Results, key: str) -> None:
    """Numbers of steps (or names, where there are none to choose) beside their points, where there is room.

    On no point or other label; off the lines, where one of the places is.
    """
    timed = [result for result in results.methods if _is_timed(results, result, key)]
    timed.sort(key=lambda r: (r is not results.original, r.kind != "generator", r.kind != "student"))
    unit = axes.figure.dpi / 72  # Pixels in a point; what follows is in points.
    points = [axes.transData.transform(_point(results, result, key)) / unit for result in timed]
    frame = axes.bbox.x0 / unit - 12, axes.bbox.x1 / unit + 10
    boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    lines = [box for line in axes.lines for box in _along(axes.transData.transform(line.get_xydata()) / unit)]
    for result, (x, y) in zip(timed, points, strict=True):
        named = result is results.original or result.kind == "generator"
        label = results.title(result) if named else f"{result.num_steps:,}"
        half = 2.3 * len(label) + 1
        beside = [(half + 7, 0), (-half - 7, 0), (-half, 10), (-half, -10)] if named else []
        places = []
        for dx, dy in ((0, 10), (0, -10), *beside, *(() if named else ((half + 6, 7), (-half - 6, 7)))):
            box = (x + dx - half, y + dy - 4, x + dx + half, y + dy + 4)
            if frame[0] <= box[0] and box[2] <= frame[1] and not any(_overlap(box, other) for other in boxes):
                places.append((any(_overlap(box, other) for other in lines), len(places), (dx, dy), box))
        if places:
            _, _, offset, box = min(places)
            boxes.append(box)
            look = {"ha": "center", "va": "center", "size": 7, "color": INK, "zorder": 5}
            axes.annotate(label, _point(results, result, key), xytext=offset, textcoords="offset points", **look)


def _along(corners: np.ndarray) -> Iterator[tuple[float, float, float, float]]:
    """Small boxes along a line with these corners, [n, 2] in points."""
    for start, end in itertools.pairwise(corners):
        count = max(2, int(np.hypot(*(end - start)) / 3)) if np.isfinite(end - start).all() else 0
        for x, y in np.linspace(start, end, count):
            yield x - 0.5, y - 0.5, x + 0.5, y + 0.5


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
