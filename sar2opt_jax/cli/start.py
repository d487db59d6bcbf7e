"""Starts a command whose flags are absl's: help, errors in one sentence and the compilation cache, the same for all."""

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import absl.logging
from absl import app, flags
from ml_collections import config_flags

from sar2opt_jax.cli import cache, configs, help
from tfds_builders import interruption

USAGE_STATUS = 2
"""Exit status where flags are missing or superfluous."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What a command is to those who type it.

    Attributes:
      module: what ``python -m`` runs.
      text: what it does, with examples.
      shown: its flags, by name, in the order of the help.
      required: those of them that must be given.
    """

    module: str
    text: str
    shown: Sequence[str]
    required: Sequence[str]


def program(module: str) -> str:
    """What the user typed: ``sar2opt NAME``, or ``python -m MODULE``."""
    return sys.argv[0] if sys.argv[0].startswith("sar2opt ") else f"python -m {module}"


def run(main: Callable[[list[str]], None], command: Command) -> None:
    """Runs ``main`` with the arguments that flags left over; prints the help instead, where that is asked for.

    What the user can mend ends with one sentence, and a status other than 0; SIGINT and SIGTERM end with one line and
    ``interruption.STATUS``.
    """
    name = program(command.module)
    if len(sys.argv) == 1:
        explain(name, needed=_listed(command.required), text=command.text)
    if help.asked(sys.argv[1:]):
        sys.stdout.write(_help(command))
        return

    def started(arguments: list[str]) -> None:
        if missing := [flag for flag in command.required if flags.FLAGS[flag].value is None]:
            _stop(f"{name} needs {_listed(missing)}; --help says more.")
        cache.enable()
        try:
            with interruption.raised():
                main(arguments)
        except app.UsageError as error:
            _stop(f"{error}; {name} --help lists the flags.")
        except (interruption.Interrupted, KeyboardInterrupt) as interrupted:
            by = str(interrupted) or "SIGINT"
            print(f"\nInterrupted by {by}: what is complete stays. Run the same command again.", file=sys.stderr)
            sys.exit(interruption.STATUS)

    app.run(started, argv=sys.argv, flags_parser=parse)


def show_log(level: int = logging.WARNING) -> None:
    """Shows what these packages log from ``level`` on, and only errors of the libraries under them, which log a lot.

    absl sets the level of the root logger, so without a level of their own these packages would be silenced with it.
    """
    absl.logging.set_verbosity(absl.logging.ERROR)
    for package in ("sar2opt_jax", "tfds_builders"):
        logging.getLogger(package).setLevel(level)


def explain(name: str, *, needed: str, text: str) -> NoReturn:
    """Ends a command that was given nothing: says what it needs, and what it is for."""
    _stop(f"{name} needs {needed}.\n\n{text.strip()}\n\n--help lists all flags.")


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags; what is wrong with one, or with the config it names, is said in one sentence."""
    given, absent = configs.without_none(argv) if "config" in flags.FLAGS else (argv, [])
    try:
        left = flags.FLAGS(given)
        if absent and flags.FLAGS["config"].value is not None:
            configs.set_none(flags.FLAGS["config"].value, absent)
        return left
    except (flags.Error, AttributeError, KeyError, TypeError) as error:  # The last three: an override without its like.
        text = error.args[0] if isinstance(error, KeyError) else str(error)
        sys.exit(text.strip().splitlines()[-1].strip())


def _help(command: Command) -> str:
    argv = [argument for argument in sys.argv if argument not in help.HELP]
    sys.argv = argv  # ml_collections looks for overrides there.
    parse(argv)
    shown = [flags.FLAGS[name] for name in command.shown]
    config: Any = flags.FLAGS["config"] if "config" in command.shown else None
    if config is None or config.value is None:
        return help.page(command.text, shown)
    return help.page(command.text, shown, config=config_flags.get_config_filename(config), value=config.value)


def _listed(names: Sequence[str]) -> str:
    *most, last = [f"--{name}" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def _stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(USAGE_STATUS)
