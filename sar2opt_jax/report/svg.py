"""Figures as SVG elements of a page, which take its fonts and, in the dark, its colours."""

import io
import re
import warnings

import matplotlib as mpl
from matplotlib.figure import Figure

from sar2opt_jax.report.styles import COLOURS, FAINT, GREY, INK, LINEAR, ORIGINAL

VARIABLES = {
    INK: "ink",
    GREY: "muted",
    FAINT: "faint",
    ORIGINAL: "original",
    LINEAR: "linear",
    "#ffffff": "ground",
    **{colour: f"c{i}" for i, colour in enumerate(COLOURS)},
}
"""The page's variable for each colour of a figure."""


def element(figure: Figure, *, name: str, description: str) -> str:
    """A figure as an ``svg`` element.

    Args:
      figure: what to draw.
      name: unlike that of every other figure on the page: it begins its identifiers.
      description: for those who cannot see it; plain text, not yet escaped.
    """
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # The text stays text: the page's fonts have what the figure's lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = file.getvalue()
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<\?xml.*?\?>|<!DOCTYPE.*?>", "", text, flags=re.S
    )
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\1{name}-", text).replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        text = re.sub(rf"{colour}\b", f"var(--{variable})", text, flags=re.I)
    text = re.sub(r"font: (?:(\d+|bold) )?([\d.]+px)[^;\"]*", lambda m: f"font-size: {m[2]}{_weight(m[1])}", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    box = re.search(r'viewBox="[^"]+"', text)
    body = re.sub(r"<svg.*?>", "", text, count=1, flags=re.S).strip()
    label = description.translate(str.maketrans({"&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;"}))
    return f'<svg class="chart" role="img" aria-label="{label}" {box[0] if box else ""}>{body}'


def _weight(weight: str | None) -> str:
    return f"; font-weight: {weight}" if weight else ""
