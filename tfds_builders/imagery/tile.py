"""Parts of images: windows, and tiles of files that are too large to be read as a whole."""

from pathlib import Path
from typing import NamedTuple

Span = tuple[int, int]
"""Of rows or columns: the first one, and the one after the last."""


class Window(NamedTuple):
    """A rectangle of an upright image, in pixels from its upper left corner."""

    row: int
    column: int
    height: int
    width: int


class Tile(NamedTuple):
    """An image that is a part of a larger file."""

    path: Path
    window: Window

    def __str__(self) -> str:
        row, column, height, width = self.window
        return f"{self.path} (rows {row} to {row + height - 1}, columns {column} to {column + width - 1})"


Source = Path | Tile
"""Of an image: a file, or a part of one."""


def file_of(source: Source) -> Path:
    """The file that an image is read from."""
    return source.path if isinstance(source, Tile) else source
