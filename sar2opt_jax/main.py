"""Trains and evaluates:  python -m sar2opt_jax.main --config=configs/acd.py[:PRESET] [--workdir=DIR]."""

import logging
import sys
from collections.abc import Sequence

import absl.logging
import jax
from absl import app, flags
from ml_collections import config_flags

from sar2opt_jax.engine.checkpoint import SaveError
from sar2opt_jax.engine.lock import WorkdirError
from sar2opt_jax.engine.loop import Interrupted
from sar2opt_jax.run import plan

INTERRUPTED_STATUS = 75
"""Exit status of a run that a signal stopped after saving (EX_TEMPFAIL): run the same command again to go on."""

HEARTBEAT_SECONDS = 30
"""How long one of several processes may be silent before the others take it for dead and leave; JAX waits 100."""

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, a preset after a colon: configs/acd.py:sen12.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives; default runs/CONFIG-PRESET.")
_MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "evaluate", "replay"], "train ends with an evaluation; evaluate repeats it."
)
_REPLAY = flags.DEFINE_string("replay", None, "STAGE:STEP, for --mode=replay: a step to look at example by example.")
_MULTIHOST = flags.DEFINE_bool("multihost", False, "One of several processes: initialise jax.distributed.")


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    if _MULTIHOST.value:
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    show_log(verbose=jax.process_index() == 0)
    try:
        experiment = plan.experiment(_CONFIG.value, workdir=_WORKDIR.value)
        contenders = experiment.comparison.contenders() if _MODE.value == "evaluate" else []
        replayed = parse_step(_REPLAY.value) if _MODE.value == "replay" else None
    except (ValueError, OSError) as error:
        # What the user can mend is said in one sentence, before anything runs; later errors keep their traceback.
        sys.exit(f"{type(error).__name__}: {error}")
    try:
        if replayed is not None:
            experiment.replay(*replayed)
        elif _MODE.value == "evaluate":
            experiment.comparison.run(contenders)
        else:
            experiment.train()
    except Interrupted as interrupted:
        logging.getLogger("sar2opt_jax").warning("%s", interrupted)
        sys.exit(INTERRUPTED_STATUS)
    except (WorkdirError, SaveError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def parse_step(text: str | None) -> tuple[str, int]:
    """Reads ``STAGE:STEP``. Raises ValueError for anything else."""
    stage, _, step = (text or "").partition(":")
    if not stage or not step.isdecimal():
        raise ValueError(f"--mode=replay asks for --replay=STAGE:STEP, such as teacher:1200; got {text!r}.")
    return stage, int(step)


def show_log(*, verbose: bool) -> None:
    """Shows what this package says and only the errors of the libraries under it, some of which say a lot."""
    absl.logging.set_verbosity(absl.logging.ERROR)
    logging.getLogger("sar2opt_jax").setLevel(logging.INFO if verbose else logging.WARNING)


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags; what is wrong with one, or with the config it names, is said in one sentence."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, TypeError) as error:  # The last two: an override without its like.
        # A config file's own error comes wrapped in a traceback, and stands last.
        sys.exit(str(error).strip().splitlines()[-1].strip())


def run() -> None:
    """The entry point."""
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse)


if __name__ == "__main__":
    run()
