"""The help of the commands: what they do, their own flags, and the values of a config with what they mean."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from sar2opt_jax.cli import cache, comments, configs

HELP = ("-h", "-help", "--help", "-helpshort", "--helpshort", "-?")
COLUMN = 34
"""Where explanations start, unless what they explain is longer."""


def page(text: str, shown: Iterable[flags.Flag], *, config: str | None = None, value: Any = None) -> str:
    """The help of a command.

    Args:
      text: what it does, with examples.
      shown: its flags.
      config: ``NAME[:PRESET]`` or a file, whose values are listed.
      value: that config, with what other flags changed in it.
    """
    rows = [_row(flag) for flag in shown]
    parts = [inspect.cleandoc(text)]
    if any(flag.name == "config" for flag in shown):
        rows.append(("--config.GROUP.NAME=VALUE", "Overrides a value of the config."))
        parts += [_flags(rows), *([config_names()] if config is None else config_values(config, value))]
    else:
        parts.append(_flags(rows))
    compiled = f"Where compiled programs are kept for later starts; default {_cache_folder()}."
    parts += [
        "Environment:\n" + table([(cache.VARIABLE, compiled)]),
        "--helpfull lists flags of libraries as well.",
    ]
    return "\n\n".join(parts) + "\n"


def config_names() -> str:
    """The shipped configs and their presets."""
    loaded = {name: configs.load(name) for name in configs.names()}
    presets: dict[str, str] = {}
    for config in loaded.values():
        for module in config.modules:
            presets |= {name: _first_line(make) for name, make in getattr(module, "PRESETS", {}).items()}
    return (
        "Configs, --config=NAME or a file such as configs/acd.py:\n"
        + table((name, _first_line(config.modules[0])) for name, config in loaded.items())
        + "\n\nPresets, --config=NAME:PRESET:\n"
        + table(presets.items())
        + "\n\nWith --config=NAME:PRESET, --help lists all values of that config, with their meaning."
    )


def config_values(name: str, config: ConfigDict) -> Iterator[str]:
    """The values of a config, a part for each of its groups."""
    meanings = comments.read(configs.load(name).modules)
    order = list(meanings)
    groups: dict[str, list[tuple[str, str]]] = {}
    leaves = sorted(_leaves(config), key=lambda leaf: order.index(leaf[0]) if leaf[0] in meanings else len(order))
    for path, value in leaves:
        group, _, key = path.rpartition(".") if path.count(".") < 2 else path.partition(".")
        groups.setdefault(group, []).append((f"{key}={_typed(value)}", meanings.get(path, "")))
    yield f"The values of {name}:"
    for group, rows in groups.items():
        meaning = f"   {meanings[group]}" if meanings.get(group) else ""
        yield f"--config.{group}{'.' if group else ''}NAME=VALUE{meaning}\n{table(rows)}"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, as wide as the terminal."""
    width = max(80, min(140, shutil.get_terminal_size((100, 24)).columns)) - 1
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, width - COLUMN - 2) or [""]
        first = f"  {left}"
        if len(first) > COLUMN - 2 and right:
            if len(first) + len(right) + 2 <= width:
                wrapped, first = [], f"{first}  {right}"
            lines.append(first)
            first = ""
        lines += [f"{first if line == 0 else '':<{COLUMN}}{words}".rstrip() for line, words in enumerate(wrapped)]
    return "\n".join(lines)


def asked(arguments: Sequence[str]) -> bool:
    """Whether flags ask for help, and not for that of all libraries (``--helpfull``)."""
    return any(argument in HELP for argument in arguments)


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _typed(value: Any) -> str:
    """A value as a shell is given it."""
    return f'"{value}"' if isinstance(value, tuple) else str(value)


def _flags(rows: Iterable[tuple[str, str]]) -> str:
    return "Flags:\n" + table(rows)


def _row(flag: flags.Flag) -> tuple[str, str]:
    if flag.boolean:
        return f"--{flag.name}", flag.help
    values = "|".join(getattr(flag.parser, "enum_values", ()))  # absl puts them before the help's text.
    return f"--{flag.name}={flag.name.upper()}", flag.help.removeprefix(f"<{values}>: ")


def _first_line(described: Any) -> str:
    return (inspect.getdoc(described) or "").split("\n")[0].replace("``", "")


def _cache_folder() -> str:
    try:
        return str(cache.default())
    except RuntimeError:
        return "none: this user has no home directory"
