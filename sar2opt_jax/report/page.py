"""The report as one HTML file that holds all it shows: styles, figures and images."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image

from sar2opt_jax.evaluation.results import QUANTITIES, Result, Results
from sar2opt_jax.metrics.colour import COLOUR_BLOCK
from sar2opt_jax.report import (
    curves,
    plots,
    selection,
    sheets,
    spread,
    story,
    styles,
    svg,
    tables,
    training,
    verdict,
    words,
)  # fmt: skip
from sar2opt_jax.report.about import About
from sar2opt_jax.report.sheets import Sheets

HERE = Path(__file__).parent
SMALL = 64
"""Images up to this side are stored without loss and enlarged pixel by pixel; larger ones as WebP."""
WEBP = {"quality": 88, "method": 4, "use_sharp_yuv": True}
"""Some 20 kB for 256 x 256 pixels. Chroma is halved, so it is computed with care for saturated edges."""
CHART_INCHES, SPEED_INCHES = (3.6, 2.7), (4.4, 3.4)
_BOLD, _EMPHASIS, _CODE = (re.compile(p) for p in (r"\*\*(.+?)\*\*", r"\*(.+?)\*", r"`(.+?)`"))


def render(
    results: Results,
    about: About,
    rows: Sequence[Mapping[str, Any]],
    pictures: Sheets,
    *,
    figure_steps: int,
) -> str:
    """report.html.

    Args:
      results: of an evaluation.
      about: what was evaluated, and on what.
      rows: of ``tables.rows_of``.
      pictures: the sheets of images.
      figure_steps: of DDIM and DPM++ in the figures.
    """
    steps_shown, speed_shown = plots.step_keys(results), plots.speed_keys(results)
    timed = any(result.ms_per_image for result in results.methods)
    judged = verdict.verdict(results)
    return _template("report.html.jinja").render(
        title=about.title,
        facts=[(name, value) for name, value in about.facts.items() if name != "Run"],
        verdict=judged,
        headline=tables.method_text(results, results.headline),
        headlines=story.headlines(results),
        opening=pictures.opening,
        caption=_caption(results),
        shown=words.shown(results, figure_steps=figure_steps),
        stepped=any(map(tables.steps_to_choose, results.methods)),
        block=COLOUR_BLOCK,
        original=results.original is not None,
        banded=len(results.ids) > 1,
        samplers=pictures.samplers,
        quality=tables.quality(results, rows),
        latency=tables.latency(results, rows),
        legend=_legend(results),
        step_charts=[_chart(results, key, curves.draw_steps, CHART_INCHES) for key in steps_shown],
        speed_charts=[_chart(results, key, curves.draw_speed, SPEED_INCHES) for key in speed_shown if timed],
        examples=pictures.examples,
        ranking=QUANTITIES[selection.ranking_key(results)].label,
        colours=pictures.colours,
        strip=_strip(results, figure_steps=figure_steps),
        spread=spread.text(results.spread) if results.spread else None,
        spread_chart=_spread_chart(results),
        groups=tables.by_group(results, figure_steps=figure_steps),
        training=training.table(about),
        training_charts=[
            Markup(svg.element(training.draw(panel, size=CHART_INCHES), name=f"training-{i}", description=panel.title))
            for i, panel in enumerate(training.panels(about.training))
        ],
        columns=words.columns(results),
        reading=words.reading(results),
        conventions=words.conventions(results),
        remarks=results.remarks,
        files=words.FILES,
        repeat=words.repeat(about) if about.command else None,
        commit=about.commit,
        changes=about.changes,
        citation=words.CITATION,
        confidence=f"{words.CONFIDENCE:.0%}",
        config=json.dumps(about.config, indent=2, sort_keys=True, default=str),
        networks={name: json.dumps(network, indent=2, sort_keys=True) for name, network in about.networks.items()},
        count=len(results.ids),
    )


def render_index(entries: Sequence[Any], *, heads: Sequence[str]) -> str:
    """index.html of a folder of runs.

    Args:
      entries: ``index.RunEntry`` of each run.
      heads: of the columns of numbers.
    """
    return _template("index.html.jinja").render(entries=entries, heads=heads)


def _template(name: str) -> jinja2.Template:
    """A template of this folder, with the styles and the script that pages carry in themselves."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sar2opt_jax.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )
    environment.filters |= {"inline": inline, "picture": picture, "small": lambda image: max(image.shape[:2]) <= SMALL}
    script = (HERE / "report.js").read_text(encoding="utf-8")
    environment.globals |= {
        "palette": {f"c{i}": colour for i, colour in enumerate(styles.COLOURS)},
        "style": Markup((HERE / "report.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template(name)


def inline(text: str) -> Markup:
    """Bold, emphasis and code of Markdown as HTML; all else is escaped."""
    escaped = str(escape(text))
    for pattern, tag in ((_CODE, "code"), (_BOLD, "strong"), (_EMPHASIS, "em")):
        escaped = pattern.sub(rf"<{tag}>\1</{tag}>", escaped)
    return Markup(escaped)


def picture(image: np.ndarray) -> str:
    """An image, [height, width, 3] uint8, as a data URI."""
    file = io.BytesIO()
    if max(image.shape[:2]) <= SMALL:
        kind, settings = "png", {"optimize": True}
    else:
        kind, settings = "webp", WEBP
    Image.fromarray(image).save(file, format=kind, **settings)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _caption(results: Results) -> str:
    """Which image the page opens with."""
    name = sheets.short(results.ids[selection.median(results)])
    if len(results.ids) == 1:
        return f"The only image: {name}."
    ranking = QUANTITIES[selection.ranking_key(results)].label
    headline = tables.method_text(results, results.headline)
    return f"The median of {len(results.ids):,} images by the {ranking} of {headline}: {name}."


def _chart(results: Results, key: str, draw: curves.Draw, size: tuple[float, float]) -> Markup:
    over = "the number of steps" if draw is curves.draw_steps else "the time for an image"
    quantity = QUANTITIES[key]
    named = ", ".join(dict.fromkeys(results.title(result) for result in results.methods))
    description = f"{quantity.head} over {over} for {named}. The numbers stand in the tables."
    figure = plots.panel(results, key, draw, size=size)
    return Markup(svg.element(figure, name=f"{draw.__name__}-{key}".replace("_", "-"), description=description))


def _spread_chart(results: Results) -> Markup | None:
    if results.spread is None:
        return None
    figure = spread.draw(results.spread, size=SPEED_INCHES, printed=False)
    description = f"{spread.TITLE}, for {results.spread.name}. The text says what it means."
    return Markup(svg.element(figure, name="uncertainty", description=description))


def _legend(results: Results) -> list[tuple[str, styles.Style, str]]:
    """Name and style of every series, and how it is drawn: as a ``line``, a ``point`` or a ``level``."""
    looks, linear = styles.styles(results), results.linear
    members: dict[str, list[Result]] = {}
    for result in results.methods:
        members.setdefault(result.series, []).append(result)
    entries = [
        (results.title(own[0]) if len(own) == 1 else name, looks[name], "point" if len(own) == 1 else "line")
        for name, own in members.items()
    ]
    return [*entries, (linear.series, looks[linear.series], "level")]


def _strip(results: Results, *, figure_steps: int) -> list[dict[str, Any]]:
    """The colour shift of the methods that stand for all, as lengths in percent of the longest."""
    if "colour_shift" not in results.quantities:
        return []
    looks, digits = styles.styles(results), QUANTITIES["colour_shift"].digits
    bars = []
    for result in selection.with_floor(results, figure_steps=figure_steps):
        value, interval = results.value(result, "colour_shift"), results.interval(result, "colour_shift")
        bars.append((result, value, interval))
    longest = (
        max((max((value, *(interval or ()))) for _, value, interval in bars if np.isfinite(value)), default=0) or 1
    )
    return [
        {
            "name": tables.method_text(results, result),
            "style": looks[result.series],
            "text": tables.number(value, digits),
            "interval": tables.interval_text(interval, digits),
            "length": f"{100 * value / longest:.1f}" if np.isfinite(value) else "0",
            "low": f"{100 * interval[0] / longest:.1f}" if interval else None,
            "width": f"{100 * (interval[1] - interval[0]) / longest:.1f}" if interval else None,
        }
        for result, value, interval in bars
    ]
