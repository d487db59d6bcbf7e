"""Which datasets can be prepared, and what somebody may ask of one."""

import dataclasses
import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import tensorflow_datasets as tfds

from tfds_builders import BUILDERS

if TYPE_CHECKING:
    from tfds_builders.pairs import Settings

FILE_FORMATS = ("array_record", "tfrecord")
"""What ``tfds.data_source`` and this package read, without TensorFlow; and what ``tfds.load`` reads, with it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be prepared; see ``preparation.prepare`` for the meaning of each."""

    name: str
    data_dir: str | os.PathLike[str] | None = None
    manual_dir: str | os.PathLike[str] | None = None
    skip_bad: bool = False
    processes: int = 1
    settings: "Settings | None" = None
    file_format: str | None = None
    overwrite: bool = False
    waiting: Callable[[str], None] | None = None

    @property
    def dataset(self) -> str:
        """The name without the configuration."""
        return self.name.partition("/")[0]

    @property
    def own(self) -> str:
        """The name that follows after ``pairs/``."""
        return self.name.partition("/")[2]

    @property
    def is_own(self) -> bool:
        """Whether it is somebody's own: ``pairs/NAME``."""
        return self.dataset == "pairs"

    def check(self) -> None:
        """Raises ValueError for what cannot be, whatever the files are."""
        if self.file_format not in (None, *FILE_FORMATS):
            raise ValueError(f"Unknown file format {self.file_format!r}; known are {', '.join(FILE_FORMATS)}.")
        if self.file_format == "tfrecord" and importlib.util.find_spec("tensorflow") is None:
            raise ValueError(
                "The file format tfrecord is written by TensorFlow: pip install tensorflow, or take array_record."
            )
        if self.processes < 1:
            raise ValueError(f"--processes={self.processes} must be 1 or more.")
        if not self.is_own:
            if self.settings is not None:
                raise ValueError(
                    f"{self.name} has its own ranges, bands and scenes: these are stated for pairs/NAME only."
                )
        elif not re.fullmatch(r"\w[\w-]*", self.own, re.ASCII):
            raise ValueError(
                f"{self.name}: your own dataset needs a name of letters, digits, - and _ after a slash: pairs/NAME. "
                "Several stand side by side by their names."
            )

    def version_folder(self, root: Path) -> Path:
        """Where the prepared dataset is stored, below ``root``."""
        if self.is_own:
            return root / "pairs" / self.own / str(own_pairs().Builder.VERSION)
        return Path(make_builder(self.name, data_dir=root).data_path)


def own_pairs() -> ModuleType:
    """The module of ``pairs``."""
    return importlib.import_module(BUILDERS["pairs"])


def make_builder(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, file_format: str = FILE_FORMATS[0]
) -> tfds.core.DatasetBuilder:
    """The builder of a dataset other than ``pairs``, prepared or not. See ``prepare`` for arguments and errors."""
    dataset, _, config = name.partition("/")
    if dataset not in BUILDERS:
        raise ValueError(f"Unknown dataset {dataset!r}; known are {', '.join(BUILDERS)}.")
    builder_class: type[tfds.core.GeneratorBasedBuilder] = importlib.import_module(BUILDERS[dataset]).Builder
    if config and config not in builder_class.builder_configs:
        known = ", ".join(builder_class.builder_configs) or "none"
        raise ValueError(f"{dataset} has no configuration {config!r}; known: {known}.")
    data_dir = None if data_dir is None else Path(data_dir).expanduser()
    return builder_class(config=config or None, data_dir=data_dir, file_format=file_format)
