"""The command ``sar2opt``: one name for all commands. Each is a module of its own, imported when it is asked for."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from sar2opt_jax import __version__

USAGE_STATUS = 2
"""Exit status without a command, or with an unknown one."""


class Subcommand(NamedTuple):
    """A command: the module whose ``run()`` it is, what it does, and the flags that it stands for."""

    module: str
    summary: str
    flags: tuple[str, ...] = ()


COMMANDS = {
    "train": Subcommand("sar2opt_jax.main", "trains the stages of a config, then evaluates them"),
    "evaluate": Subcommand(
        "sar2opt_jax.main", "evaluates a trained run again, with a new report", ("--mode=evaluate",)
    ),
    "translate": Subcommand("sar2opt_jax.translate", "translates radar images to optical ones by a trained run"),
    "demo": Subcommand("sar2opt_jax.demo", "shows a page in the browser to try a network on"),
    "convert": Subcommand("sar2opt_jax.convert", "converts weights from diffusers (PyTorch), and back"),
    "export": Subcommand("sar2opt_jax.deploy", "writes a trained run as one program that runs without this package"),
    "prepare": Subcommand("tfds_builders.prepare", "turns downloaded image pairs into a dataset"),
    "plan": Subcommand("sar2opt_jax.plan", "says what a training takes of a TPU slice, a GPU or a CPU"),
}

FIRST_STEPS = """\
To see everything run, in minutes on a CPU, on a dataset that is drawn on the spot:

  sar2opt train --config=acd:smoke --workdir=runs/smoke
  sar2opt translate --model=runs/smoke --input=SAR.png --output=OPTICAL.png

sar2opt COMMAND --help says more; sar2opt train --config=acd:smoke --help lists all settings of that config."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the first argument names."""
    given = sys.argv[1:] if arguments is None else arguments
    name, *rest = given or [""]
    if name in ("-h", "--help", "help"):
        print(usage())
    elif name == "--version":
        print(f"sar2opt {__version__}")
    elif name not in COMMANDS:
        problem = f"Unknown command {name!r}; known: {', '.join(COMMANDS)}.\n\n" if name else ""
        print(f"{problem}{usage()}", file=sys.stderr)
        sys.exit(USAGE_STATUS)
    else:
        command = COMMANDS[name]
        for flag in command.flags:
            option = flag.partition("=")[0]
            if any(argument.lstrip("-").partition("=")[0] == option.lstrip("-") for argument in rest):
                print(f"sar2opt {name} stands for {flag}; sar2opt train takes {option}.", file=sys.stderr)
                sys.exit(USAGE_STATUS)
        # In place: absl, argparse and ml_collections all look there.
        sys.argv[:] = [f"sar2opt {name}", *command.flags, *rest]
        importlib.import_module(command.module).run()


def usage() -> str:
    """What there is, and what to do first."""
    lines = [f"  sar2opt {name:<10} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["SAR-to-optical image translation. Commands:", "", *lines, "", FIRST_STEPS])
