"""Stand-ins for the commands of clouds and clusters, which record how they were called."""

import json
import os
import sys
from pathlib import Path

import pytest

COMMAND = """#!{python}
import json, os, pathlib, re, stat, sys
here, name, words = pathlib.Path(__file__).resolve().parent, pathlib.Path(__file__).resolve().name, sys.argv[1:]
with open(here / "calls.jsonl", "a") as calls:
    calls.write(json.dumps([name, *words]) + "\\n")
if stat.S_ISFIFO(os.fstat(0).st_mode):  # As the end of a pipe: who writes into it is not told that nobody reads.
    sys.stdin.buffer.read()
answers = json.loads((here / f"{{name}}.json").read_text())
for i, (pattern, status, said) in enumerate(answers):
    if re.search(pattern, " ".join(words)):
        if len([1 for other, *_ in answers if other == pattern]) > 1:  # The last answer to a question stays.
            (here / f"{{name}}.json").write_text(json.dumps(answers[:i] + answers[i + 1 :]))
        print(said, file=sys.stderr if status else sys.stdout)
        sys.exit(status)
"""


class Fakes:
    """Commands in a folder of their own, first on the path."""

    def __init__(self, folder: Path):
        """Makes the folder ``folder``."""
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, *answers: tuple[str, int, str]) -> None:
        """A command that answers with a status and a text, by the first pattern that its words match.

        Of several answers to one pattern each is given once, in their order; the last one stays. Without a match the
        command succeeds and is silent.
        """
        (self.folder / f"{name}.json").write_text(json.dumps(answers))
        command = self.folder / name
        command.write_text(COMMAND.format(python=sys.executable))
        command.chmod(0o755)

    def calls(self) -> list[list[str]]:
        """All calls so far, each with the command's name first."""
        kept = self.folder / "calls.jsonl"
        return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []

    @property
    def path(self) -> str:
        """A value of ``PATH`` that has them."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def fakes(tmp_path) -> Fakes:
    return Fakes(tmp_path / "bin")
