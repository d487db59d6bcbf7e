"""A translator of scenes that only writes down what it is asked for; workers of a cluster import it."""

import os
import signal
from pathlib import Path

from scene_files import DB

from sar2opt_jax.scene.translate import TranslatedScene, check_paths


class StandIn:
    """An output is the text of the seed that it was made with.

    The scene that is called ``bad`` fails, ``broken`` raises what nobody expects, ``fatal`` kills the process that
    first gets it; the first two attempts at ``flaky`` fail.
    """

    model = {"model": "0123@9", "parameters": "ab"}  # noqa: RUF012
    radar = DB

    def __init__(self, log: Path):
        self.log = log

    def __call__(self, source, target, settings, *, quiet=False, say=print):
        name = Path(target).stem
        check_paths(source, target, overwrite=settings.overwrite)
        self.write("start", name)
        if name == "bad":
            raise ValueError("it is bad.\nVery much so.")
        if name == "broken":
            raise KeyError("width")
        if name == "fatal" and self.lines().count("start fatal") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "flaky" and self.lines().count("start flaky") < 3:
            raise OSError("the network is away for a moment.")
        say("A note.")
        Path(target).write_text(str(settings.seed))
        self.write("end", name)
        return TranslatedScene(output=target, uncertainty=None, height=500, width=2000, seconds=0.5, notes=("A note.",))

    def is_current(self, source, target, settings):
        return Path(target).exists() and Path(target).read_text() == str(settings.seed)

    def write(self, *words):
        with self.log.open("a") as log:
            log.write(" ".join(words) + "\n")

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


def other(log: Path) -> StandIn:
    """A network with other parameters."""
    translator = StandIn(log)
    translator.model = {**translator.model, "parameters": "cd"}
    return translator
