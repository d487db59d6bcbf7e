"""``runs/index.html``: a row for every run that has a report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sar2opt_jax import paths
from sar2opt_jax.evaluation.results import QUANTITIES
from sar2opt_jax.report.tables import number, significant

DIRECTORY = "runs"
"""Only a folder of this name gets an index: the file would be litter in any other."""
SHOWN = ("psnr", "ssim", "lpips_alexnet", "colour_shift", "sharpness")


class RunEntry(NamedTuple):
    """A run: where its report is, who wins, and the headline method's numbers as text."""

    name: str
    link: str
    title: str
    facts: dict[str, str]
    verdict: str
    method: str
    numbers: tuple[str, ...]


def write(runs: Path) -> None:
    """Writes ``index.html`` into ``runs``, if that is what the folder is called."""
    if runs.name != DIRECTORY:
        return
    from sar2opt_jax.report import page

    entries = list(_entries(runs))
    paths.write_text(runs / "index.html", page.render_index(entries, heads=[QUANTITIES[key].head for key in SHOWN]))


def _entries(runs: Path) -> Iterable[RunEntry]:
    """The complete reports below ``runs``, the latest first."""
    found = []
    for path in runs.glob("*/report/results.json"):
        content = paths.read_json(path)
        if isinstance(content, dict) and isinstance(content.get("about"), dict) and content.get("results"):
            found.append((path, content))
    for path, content in sorted(found, key=lambda item: item[1]["about"].get("Date", ""), reverse=True):
        run = path.parents[1].name
        headline = _headline(content)
        steps = f", {headline['steps']:,} steps" if (headline.get("steps") or 0) > 1 else ""
        numbers = [number(headline.get(key), QUANTITIES[key].digits) for key in SHOWN]
        yield RunEntry(
            name=run,
            link=f"{quote(run)}/report/report.html",
            title=content["about"].get("Run", run),
            facts={key: content["about"].get(key, "") for key in ("Dataset", "Date", "Commit", "Device")},
            verdict=(content.get("verdict") or {}).get("lead", ""),
            method=f"{headline['method']}{steps}",
            numbers=(
                *numbers,
                significant(headline.get("ms_per_image")),
                significant(headline.get("speed_up"), suffix="×"),
            ),
        )


def _headline(content: dict[str, Any]) -> dict[str, Any]:
    """The row of the report's headline method; of reports that do not name it, the last one."""
    rows = content["results"]
    return rows[content.get("headline", len(rows) - 1)]
