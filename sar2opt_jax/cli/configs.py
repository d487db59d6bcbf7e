"""Finds and loads configs: the shipped ones by name, ``acd:smoke``, any other by its file, ``configs/acd.py:smoke``."""

import contextlib
import functools
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

PACKAGE = "configs"
"""What config files import each other by: ``from configs.base import get_base``."""
_OVERRIDE = re.compile(r"--?config\.([\w.]+)(?:=(.*))?", re.DOTALL)


class Loaded(NamedTuple):
    """A config, and the files that it was made by: its own, and those of ``configs`` that this one imported."""

    config: Any
    modules: tuple[ModuleType, ...]


class ConfigParser(flags.ArgumentParser):
    """The parser of a flag ``--config``: it takes names besides files."""

    def parse(self, argument: str) -> Any:
        """Returns the locked config. Raises ValueError as ``load`` does."""
        config = load(argument).config
        config.lock()
        return config


def without_none(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes ``--config.GROUP.NAME=None`` out of arguments: the parsers of absl know numbers and text, but no None.

    Args:
      argv: all arguments of a command; what follows a ``--`` stays as it is.

    Returns:
      The other arguments, and the dotted names of the values to set to None: those whose last override is None.
    """
    kept: list[str] = []
    last: dict[str, bool] = {}
    end = argv.index("--") if "--" in argv else len(argv)
    words = iter(range(end))
    for i in words:
        if override := _OVERRIDE.fullmatch(argv[i]):
            name, value = override.groups()
            separate = value is None and i + 1 < end and argv[i + 1] == "None"  # --config.GROUP.NAME None
            last[name] = separate or value == "None"
            if last[name]:
                if separate:
                    next(words)
                continue
        kept.append(argv[i])
    return [*kept, *argv[end:]], [name for name, is_none in last.items() if is_none]


def set_none(config: Any, names: Sequence[str]) -> None:
    """Sets values of a locked config to None, by their dotted names.

    Raises:
      AttributeError: for a value that the config does not have.
      TypeError: for a whole group.
    """
    for name in names:
        *groups, field = name.split(".")
        group = functools.reduce(getattr, groups, config)
        if isinstance(getattr(group, field), ConfigDict):
            raise TypeError(
                f"config.{name} is a group of values; None can be given to one of them, config.{name}.NAME."
            )
        setattr(group, field, None)


def shipped() -> Path:
    """The folder of the shipped configs: within the package once it is installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / PACKAGE
    return inside if inside.is_dir() else package.parent / PACKAGE


def names() -> list[str]:
    """The names of the shipped configs."""
    return sorted(path.stem for path in shipped().glob("*.py") if path.stem not in ("base", "__init__"))


def find(text: str) -> tuple[Path, str | None]:
    """The file and the preset that ``NAME[:PRESET]`` or ``FILE.py[:PRESET]`` stands for; None without a preset.

    Raises:
      ValueError: where there is no such config.
    """
    name, colon, preset = text.partition(":")
    path = shipped() / f"{name}.py" if name in names() else Path(name).expanduser()
    if path.suffix != ".py" or not path.is_file():
        same = f" --config={path.stem} is the shipped one." if path.stem in names() else ""
        raise ValueError(f"No config {name!r}; known: {', '.join(names())}, or the path of a .py file.{same}")
    return path, preset if colon else None


def load(text: str) -> Loaded:
    """Loads a config by name or file; see ``find``.

    Raises:
      ValueError: for a config or preset that there is not, or a file that is no config.
    """
    path, preset = find(text)
    with _package(path) as modules:
        name = f"{PACKAGE}.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None  # find() lets only .py files through.
        module = modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            if not hasattr(module, "get_config"):
                raise ValueError(f"{path} defines no get_config(); expected one that returns a ConfigDict.")
            config = module.get_config() if preset is None else module.get_config(preset)
        except ValueError:  # A config's own words.
            raise
        except Exception as error:
            raise ValueError(f"{_line_of(error, path)}: {type(error).__name__}: {error}") from error
        read = tuple(other for key, other in modules.items() if key.startswith(f"{PACKAGE}."))
    return Loaded(config, read)


def _line_of(error: Exception, path: Path) -> str:
    """Where in a config's own file an error arose, as far as that is known."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}, line {lines[-1]}" if lines else str(path)


@contextlib.contextmanager
def _package(path: Path) -> Iterator[dict[str, ModuleType]]:
    """Makes ``import configs.NAME`` read the folder of ``path``, that of the working directory or the shipped one.

    So a config of a checkout takes the values of its own checkout, whatever is installed, and a config of one's own the
    shipped ones. What ``configs`` was before is restored: other files by the same names may have been imported.
    """

    def take() -> dict[str, ModuleType]:
        found = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
        return {name: sys.modules.pop(name) for name in found}

    before = take()
    package = sys.modules[PACKAGE] = ModuleType(PACKAGE)
    own = [path.parent] if path.parent.resolve().name == PACKAGE else []
    package.__path__ = [str(folder) for folder in (*own, Path.cwd() / PACKAGE, shipped()) if folder.is_dir()]
    try:
        yield sys.modules
    finally:
        take()
        sys.modules.update(before)
