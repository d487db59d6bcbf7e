"""Which of somebody's own files belong together: by two folders, or by a table."""

import csv
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tfds_builders import files, splits
from tfds_builders.imagery import FOREIGN_SUFFIXES, SUFFIXES

TABLE = "pairs.csv"
COLUMNS = ("sar", "optical", "id", "scene", "season", "terrain", "split")
"""Of the table; only the first two are needed."""
EXPECTED = (
    "the folders sar and optical with the same file names in both (sar/SCENE/NAME.tif with optical/SCENE/NAME.png), "
    f"or a table {TABLE} with the columns sar and optical"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The pairs of a folder.

    Attributes:
        pairs: sorted by id.
        bad: what cannot be used, from the names alone.
        splits: the split of each pair by its id, where the table states them.
        lone: whether every pair is taken for a scene of its own, as nothing says which belong together.
    """

    pairs: list[files.Pair]
    bad: list[files.BadFile]
    splits: Mapping[str, str] | None = None
    lone: bool = False


def find(root: Path, *, scene_regex: str | None = None) -> Found:
    """Pairs by the table ``pairs.csv`` if there is one, else by the folders ``sar`` and ``optical``.

    Raises:
        ValueError: the table has wrong columns, or names scenes that ``scene_regex`` is to find.
        FileNotFoundError: neither is there.
    """
    if (root / TABLE).exists():
        return _by_table(root, scene_regex)
    if (root / "sar").is_dir() and (root / "optical").is_dir():
        return _by_folders(root, scene_regex)
    names = sorted(path.name for path in root.iterdir())
    there = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise FileNotFoundError(f"No pairs under {root}, which holds {there}: expected {EXPECTED}.")


def _by_folders(root: Path, scene_regex: str | None) -> Found:
    def layout(path: Path) -> files.Patch | None:
        kind, *place = path.relative_to(root).parts
        if kind not in files.KINDS or not place or path.suffix.lower() not in SUFFIXES + FOREIGN_SUFFIXES:
            return None
        name = "/".join([*place[:-1], path.stem])
        return files.Patch(kind, name, scene=place[0] if len(place) > 1 else name)

    pairs, bad = files.find_pairs(root, layout)
    if scene_regex is not None:
        return _with_scenes(pairs, bad, scene_regex)
    return Found(pairs=pairs, bad=bad, lone=all(pair.patch.scene == pair.patch.id for pair in pairs))


def _with_scenes(pairs: list[files.Pair], bad: list[files.BadFile], scene_regex: str) -> Found:
    """The pairs with their scenes from their ids; those without are bad."""
    named = []
    for pair in pairs:
        scene = _scene(pair.patch.id, scene_regex)
        if scene is None:
            reason = f"no scene in {pair.patch.id!r} by --scene_regex={scene_regex}"
            bad += [files.BadFile(pair.path(kind), reason) for kind in files.KINDS]
        else:
            named.append(dataclasses.replace(pair, patch=pair.patch._replace(scene=scene)))
    return Found(pairs=named, bad=bad)


def _scene(name: str, scene_regex: str) -> str | None:
    match = re.search(scene_regex, name)
    return None if match is None else (match[1] if match.re.groups else match[0]) or None


def _by_table(root: Path, scene_regex: str | None) -> Found:
    path = root / TABLE
    lines = _rows(path)
    columns = next(lines)[1]
    if not {"sar", "optical"} <= columns.keys() or not columns.keys() <= set(COLUMNS):
        raise ValueError(
            f"{path} has the columns {', '.join(columns)}; expected are sar and optical, and if wanted "
            f"{', '.join(COLUMNS[2:])}."
        )
    if scene_regex is not None and "scene" in columns:
        raise ValueError(f"{path} names the scenes in its column scene; --scene_regex is for tables without it.")

    pairs: dict[str, files.Pair] = {}
    bad, given = [], {}
    for line, row in lines:
        name = row.get("id") or row["sar"].removesuffix(Path(row["sar"]).suffix)
        reason = None
        if not (row["sar"] and row["optical"]):
            reason = "no path to a SAR and an optical image"
        elif name in pairs:
            reason = f"the id {name!r} stands in an earlier line; a column id can tell the pairs apart"
        elif "split" in columns and row["split"] not in splits.SPLITS:
            reason = f"split {row['split']!r}, expected one of {', '.join(splits.SPLITS)}"
        if reason is not None:
            bad.append(files.BadFile(path, f"line {line}: {reason}"))
            continue
        patch = files.Patch("sar", name, row.get("scene") or name, row.get("season", ""), row.get("terrain", ""))
        pairs[name] = files.Pair(patch=patch, sar=root / row["sar"], optical=root / row["optical"])
        given[name] = row.get("split", "")

    found = [pair for _, pair in sorted(pairs.items())]
    if scene_regex is not None:
        result = _with_scenes(found, bad, scene_regex)
    else:
        result = Found(pairs=found, bad=bad, lone=all(pair.patch.scene == pair.patch.id for pair in found))
    return dataclasses.replace(result, splits=given) if "split" in columns else result


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a table with their numbers, each by the names of its columns; the first one is that of the names.

    Raises:
        ValueError: it is no table of comma-separated values in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            columns = [word.strip() for word in next(lines, [])]
            if len(set(columns)) < len(columns):
                raise ValueError(f"{path} has two columns of one name: {', '.join(columns)}.")
            yield 1, dict.fromkeys(columns, "")
            for cells in lines:
                if not any(cells):
                    continue
                if len(cells) != len(columns):
                    raise ValueError(f"{path}, line {lines.line_num}: {len(cells)} cells, expected {len(columns)}.")
                yield lines.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not comma-separated text in UTF-8: {error}.") from None
