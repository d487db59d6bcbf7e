"""One look for all figures and the page: a method has the same colour and the same marker wherever it appears."""

import dataclasses
import functools

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from sar2opt_jax.evaluation.results import Result, Results

DPI = 200
INK, GREY, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"
ORIGINAL, LINEAR = "#4f5560", "#8b8f97"
"""The two that everything is measured against are grey, so that colour means a contender."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette, which colour-blind readers tell apart; markers tell apart in print without colour."""
MARKERS = (
    ("o", 8.5, "M0-4.6A4.6 4.6 0 1 1 0 4.6A4.6 4.6 0 1 1 0-4.6Z"),
    ("s", 6.0, "M-3.4-3.4H3.4V3.4H-3.4Z"),
    ("D", 6.5, "M0-5L5 0L0 5L-5 0Z"),
    ("^", 7.5, "M0-4.6L4.6 3.8H-4.6Z"),
    ("v", 7.5, "M0 4.6L4.6-3.8H-4.6Z"),
    ("P", 8.0, "M-1.7-4.6H1.7V-1.7H4.6V1.7H1.7V4.6H-1.7V1.7H-4.6V-1.7H-1.7Z"),
)
"""Name, size and, for the page, outline; the first is the largest, because few-step DDIM and DPM++ coincide."""
WIDTHS = {"DDIM": 3.4, "DPM++": 1.2}
"""Of these two lines, which are one in few steps: the wide one shows under the narrow one."""
RESERVED = ("DDIM", "DPM++", "Student")
"""Series whose colours are the same in all reports; any other takes the next free one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """How a series is drawn.

    Attributes:
      name: of its colour in the page's style sheet.
      colour: the same as a hexadecimal number.
      marker: of its points.
      size: of the marker, in points.
      outline: the marker as an SVG path around the origin.
      width: of its line, in points.
    """

    name: str
    colour: str
    marker: str
    size: float
    outline: str
    width: float = 1.7


def styles(results: Results) -> dict[str, Style]:
    """The style of every series of ``results``, by ``Result.series``."""
    original = results.original.series if results.original else None
    grey = {results.linear.series: _style("linear", LINEAR, 0)}
    if original is not None:
        grey[original] = _style("original", ORIGINAL, 1)
    others = [name for name in dict.fromkeys(result.series for result in results.methods) if name not in grey]
    order = (*RESERVED, *(name for name in others if name not in RESERVED))
    # The second round through the colours moves the markers on by one: 36 series differ.
    coloured = {
        name: _style(f"c{i % len(COLOURS)}", COLOURS[i % len(COLOURS)], i + i // len(COLOURS), WIDTHS.get(name, 1.7))
        for i, name in enumerate(order)
    }
    return grey | {name: coloured[name] for name in others}


def style(results: Results, result: Result) -> Style:
    """How one method is drawn."""
    return styles(results)[result.series]


def plain(figure: Figure, *, printed: bool = True) -> None:
    """Takes the text of a figure for what it is: a name may hold dollar signs, which are no formulas.

    Args:
      figure: with all its text.
      printed: whether it becomes a picture, whose text is then ``legible`` and keeps lines off by a white rim; a page
        does that by its styles.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if printed:
            text.set_text(legible(text.get_text()))
            text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])


def legible(text: str) -> str:
    """Text for a picture: what its font lacks, such as Chinese, becomes a question mark, a line break a space."""
    return "".join(c if ord(c) in _glyphs() else " " if c.isspace() else "?" for c in text)


@functools.cache
def _glyphs() -> set[int]:
    """The characters that the font of figures has both upright and bold."""
    upright, bold = (
        font_manager.get_font(font_manager.findfont(font_manager.FontProperties(weight=weight))).get_charmap().keys()
        for weight in ("normal", "bold")
    )
    return upright & bold


def _style(name: str, colour: str, marker: int, width: float = 1.7) -> Style:
    symbol, size, outline = MARKERS[marker % len(MARKERS)]
    return Style(name=name, colour=colour, marker=symbol, size=size, outline=outline, width=width)
