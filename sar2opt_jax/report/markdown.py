"""The report as a Markdown file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sar2opt_jax.evaluation.results import Results
from sar2opt_jax.report import sheets, spread, story, tables, training, verdict, words
from sar2opt_jax.report.about import About
from sar2opt_jax.report.tables import Cell, Table


def render(results: Results, about: About, rows: Sequence[Mapping[str, Any]], *, figure_steps: int) -> str:
    """results.md: the substance of the page, in text.

    Args:
      results: of an evaluation.
      about: what was evaluated, and on what.
      rows: of ``tables.rows_of``.
      figure_steps: of DDIM and DPM++ in the figures.
    """
    facts = [f"**{escape(name)}**: {escape(value)}" for name, value in about.facts.items() if name != "Run"]
    numbers = [
        f"**{escape(told.label)} {escape(told.value)}{' ' + told.unit if told.unit else ''}.** {escape(told.text)}"
        for told in story.headlines(results)
    ]
    opening = "The same radar images translated by each method; the first of the split, not chosen ones."
    intervals = f"In brackets: {words.CONFIDENCE:.0%} bootstrap intervals. " if len(results.ids) > 1 else ""
    judged, trained = verdict.verdict(results), training.table(about)
    parts = [
        f"# Results of {escape(about.title)}",
        f"**{escape(judged.lead)}** {escape(judged.text)}",
        _bullets(facts),
        _bullets(numbers),
        "![Translations by different samplers, side by side](samplers.png)",
        f"*{' '.join(filter(None, (opening, words.shown(results, figure_steps=figure_steps))))}*",
        "## Numbers",
        f"{intervals}Bold: the best of a column.",
        _table(tables.quality(results, rows)),
        "![Quality against the number of steps](steps.png)",
        "## Speed",
    ]
    speed = tables.latency(results, rows)
    parts += [_table(speed), "![Quality against the time for an image](speed.png)"] if speed else ["Nothing was timed."]
    parts += ["## Best, median and worst", "![Best, median and worst translations](examples.png)"]
    parts += [_bullets(escape(f"{title}: {detail}") for title, detail in sheets.example_rows(results))]
    parts += ["## Colour", "![Truth and translations as mean colours of areas](colour.png)"]
    if results.spread:
        parts += ["## Where the picture is invented", spread.text(results.spread)]
        parts += ["![Error of several translations against their deviation](uncertainty.png)"]
    for grouping, group_tables in tables.by_group(results, figure_steps=figure_steps).items():
        parts += [f"## By {escape(grouping)}"]
        for table in group_tables:
            parts += [f"**{table.title}**", _table(table)]
    parts += [
        "## What the columns mean",
        _bullets(words.columns(results)),
        "## How to read them",
        _bullets(words.reading(results)),
        "## Conventions",
        _bullets(words.conventions(results)),
    ]
    parts += ["## Remarks", _bullets(results.remarks)] if results.remarks else []
    parts += ["## Training", _table(trained)] if trained else []
    parts += ["## Repeat it", f"```sh\n{words.repeat(about)}\n```"] if about.command else []
    parts += [f"Beside this file: {'; '.join(f'{name}, {what}' for name, what in words.FILES.items())}."]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text that shows as it is: names may hold what Markdown or a browser would take for markup."""
    return re.sub(r"([\\`*_|<>\[\]&])", r"\\\1", " ".join(text.split()))


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(table: Table) -> str:
    """Aligned in the source too, names to the left, numbers to the right."""
    body = [[escape(row.label), *map(_cell, row.cells)] for section in table.sections for row in section.rows]
    header = [escape(", ".join(filter(None, head))) for head in table.heads]
    widths = [max(3, *(len(row[i]) for row in (header, *body))) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
        for cells in (header, rule, *body)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} ({cell.note})" if cell.note else text
