"""Sheets of images as picture files: every pixel of an image becomes a square of whole pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sar2opt_jax.evaluation.figures import enlarge
from sar2opt_jax.evaluation.results import QUANTITIES, Results
from sar2opt_jax.report import selection
from sar2opt_jax.report.sheets import Column, Sheet
from sar2opt_jax.report.styles import DPI, FAINT, GREY, INK, legible, plain, styles
from sar2opt_jax.report.tables import method_text, number

CELL_PIXELS = 256  # Side of an image in the figure, at least; a whole multiple of its own pixels.
GAP, GROUP_GAP, MARGIN = 8, 40, 40  # pixels
LINE = 27  # of small print, pixels
ROW_HEAD, CAPTION = 52, 42  # pixels, where a row has a head or images have captions
BAR = 44  # pixels, of the strip of colour shifts


def colour(sheet: Sheet, results: Results, *, figure_steps: int) -> Figure:
    """Truth and translations as mean colours of areas, and below them the colour shift of each method.

    Args:
      sheet: of ``sheets.colours``.
      results: of an evaluation.
      figure_steps: with how many steps DDIM is shown.
    """
    if "colour_shift" not in results.quantities:
        return draw(sheet)
    methods = selection.with_floor(results, figure_steps=figure_steps)
    strip = 60 + BAR * len(methods)
    figure = draw(sheet, below=strip)
    width, height = figure.get_size_inches() * DPI
    left = 330 / width
    axes = figure.add_axes((left, 36 / height, 1 - left - 3 * MARGIN / width, (strip - 90) / height))
    looks = styles(results)
    for i, result in enumerate(methods):
        value = results.value(result, "colour_shift")
        if np.isfinite(value):
            axes.barh(i, value, height=0.56, color=looks[result.series].colour)
            low, high = results.interval(result, "colour_shift") or (value, value)
            axes.plot([low, high], [i, i], color=INK, linewidth=1)
            axes.annotate(
                number(value, QUANTITIES["colour_shift"].digits),
                (high, i),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                size=7.5,
                color=INK,
            )
    # Ticks take their text anew whenever they are drawn, so it is legible from the start.
    names = [legible(method_text(results, result)) for result in methods]
    axes.set_yticks(range(len(methods)), names, size=7.5, color=INK, parse_math=False)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.set_xlim(left=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    title = f"Mean colour shift over all {len(results.ids):,} images, CIEDE2000; the line is its 95% interval"
    figure.text(MARGIN / width, (strip - 30) / height, title, size=8, weight="bold", color=INK)
    plain(figure)
    return figure


def draw(sheet: Sheet, *, below: int = 0) -> Figure:
    """A sheet as a figure, pixel for pixel.

    Args:
      sheet: what to draw.
      below: pixels that are left free under it.
    """
    columns = sheet.columns
    count, *sides = columns[0].images.shape[:3]
    scale = max(1, round(CELL_PIXELS / sides[1]))
    height, width = (side * scale for side in sides)
    lines = max(len(column.lines) for column in columns)
    titled = any(title for title, _ in sheet.groups)
    top = 68 + (66 if titled else 0) + LINE * lines + 15
    row_head = ROW_HEAD if sheet.rows else 0
    caption = CAPTION if any(column.captions for column in columns) else 0
    row_height = row_head + height + caption + GAP
    foot = 26 * len(sheet.notes) + 43 if sheet.notes else MARGIN
    groups = len(sheet.groups)
    total_width = 2 * MARGIN + len(columns) * width + (len(columns) - groups) * GAP + (groups - 1) * GROUP_GAP
    total_height = top + count * row_height - GAP + foot + below
    figure = Figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI, facecolor="white")
    canvas = np.full((total_height, total_width, 3), 255, np.uint8)

    def text(x: float, y: float, content: str, **look) -> None:
        figure.text(x / total_width, 1 - y / total_height, content, va="baseline", **look)

    def show(x: int, column: Column) -> None:
        head = top - 15 - LINE * lines
        text(x + width / 2, head, column.title, ha="center", size=9.5, weight="bold", color=INK)
        for i, line in enumerate(column.lines):
            text(x + width / 2, head + 30 + LINE * i, line, ha="center", size=7.5, color=INK if i == 0 else GREY)
        images = enlarge(_fitted(column.images, sides), scale)
        for row, image in enumerate(images):
            y = top + row * row_height + row_head
            canvas[y : y + height, x : x + width] = image
            if column.captions:
                text(x + width / 2, y + height + 27, column.captions[row], ha="center", size=7, color=INK)

    x = MARGIN
    for title, group in sheet.groups:
        start = x
        for column in group:
            show(x, column)
            x += width + GAP
        x -= GAP
        if title:
            text((start + x) / 2, 62, title.upper(), ha="center", size=7, color=GREY, weight="bold")
            level = 1 - 78 / total_height
            rule = Line2D([start / total_width, x / total_width], [level, level], color=FAINT, linewidth=0.8)
            figure.add_artist(rule)
        x += GROUP_GAP
    for row, (title, detail) in enumerate(sheet.rows):
        y = top + row * row_height + row_head - 14
        text(MARGIN, y, title, ha="left", size=8, weight="bold", color=INK)
        text(MARGIN + (130 if title else 0), y, detail, ha="left", size=7.5, color=GREY)
    for i, line in enumerate(sheet.notes):
        text(MARGIN, total_height - below - foot + 44 + 26 * i, line, ha="left", size=7, color=GREY)
    # One image over the whole figure, pixel for pixel.
    axes = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    plain(figure)
    return figure


def _fitted(images: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """Images of fewer pixels over the same area, each pixel repeated; the last ones where it does not go in whole."""
    rows, columns = (
        np.minimum(np.arange(side) * n // side, n - 1) for side, n in zip(sides, images.shape[1:3], strict=True)
    )
    return images[:, rows][:, :, columns]
