"""The table of somebody's own pairs, ``pairs.csv``, as spreadsheets and scripts write it."""

import codecs
import csv
import io
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from tfds_builders.finding import folded

NAME = "pairs.csv"
COLUMNS = ("sar", "optical", "id", "scene", "season", "terrain", "split")
"""Only the first two are needed."""
_DELIMITERS = ",;\t|"
_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def table_of(root: Path) -> Path | None:
    """The table in a folder, by its name in any case."""
    return next((path for path in sorted(root.iterdir()) if folded(path.name) == NAME and path.is_file()), None)


def rows(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The names of the columns, in lower case, and the lines with their numbers, each by these names.

    Separators are commas, semicolons, tabs or bars, whichever makes columns ``sar`` and ``optical``. Columns without a
    name, such as the index that pandas writes, are passed over.

    Raises:
        ValueError: it is no table of separated values in UTF-8 or UTF-16 with these two columns.
    """
    text = _text(path)
    delimiter = _delimiter(text)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [word.strip().lower() for word in next(lines, [])]
    except csv.Error as error:
        raise _no_table(path, error) from None
    names = ["" if name.startswith("unnamed: ") else name for name in names]
    columns = [name for name in names if name]
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path} has two columns of one name: {', '.join(columns)}.")
    if not {"sar", "optical"} <= set(columns) or not set(columns) <= set(COLUMNS):
        raise ValueError(
            f"{path} has the columns {', '.join(columns)}; expected are sar and optical, and if wanted "
            f"{', '.join(COLUMNS[2:])}."
        )

    def read() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(names):
                    raise ValueError(f"{path}, line {lines.line_num}: {len(cells)} cells, expected {len(names)}.")
                found = dict(zip(names, (unicodedata.normalize("NFC", cell.strip()) for cell in cells), strict=True))
                yield lines.line_num, {name: found[name] for name in columns}
        except csv.Error as error:
            raise _no_table(path, error) from None

    return columns, read()


class Files:
    """The files that a table names, below a folder."""

    def __init__(self, root: Path):
        """Folders are listed when a name is not found as it is written."""
        self._root = root
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, cell: str) -> Path:
        """The file that a cell names; where there is none, the path that it means.

        Backslashes separate folders where they are no part of a name; names in another Unicode form are found.

        Raises:
            ValueError: a URL, or a path of Windows with a drive.
        """
        if "://" in cell:
            raise ValueError(f"{cell!r} is a URL, expected a path below {self._root}")
        path = self._path(cell)
        if os.path.lexists(path):
            return path
        if PureWindowsPath(cell).drive:
            raise ValueError(f"{cell!r} is a path with a drive of Windows, expected one below {self._root}")
        path = self._path(cell.replace("\\", "/"))
        return path if os.path.lexists(path) else self._in_another_form(path)

    def name(self, path: Path) -> str:
        """A name for what lies there: the path below the folder, without its suffix."""
        relative = Path(os.path.relpath(path, self._root)).with_suffix("")
        return unicodedata.normalize("NFC", "/".join(part for part in relative.parts if part != ".."))

    def _path(self, cell: str) -> Path:
        return self._root / (Path(cell).expanduser() if cell.startswith("~/") else cell)

    def _in_another_form(self, path: Path) -> Path:
        """The path with each name as the disk has it, where the two differ in Unicode's form only."""
        found = Path(path.anchor)
        for part in path.parts[1:] if path.anchor else path.parts:
            found = found / part if os.path.lexists(found / part) else found / self._names(found).get(_nfc(part), part)
        return found

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = {_nfc(name): name for name in os.listdir(folder)}
            except OSError:
                self._listed[folder] = {}
        return self._listed[folder]


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for bom, name in _BOMS.items() if content.startswith(bom)), "utf-8-sig")
    try:
        return content.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise _no_table(path, error) from None


def _delimiter(text: str) -> str:
    head = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""
    words = {mark: {word.strip().strip('"').lower() for word in head.split(mark)} for mark in _DELIMITERS}
    return next((mark for mark, found in words.items() if {"sar", "optical"} <= found), ",")


def _no_table(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not comma-separated text in UTF-8: {error}. Save it as CSV in UTF-8.")
