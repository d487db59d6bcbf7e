"""Trains the stages of a config, then evaluates them:

    sar2opt train --config=acd                                 # the whole paper in small, minutes on a CPU
    sar2opt train --config=acd:sen12 --workdir=runs/mine       # SEN1-2 at 256 x 256, the paper's network
    sar2opt train --config=configs/acd.py:smoke --config.train.batch_size=8
    sar2opt train --config=acd --mode=replay --replay=teacher:1200

The same command resumes a run that was stopped. --mode=replay repeats one step of it and records the loss and gradient
of each example. From a checkout, `python -m sar2opt_jax.main` does the same as `sar2opt train`.
"""

import logging
import os
import shlex
import sys
import threading
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from sar2opt_jax.cli import configs, start
from sar2opt_jax.cli.configs import ConfigParser
from tfds_builders import interruption

EVALUATE = """Evaluates a trained run again, and writes its report:

    sar2opt evaluate --config=acd
    sar2opt evaluate --config=acd --config.evaluation.num_examples=64 --config.evaluation.student_steps="(1, 4)"
    sar2opt evaluate --config=acd --config.evaluation.models="('CD=runs/distill-simulated',)"

Existing translations are reused. From a checkout, `python -m sar2opt_jax.main --mode=evaluate` does the same.
"""

HEARTBEAT_SECONDS = 30
"""How long one of several processes may be silent before the others take it for dead and leave; JAX waits 100."""
LEAVING_SECONDS = 20
"""How long one of several processes that was told to stop may take to leave; Slurm and Kubernetes kill after 30."""

_CONFIG = config_flags.DEFINE_config_file("config", None, "A config, a preset after a colon: acd:smoke.")
flags.FLAGS["config"].parser = ConfigParser()
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives; default runs/CONFIG-PRESET.")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate", "replay"],
    "train (default) ends with an evaluation; evaluate repeats that alone; replay repeats one training step.",
)
_REPLAY = flags.DEFINE_string(
    "replay", None, "For --mode=replay: the step to repeat, STAGE:STEP, such as teacher:1200."
)
_MULTIHOST = flags.DEFINE_bool(
    "multihost", False, "One of several processes; TPU pods, GKE and Slurm say by themselves which one."
)
CLUSTER = {"coordinator": "coordinator_address", "num_processes": "num_processes", "process_id": "process_id"}
"""The flags that say which process of several this is, and what ``jax.distributed.initialize`` calls them."""
flags.DEFINE_string("coordinator", None, "For --multihost elsewhere: HOST:PORT of the first process.")
flags.DEFINE_integer("num_processes", None, "For --multihost elsewhere: how many processes there are.", lower_bound=1)
flags.DEFINE_integer("process_id", None, "For --multihost elsewhere: which one this is, from 0.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    start.show_log()  # Before the imports: libraries log then as well.
    # Here and not above: --help and wrong flags do not wait seconds for these.
    import jax

    from sar2opt_jax.engine.checkpoint import SaveError
    from sar2opt_jax.engine.lock import WorkdirError
    from sar2opt_jax.engine.loop import Interrupted
    from sar2opt_jax.run import plan

    try:
        join_cluster()
        start.show_log(logging.INFO if jax.process_index() == 0 else logging.WARNING)  # On one process of several.
        preset = configs.load(config_flags.get_config_filename(flags.FLAGS["config"])).config
        command = f"{start.program('sar2opt_jax.main')} {shlex.join(sys.argv[1:])}"
        experiment = plan.experiment(_CONFIG.value, workdir=_WORKDIR.value, preset=preset, command=command)
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
        sys.exit(interruption.STATUS)
    except interruption.Interrupted:  # Of an evaluation, which nothing but this process may have been told to end.
        if jax.process_count() > 1:
            leave_within(LEAVING_SECONDS)
        raise
    except (WorkdirError, SaveError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def leave_within(seconds: float) -> None:
    """Ends this process after so long with the status of an interruption, whatever it waits for.

    At the exit of one of several processes JAX waits minutes for the others, and then aborts.
    """
    timer = threading.Timer(seconds, os._exit, [interruption.STATUS])
    timer.daemon = True
    timer.start()


def join_cluster() -> None:
    """Makes this process one of several, where ``--multihost`` is given.

    Raises:
      ValueError: where the flags do not say which process this is, or no cluster does.
    """
    import jax

    given: dict[str, Any] = {
        CLUSTER[flag]: flags.FLAGS[flag].value for flag in CLUSTER if flags.FLAGS[flag].value is not None
    }
    missing = [f"--{flag}" for flag, name in CLUSTER.items() if name not in given]
    if not _MULTIHOST.value:
        if given:
            raise ValueError("--coordinator, --num_processes and --process_id need --multihost.")
        return
    if given and missing:
        raise ValueError(f"--coordinator, --num_processes and --process_id go together; missing: {', '.join(missing)}.")
    if given and given["process_id"] >= given["num_processes"]:
        raise ValueError(
            f"--process_id={given['process_id']} of --num_processes={given['num_processes']}: they are counted from 0."
        )
    try:
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS, **given)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--multihost found no cluster to join ({str(error).strip().rstrip('.')}). Outside a TPU pod, GKE or "
            "Slurm, give --coordinator=HOST:PORT, --num_processes and --process_id."
        ) from error


def parse_step(text: str | None) -> tuple[str, int]:
    """Reads ``STAGE:STEP``. Raises ValueError for anything else."""
    stage, _, step = (text or "").partition(":")
    if not stage or not step.isdecimal():
        raise ValueError(f"--mode=replay asks for --replay=STAGE:STEP, such as teacher:1200; got {text!r}.")
    return stage, int(step)


def run() -> None:
    """The entry point, of ``sar2opt train`` and ``sar2opt evaluate``."""
    evaluates = "--mode=evaluate" in sys.argv
    cluster = ("multihost", *CLUSTER)
    shown = ("config", "workdir", *cluster) if evaluates else ("config", "workdir", "mode", "replay", *cluster)
    start.run(
        main,
        start.Command(
            module="sar2opt_jax.main",
            text=EVALUATE if evaluates else __doc__ or "",
            shown=shown,
            required=("config",),
        ),
    )


if __name__ == "__main__":
    run()
