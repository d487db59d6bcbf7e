"""What is printed of a prepared dataset."""

import json
import textwrap
from pathlib import Path

import tensorflow_datasets as tfds

from tfds_builders.bad_files import counted, shown
from tfds_builders.builder import report_path, share_line
from tfds_builders.splits import SPLITS


def summary(builder: tfds.core.DatasetBuilder) -> str:
    """A table of the splits, with scenes, rules, audit and statistics where the builder has them."""
    info = builder.info
    metadata = info.metadata or {}
    scenes = metadata.get("scenes", {})
    pairs = {name: split.num_examples for name, split in info.splits.items()}
    total = sum(pairs.values())
    lines = [
        f"{info.full_name}: {info.dataset_size} in {shown(builder.data_dir)}",
        f"{'split':<12}{'pairs':>10}{'share':>9}{'scenes':>10}",
    ]
    for name in dict.fromkeys((*SPLITS, *pairs)):
        count = pairs.get(name, 0)
        empty = "" if count else "   empty: too few scenes, or none of this split"
        lines.append(f"{name:<12}{count:>10}{count / total:>9.1%}{scenes.get(name, '' if count else 0):>10}{empty}")
    lines.append(f"{'all':<12}{total:>10}{'':>9}{sum(scenes.values()) if scenes else '':>10}")
    lines += [_wrapped(f"{what}: {rule}") for what, rule in metadata.get("rules", {}).items()]
    for kind, values in metadata.get("statistics", {}).items():
        mean, deviation = (" ".join(f"{value:.1f}" for value in values[name]) for name in ("mean", "std"))
        lines.append(f"{kind} of 0 .. 255: mean {mean}, standard deviation {deviation}")
        lines += [share_line(kind, band, share) for band, share in enumerate(values.get("values", ()), start=1)]
    lines += metadata.get("notes", [])
    if (report := report_path(builder)).exists():
        lines += _audit_lines(report)
    return "\n".join(lines)


def _audit_lines(path: Path) -> list[str]:
    report = json.loads(path.read_text())
    left_out = f"; {counted(len(report['left_out']), 'file or pair', 'files or pairs')} left out"
    left_out = f"{left_out if report['left_out'] else ''}; see {shown(path)}"
    if not report["compared"] and report["clean"]:
        return [f"audit: nothing was compared, as only one split has images that are not of one colour{left_out}"]
    found = "clean" if report["clean"] else "NOT CLEAN"
    lines = [
        f"audit: {found}, {counted(len(report['shared_scenes']), 'scene')} and "
        f"{counted(len(report['near_duplicates']), 'image')} in several splits, by "
        f"{counted(report['compared'], 'comparison')}{left_out}"
    ]
    if "cannot_see" in report:
        lines.append(_wrapped(f"the audit does not see {report['cannot_see']}"))
    return lines


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
