"""Which of somebody's own files belong together: by two folders, or by a table."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tfds_builders import files, finding, splits
from tfds_builders.bad_files import BadFile, shown
from tfds_builders.finding import folded
from tfds_builders.imagery import SUFFIXES
from tfds_builders.pairs import table
from tfds_builders.pairs.names import SPLIT_FOLDERS, is_time, same_location

EXPECTED = (
    "the folders sar and optical with the same file names in both (sar/SCENE/NAME.tif with optical/SCENE/NAME.png), "
    f"or a table {table.NAME} with the columns sar and optical"
)
_SHOWN = 5  # names in a sentence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The pairs of a folder.

    Attributes:
        pairs: sorted by id.
        bad: what cannot be used, from the names alone.
        splits: the split of each pair by its id, where the table or folders state them.
        lone: whether every pair is taken for a scene of its own, as nothing says which belong together.
        scene_rule: what made the scenes, in words.
        split_rule: what stated the splits, in words.
        table: the table, where there is one.
    """

    pairs: list[files.Pair]
    bad: list[BadFile]
    splits: Mapping[str, str] | None = None
    lone: bool = False
    scene_rule: str = "every pair by itself, as nothing says which belong together"
    split_rule: str = ""
    table: Path | None = None


def find(root: Path, *, scene_regex: str | None = None) -> Found:
    """Pairs by the table ``pairs.csv`` if there is one, else by the folders ``sar`` and ``optical``.

    Raises:
        ValueError: the table has wrong columns, or names scenes that ``scene_regex`` is to find; only some folders are
            named like splits; both folders are one.
        FileNotFoundError: neither is there.
    """
    if (path := table.table_of(root)) is not None:
        return _by_table(root, path, scene_regex)
    if any(_has_both(folder) for folder in (root, *_split_folders(root))):
        return _by_folders(root, scene_regex)
    names = sorted(path.name for path in root.iterdir())
    there = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise FileNotFoundError(f"No pairs under {root}, which holds {shown(there)}: expected {EXPECTED}.{_nearby(root)}")


def _has_both(folder: Path) -> bool:
    kinds = [path for path in folder.iterdir() if folded(path.name) in files.KINDS and path.is_dir()]
    if len({folded(path.name) for path in kinds}) < 2:
        return False
    if len({path.resolve() for path in kinds}) < 2:
        raise ValueError(
            f"{kinds[0]} and {kinds[1]} are one folder, expected radar images in one, optical in the other."
        )
    return True


def _split_folders(root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if folded(path.name) in SPLIT_FOLDERS and path.is_dir()]


def _nearby(root: Path) -> str:
    """A hint, where a subfolder or a file under another name is what was meant."""
    for path in (root.resolve().parent, *sorted(root.iterdir())):
        if path.is_dir() and not path.name.startswith("."):
            try:
                if table.table_of(path) is not None or any(map(_has_both, (path, *_split_folders(path)))):
                    return f" They are in {path}: give --manual_dir={path}."
            except (OSError, ValueError):
                continue
        elif folded(path.name).startswith("pairs.") and folded(path.name) != table.NAME:
            return f" Save {path.name} as {table.NAME}, comma-separated text in UTF-8."
    return ""


def _by_folders(root: Path, scene_regex: str | None) -> Found:
    def layout(path: Path) -> files.Patch | None:
        first, *place = path.relative_to(root).parts
        split = ()
        if folded(first) in SPLIT_FOLDERS and len(place) > 1:  # train/sar/NAME.png
            split, (first, *place) = (first,), place
        kind = folded(first)
        if kind not in files.KINDS or not place or path.suffix.lower() not in SUFFIXES:
            return None
        name = "/".join([*split, *place[:-1], path.stem])
        return files.Patch("sar" if kind == "sar" else "optical", name, scene=name)

    pairs, bad = finding.find_pairs(root, layout)
    stated, rule = _stated_by_folders(pairs)
    found = _with_scenes(pairs, bad, scene_regex) if scene_regex is not None else _by_subfolders(pairs, bad)
    return dataclasses.replace(found, splits=stated, split_rule=rule)


def _stated_by_folders(pairs: Sequence[files.Pair]) -> tuple[Mapping[str, str] | None, str]:
    """The splits, where all pairs lie in folders that are named like splits, and the rule.

    Raises:
        ValueError: only some lie in such folders, or one lies in those of two splits.
    """
    stated: dict[str, str] = {}
    used: dict[str, str] = {}
    others = set()
    for pair in pairs:
        folders = PurePosixPath(pair.patch.id).parts[:-1]
        named = {folder: SPLIT_FOLDERS[folded(folder)] for folder in folders if folded(folder) in SPLIT_FOLDERS}
        if len(set(named.values())) > 1:
            raise ValueError(f"{shown(pair.sar)} lies in the folders of two splits, {' and '.join(named)}.")
        if named:
            used |= named
            [stated[pair.patch.id]] = set(named.values())
        else:
            others.add(folders[0] if folders else PurePosixPath(pair.patch.id).name)
    if not stated:
        return None, ""
    if others:
        raise ValueError(
            f"The folders {_listed(used)} are named like splits, but other pairs lie beside them ({_listed(others)}): "
            f"sort all pairs into train, validation and test, rename these folders, or state scenes and splits in "
            f"{table.NAME}."
        )
    spelled = ", ".join(f"{folder} -> {split}" if folder != split else folder for folder, split in sorted(used.items()))
    return stated, f"as the folders say: {spelled}"


def _by_subfolders(pairs: Sequence[files.Pair], bad: list[BadFile]) -> Found:
    """Scenes by the first folder that is no split; the same ground in several seasons is one scene."""
    split_free = {
        pair.patch.id: [part for part in _folders(pair.patch.id) if folded(part) not in SPLIT_FOLDERS] for pair in pairs
    }
    seasons = _seasons(split_free, pairs)
    scenes, lone, sorted_in = {}, {}, set()
    for pair in pairs:
        name = pair.patch.id
        folders = split_free[name][1:] if name in seasons else split_free[name]
        if folders:
            scenes[name] = folders[0]
            sorted_in.add(folders[0])
        else:
            lone[name] = PurePosixPath(name).name if name in seasons else name
    merged = {**same_location(set(scenes.values())), **same_location(set(lone.values()))}
    of = {name: merged.get(scene, scene) for name, scene in (scenes | lone).items()}

    named = [
        dataclasses.replace(pair, patch=pair.patch._replace(scene=of[name], season=seasons.get(name, "")))
        for pair in pairs
        for name in [pair.patch.id]
    ]
    if not scenes:
        rule = Found.scene_rule
    elif lone:
        rule = f"the first folder below sar and optical ({_listed(sorted_in)}), and pairs without one by themselves"
    else:
        rule = f"the first folder below sar and optical ({_listed(sorted_in)})"
    if seasons:
        rule += (
            f"; {_listed(set(seasons.values()))} hold the same file names and are taken for seasons of the same ground"
        )
    if merged:
        rule += f"; season and date in a name are passed over, {_listed(merged)} are one scene"
    return Found(pairs=named, bad=bad, lone=bool(pairs) and not scenes, scene_rule=rule)


def _folders(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts[:-1]


def _seasons(split_free: Mapping[str, Sequence[str]], pairs: Sequence[files.Pair]) -> dict[str, str]:
    """The season of each pair by its id, where all first folders are named like times and hold the same names.

    Without the same names they may be acquisitions of different ground: then they are scenes.
    """
    firsts = {name: folders[0] if folders else "" for name, folders in split_free.items()}
    if len(set(firsts.values())) < 2 or not all(map(is_time, firsts.values())):
        return {}
    below = collections.defaultdict(set)
    for pair in pairs:
        name = pair.patch.id
        below["/".join([*split_free[name][1:], PurePosixPath(name).name])].add(firsts[name])
    shared = sum(len(times) for times in below.values() if len(times) > 1)
    return firsts if shared >= len(firsts) / 2 else {}


def _with_scenes(pairs: list[files.Pair], bad: list[BadFile], scene_regex: str) -> Found:
    """The pairs with their scenes from their ids; those without are bad."""
    named = []
    for pair in pairs:
        scene = _scene(pair.patch.id, scene_regex)
        if scene is None:
            reason = f"no scene in {pair.patch.id!r} by --scene_regex={scene_regex}"
            bad += [BadFile(pair.path(kind), reason) for kind in files.KINDS]
        else:
            named.append(dataclasses.replace(pair, patch=pair.patch._replace(scene=scene)))
    return Found(pairs=named, bad=bad, scene_rule=f"by --scene_regex={scene_regex}")


def _scene(name: str, scene_regex: str) -> str | None:
    match = re.search(scene_regex, name)
    return None if match is None else (match[1] if match.re.groups else match[0]) or None


def _by_table(root: Path, path: Path, scene_regex: str | None) -> Found:
    columns, lines = table.rows(path)
    if scene_regex is not None and "scene" in columns:
        raise ValueError(f"{path} names the scenes in its column scene; --scene_regex is for tables without it.")

    pairs: dict[str, files.Pair] = {}
    bad, given = [], {}
    disk = table.Files(root)
    for line, row in lines:
        try:
            pair, split = _pair_of_row(row, disk)
            name = pair.patch.id
            if name in pairs:
                raise ValueError(f"the id {name!r} stands in an earlier line; a column id can tell the pairs apart")
        except ValueError as error:
            bad.append(BadFile(path, f"line {line}: {error}"))
        else:
            pairs[name], given[name] = pair, split

    found = [pair for _, pair in sorted(pairs.items())]
    if scene_regex is not None:
        result = _with_scenes(found, bad, scene_regex)
    elif "scene" in columns:
        lone = all(pair.patch.scene == pair.patch.id for pair in found)
        result = Found(pairs=found, bad=bad, lone=lone, scene_rule=f"the column scene of {table.NAME}")
    else:
        merged = same_location({pair.patch.id for pair in found})
        found = [
            dataclasses.replace(pair, patch=pair.patch._replace(scene=merged.get(pair.patch.id, pair.patch.id)))
            for pair in found
        ]
        rule = Found.scene_rule
        if merged:
            rule += f"; season and date in an id are passed over, {_listed(merged)} are one scene"
        result = Found(pairs=found, bad=bad, lone=True, scene_rule=rule)
    result = dataclasses.replace(result, table=path)
    if "split" in columns:
        result = dataclasses.replace(result, splits=given, split_rule=f"the column split of {table.NAME}")
    return result


def _pair_of_row(row: Mapping[str, str], disk: table.Files) -> tuple[files.Pair, str]:
    """The pair and the split that a line states.

    Raises:
        ValueError: what is wrong with the line.
    """
    if not (row["sar"] and row["optical"]):
        raise ValueError("no path to a SAR and an optical image")
    sar, optical = disk.find(row["sar"]), disk.find(row["optical"])
    if sar == optical:
        raise ValueError(f"{row['sar']!r} is stated as SAR and as optical image")
    split = row.get("split", "")
    if "split" in row:
        split = {"val": "validation"}.get(split.lower(), split.lower())
        if split not in splits.SPLITS:
            raise ValueError(f"split {row['split']!r}, expected one of {', '.join(splits.SPLITS)}")
    name = row.get("id") or disk.name(sar)
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise ValueError(f"the id {name!r} leads out of a folder, expected a name")
    patch = files.Patch("sar", name, row.get("scene") or name, row.get("season", ""), row.get("terrain", ""))
    return files.Pair(patch=patch, sar=sar, optical=optical), split


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN:,} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more
