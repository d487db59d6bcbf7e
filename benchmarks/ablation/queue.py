"""Variants shared among processes on one device: a folder of claims, exports and results, each whole or not there."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from benchmarks.ablation.variants import VARIANTS
from sar2opt_jax.types import Networks


class Queue:
    """The work of a benchmark, and what is done of it."""

    def __init__(self, folder: Path, names: list[str]):
        """Takes the variants to train, in order; those that they start from must be among them."""
        self.folder, self.names = folder, names
        missing = {VARIANTS[name].teacher for name in names} - {None, *names}
        if missing:
            raise ValueError(
                f"Not among the variants to train, but others start from it: {', '.join(map(str, missing))}."
            )
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, *, deadline: float) -> Iterator[str]:
        """Variants that nobody has begun, as soon as what they start from is there; ends at ``time.time`` deadline."""
        while time.time() < deadline:
            waiting = [name for name in self.names if not self._claim(name).exists()]
            if not waiting:
                return
            ready = [name for name in waiting if self._is_done(VARIANTS[name].teacher)]
            for name in ready:
                try:
                    os.close(os.open(self._claim(name), os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                yield name
                break
            else:
                time.sleep(0.2)

    def done(self, name: str) -> None:
        """Says that every seed's export of a variant is there."""
        self._path(name, "done").touch()

    def save(self, name: str, seed: int, export: Networks) -> None:
        """Keeps what students start from."""
        flat = traverse_util.flatten_dict(jax.device_get(export), sep="/")
        temporary = self._path(name, f"{seed}.part.npz")
        np.savez(temporary, **{key: np.asarray(value) for key, value in flat.items()})
        os.replace(temporary, self._path(name, f"{seed}.npz"))

    def load(self, name: str, seed: int) -> Networks:
        """What was saved; raises FileNotFoundError where that seed was not trained."""
        with np.load(self._path(name, f"{seed}.npz")) as file:
            return traverse_util.unflatten_dict({key: file[key] for key in file.files}, sep="/")

    def write(self, result: dict[str, Any]) -> None:
        """Appends a result, in a file of this process."""
        with (self.folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")

    def results(self) -> list[dict[str, Any]]:
        """All results so far, in the order of the variants; a line that is cut off is left out."""
        found = []
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return sorted(found, key=lambda row: (self.names.index(row["variant"]), row["seed"]))

    def _is_done(self, name: str | None) -> bool:
        return name is None or self._path(name, "done").exists()

    def _claim(self, name: str) -> Path:
        return self._path(name, "claim")

    def _path(self, name: str, end: str) -> Path:
        return self.folder / f"{list(VARIANTS).index(name):02d}.{end}"
