"""Writes a report for people: a page that opens from disk, figures, and the numbers for machines."""

import csv
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sar2opt_jax import paths
from sar2opt_jax.evaluation.results import PER_IMAGE, Results, Spread
from sar2opt_jax.evaluation.surroundings import surroundings
from sar2opt_jax.report import history
from sar2opt_jax.report.about import About, Change


def write(
    directory: Path,
    results: Results,
    *,
    title: str,
    dataset: str,
    split: str,
    config: Mapping[str, Any],
    changes: Sequence[Change] | None = None,
    command: str | None = None,
    networks: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    metrics: Path | None = None,
    figure_steps: int = 8,
    rows: int = 8,
) -> None:
    """Writes report.html, results.md, the figures, results.csv, per_image.csv and, last of all, results.json.

    Where results.json stands, the report is complete: that of an earlier report is removed before anything is replaced.
    ``runs/index.html`` then lists it, where the workdir lies in a folder called ``runs``.

    Args:
      directory: where to, ``report`` in a workdir; made if it does not exist, files of an earlier report are replaced.
      results: of an evaluation.
      title: what was evaluated, such as ``acd:simulated``.
      dataset: its name.
      split: which part of it.
      config: of the evaluation, the whole of it as plain JSON, kept in results.json.
      changes: the settings that differ from the config's preset; None where that is unknown.
      command: what was typed; None where it is unknown.
      networks: by name the description of each, as plain JSON: how it was trained, whatever the config says now.
      metrics: the ``metrics.jsonl`` of the run, for the curves of its training.
      figure_steps: the number of DDIM's and DPM++'s steps in figures that show images.
      rows: examples in figure 1, at most.
    """
    height, width = results.image_size
    facts = {
        "Run": title,
        "Dataset": f"{dataset}, split {split}",
        "Images": f"{len(results.ids):,} of {height} × {width} pixels",
        **surroundings(),
    }
    stages = history.read(metrics) if metrics is not None else ()
    about = About(
        title=title, facts=facts, config=config, changes=changes, command=command, networks=networks, training=stages
    )
    directory.mkdir(parents=True, exist_ok=True)
    paths.remove_leftovers(directory)
    with paths.temporary_path(directory) as unfinished:
        unfinished.mkdir()
        _write(unfinished, results, about, figure_steps=figure_steps, rows=rows)
        last = directory / "results.json"
        last.unlink(missing_ok=True)
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == last.name):
            os.replace(path, directory / path.name)
    # Late as well: it needs the tables, and they the styles of figures.
    from sar2opt_jax.report import index

    index.write(directory.resolve().parents[1])


def _write(directory: Path, results: Results, about: About, *, figure_steps: int, rows: int) -> None:
    """Writes all files of a report into an empty directory."""
    # Matplotlib and Jinja, which nothing before the end of an evaluation waits for.
    from sar2opt_jax.report import markdown, page, panels, plots, sheets, spread
    from sar2opt_jax.report.tables import rows_of
    from sar2opt_jax.report.verdict import verdict

    table = rows_of(results)
    pictures = sheets.make(results, figure_steps=figure_steps, rows=rows)
    figures = {
        "samplers.png": lambda: panels.draw(pictures.samplers),
        "steps.png": lambda: plots.steps(results),
        "speed.png": lambda: plots.speed(results),
        "examples.png": lambda: panels.draw(pictures.examples),
        "colour.png": lambda: panels.colour(pictures.colours, results, figure_steps=figure_steps),
    }
    measured = results.spread
    if measured is not None:
        figures["uncertainty.png"] = lambda: spread.draw(measured)
    for name, figure in figures.items():
        figure().savefig(directory / name)
    _write_csv(directory / "results.csv", list(table[0]), table)
    _write_csv(directory / "per_image.csv", _per_image_fields(results), _per_image(results))
    texts = {
        "results.md": markdown.render(results, about, table, figure_steps=figure_steps),
        "report.html": page.render(results, about, table, pictures, figure_steps=figure_steps),
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    content = {
        "about": about.facts,
        "verdict": verdict(results)._asdict(),
        "headline": results.all.index(results.headline),
        "command": about.command,
        "config": about.config,
        "networks": about.networks,
        "ids": list(results.ids),
        "groups": {name: list(groups) for name, groups in results.groups.items()},
        "remarks": list(results.remarks),
        "truth_sharpness": results.truth_sharpness.tolist(),
        "uncertainty": measured and _spread(measured),
        "results": [
            row | {"per_image": {key: results.per_image(result, key).tolist() for key in result.metrics}}
            for row, result in zip(table, results.all, strict=True)
        ],
    }
    (directory / "results.json").write_text(paths.to_json(content, indent=1) + "\n", encoding="utf-8")


def _spread(measured: Spread) -> dict[str, Any]:
    fields = dataclasses.asdict(measured.calibration)
    return {"method": measured.name} | {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()
    }


def _write_csv(path: Path, fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        writer.writeheader()
        writer.writerows(rows)


def _per_image_fields(results: Results) -> list[str]:
    measured = [key for key in results.quantities if key in PER_IMAGE]
    return ["method", "network", "sampler", "steps", "id", *results.groups, *measured]


def _per_image(results: Results) -> Iterable[dict[str, Any]]:
    """A row a method and image, with the numbers as they are shown."""
    for result in results.all:
        values = {
            key: results.per_image(result, key)
            for key in results.quantities
            if key in PER_IMAGE and key in result.metrics
        }
        method = {
            "method": results.title(result),
            "network": result.name,
            "sampler": result.sampler,
            "steps": result.num_steps or None,
        }
        for i, name in enumerate(results.ids):
            groups = {grouping: members[i] for grouping, members in results.groups.items()}
            yield {**method, "id": name, **groups, **{key: float(value[i]) for key, value in values.items()}}
