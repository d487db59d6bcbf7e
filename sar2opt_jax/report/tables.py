"""The tables of a report, as text and independent of how a page or a Markdown file sets them."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sar2opt_jax.evaluation.results import PER_IMAGE, QUANTITIES, Quantity, Result, Results, steps_text
from sar2opt_jax.report import selection
from sar2opt_jax.report.styles import Style, styles

KINDS = {"linear": "Linear", "generator": "GAN baselines", "teacher": "Teacher", "student": "Student"}
"""Sections of a table, in their order."""
GROUP_QUANTITIES = (("psnr",), (*selection.LEARNED, "ssim"), ("colour_shift",))
"""What is shown by season and terrain: the first of each that was measured."""
_SPEED = (
    ("ms_per_image", "ms per image", "lower", ""),
    ("images_per_second", "Images per second", "higher", ""),
    ("speed_up", "Speed-up", "higher", "×"),
)
_MINUS = str.maketrans("-", "−")


class Cell(NamedTuple):
    """A value as text, what is said beside it in small print, and whether it is the best of its column."""

    text: str
    note: str = ""
    best: bool = False


class ColumnHead(NamedTuple):
    """What a column holds, and a second line to it."""

    text: str
    note: str = ""


class Row(NamedTuple):
    """What a row is about, how that is drawn in figures, and its cells."""

    label: str
    style: Style | None
    cells: tuple[Cell, ...]


class Section(NamedTuple):
    """Rows that belong together; without a title where there is only one section."""

    title: str
    rows: tuple[Row, ...]


class Table(NamedTuple):
    """A title, the heads of all columns (that of the labels first), and the rows."""

    title: str
    heads: tuple[ColumnHead, ...]
    sections: tuple[Section, ...]


def rows_of(results: Results) -> list[dict[str, Any]]:
    """One dict a method, the linear baseline first; what does not apply is None.

    Every quantity stands under its key of ``results.QUANTITIES``, as it is shown, and those that are means over images
    have the ends of their bootstrap interval in ``..._low`` and ``..._high``. ``psnr_minus_original`` is the mean
    difference to the original, image by image.
    """
    original = results.original
    table = []
    for result in results.all:
        row: dict[str, Any] = {
            "method": results.title(result),
            "network": result.name,
            "kind": result.kind,
            "sampler": result.sampler,
            "steps": result.num_steps or None,
        }
        for key in results.quantities:
            row[key] = results.value(result, key) if key in {*result.metrics, *result.distances} else None
            if key in PER_IMAGE:
                row |= _ends(key, results.interval(result, key))
            if key == "psnr":
                row |= _against_original(results, result if result is not original else None)
        row["ms_per_image"] = result.ms_per_image
        row["images_per_second"] = result.images_per_second
        row["speed_up"] = results.speed_up(result)
        table.append(row)
    return table


def quality(results: Results, rows: Sequence[Mapping[str, Any]]) -> Table:
    """All methods and all that was measured of their translations, with intervals, of the ``rows_of`` the results."""
    columns = []
    for key, quantity in results.quantities.items():
        columns.append(_column(rows, key, quantity))
        if key == "psnr" and any(row["psnr_minus_original"] is not None for row in rows):
            difference = dataclasses.replace(quantity, label="PSNR − original")
            columns.append(_column(rows, "psnr_minus_original", difference, sign=True))
    return _by_kind(results, "Quality of all methods", columns)


def latency(results: Results, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """How long every method takes for an image; None where nothing was timed."""
    columns = []
    for key, head, better, suffix in _SPEED:
        if any(row[key] is not None for row in rows):
            values = [row[key] for row in rows]
            marks = selection.best(values, Quantity(label=head, better=better, digits=3, meaning=""))
            cells = [
                Cell(significant(value, suffix=suffix), best=mark) for value, mark in zip(values, marks, strict=True)
            ]
            columns.append((head, cells))
    timed = {id(r) for r in results.all if r.ms_per_image is not None or r.images_per_second is not None}
    return _by_kind(results, "Speed of all methods", columns, only=timed) if columns else None


def by_group(results: Results, *, figure_steps: int) -> dict[str, list[Table]]:
    """For every way of grouping that has two groups or more, tables of ``GROUP_QUANTITIES``.

    A row is a group with its number of images, a column one of ``selection.compared``; the last row has all images.
    """
    methods = selection.compared(results, figure_steps=figure_steps)
    heads = [ColumnHead(results.title(result), steps_to_choose(result)) for result in methods]
    tables: dict[str, list[Table]] = {}
    for grouping, groups in results.groups.items():
        names = sorted(set(groups))
        if len(names) < 2:
            continue
        members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
        for key in filter(None, (selection.first_measured(results, keys) for keys in GROUP_QUANTITIES)):
            rows = [
                Row(name, None, (Cell(f"{len(where):,}"), *_across(results, methods, key, where=where)))
                for name, where in (*members.items(), ("All", list(range(len(groups)))))
            ]
            table = Table(
                QUANTITIES[key].head,
                (ColumnHead(grouping.capitalize()), ColumnHead("Images"), *heads),
                (Section("", tuple(rows)),),
            )
            tables.setdefault(grouping, []).append(table)
    return tables


def method_text(results: Results, result: Result) -> str:
    """A method with its steps: ``Student, 4 steps``; the linear baseline and a generator have none to choose."""
    return ", ".join(filter(None, (results.title(result), steps_to_choose(result))))


def steps_to_choose(result: Result) -> str:
    """``4 steps``; nothing for the linear baseline and a generator, which have none to choose."""
    return "" if result.kind in ("linear", "generator") else steps_text(result.num_steps)


def called(results: Results, result: Result) -> str:
    """Inside a sentence: ``the original in 1,000 steps``, ``DDIM in 4 steps``, ``the linear baseline``."""
    title, steps = results.title(result), steps_to_choose(result)
    if result is results.original or result is results.linear or result.name == "student":
        title = f"the {title.lower()}"
    return f"{title} in {steps}" if steps else title


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number for a reader: nothing where it does not apply, words or ∞ where it is not finite."""
    if value is None:
        return ""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return format(value, f"{'+' if sign else ''},.{digits}f").translate(_MINUS)


def interval_text(interval: tuple[float | None, float | None] | None, digits: int, *, sign: bool = False) -> str:
    """``17.52 to 18.66``; nothing where there is no interval."""
    if interval is None or None in interval:
        return ""
    return " to ".join(number(end, digits, sign=sign) for end in interval)


def significant(value: float | None, *, suffix: str = "") -> str:
    """A duration or a ratio with at least two figures: 6,559 and 12.3 and 0.79."""
    if value is None:
        return ""
    return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2) + suffix


def _against_original(results: Results, result: Result | None) -> dict[str, float | None]:
    if result is None or results.original is None:
        return {"psnr_minus_original": None, "psnr_minus_original_low": None, "psnr_minus_original_high": None}
    # A PSNR is infinite where a translation equals the truth, such as an image without data.
    with np.errstate(invalid="ignore"):
        difference = np.mean(results.per_image(result, "psnr") - results.per_image(results.original, "psnr"))
    interval = results.interval(result, "psnr", against=results.original)
    return {"psnr_minus_original": float(difference), **_ends("psnr_minus_original", interval)}


def _ends(key: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{key}_low": low, f"{key}_high": high}


def _column(
    rows: Sequence[Mapping[str, Any]], key: str, quantity: Quantity, *, sign: bool = False
) -> tuple[str, list[Cell]]:
    """Head and cells of a quantity that stands in the rows under ``key``."""
    values = [row[key] for row in rows]
    cells = [
        Cell(
            number(value, quantity.digits, sign=sign),
            interval_text((row.get(f"{key}_low"), row.get(f"{key}_high")), quantity.digits, sign=sign),
            mark,
        )
        for row, value, mark in zip(rows, values, selection.best(values, quantity), strict=True)
    ]
    return quantity.head, cells


def _across(results: Results, methods: Sequence[Result], key: str, *, where: Sequence[int]) -> list[Cell]:
    """One quantity of some methods, over some images."""
    quantity = QUANTITIES[key]
    values = [results.value(result, key, where=where) for result in methods]
    marks = selection.best(values, quantity)
    return [Cell(number(value, quantity.digits), best=mark) for value, mark in zip(values, marks, strict=True)]


def _by_kind(
    results: Results, title: str, columns: Sequence[tuple[str, Sequence[Cell]]], *, only: Collection[int] | None = None
) -> Table:
    """A table with a section for each kind of network and a row for each method, or for ``only`` some, by ``id``."""
    looks = styles(results)
    rows: dict[str, list[Row]] = {}
    for i, result in enumerate(results.all):
        if only is None or id(result) in only:
            steps = Cell(f"{result.num_steps:,}" if result.num_steps else "")
            cells = (steps, *(cells[i] for _, cells in columns))
            rows.setdefault(result.kind, []).append(Row(results.title(result), looks[result.series], cells))
    order = sorted(rows, key=lambda kind: list(KINDS).index(kind) if kind in KINDS else len(KINDS))
    sections = tuple(Section(KINDS.get(kind, kind.capitalize()), tuple(rows[kind])) for kind in order)
    return Table(
        title, (ColumnHead("Method"), ColumnHead("Steps"), *(ColumnHead(head) for head, _ in columns)), sections
    )
