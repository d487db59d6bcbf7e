"""Starts runs, kills them, and compares what they leave with what an undisturbed one leaves."""

import dataclasses
import hashlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from sar2opt_jax.engine.loop import TIMED

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
PATIENCE_SECONDS = 180
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
"""Several processes add sums over the same devices up in another order."""
TORN = "*/checkpoints/*.orbax-checkpoint-tmp*"


class Process:
    """A command in a process group of its own; its output is read while it runs."""

    def __init__(self, command: Sequence[str | Path], *, environment: dict[str, str] | None = None):
        self.started = time.monotonic()
        self.lines: list[str] = []
        self.steps = 0
        self.errors: list[str] = []
        self.first_step_seconds: float | None = None
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.popen = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
            cwd=ROOT,
            start_new_session=True,
        )
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read_lines(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.strip())
            if not line.startswith("step "):
                continue
            if self.first_step_seconds is None:
                self.first_step_seconds = time.monotonic() - self.started
            self._queue.put(line)
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self.popen.stderr is not None
        self.errors.extend(self.popen.stderr)

    def wait_for_step(self, count: int) -> bool:
        """Whether this process took so many steps before it ended."""
        while self.steps < count:
            line = self._queue.get(timeout=PATIENCE_SECONDS)
            if line is None:
                self._queue.put(None)
                return False
            self.steps += 1
        return True

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The exit status; a process that does not end is killed, and that is an error."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s: {self.popen.args}\n{self.said}") from None
        for thread in self._threads:
            thread.join()
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()
        return status

    def kill(self) -> None:
        """``kill -9`` of the whole group."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.wait()

    @property
    def said(self) -> str:
        """What it wrote to its standard error."""
        return "".join(self.errors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kill:
    """When to kill.

    Attributes:
      moment: ``start``, seconds after the launch; ``step``, after that many steps of this process; ``write``, when
        a checkpoint is being written.
      count: of steps.
      seconds: to wait on.
    """

    moment: str
    count: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Death:
    """What a kill did: whether it came before the end, left a torn checkpoint, and how long a restart then took."""

    kill: Kill
    early: bool
    torn: bool
    recovery_seconds: float | None


def draw_kills(seed: int, count: int) -> list[Kill]:
    """Seeded moments: half after some step, a third in a write, the rest while a run starts."""
    rng = random.Random(seed)
    kills = []
    for moment in rng.choices(("step", "write", "start"), weights=(3, 2, 1), k=count):
        seconds = {"step": rng.uniform(0, 0.15), "write": rng.uniform(0, 0.06), "start": rng.uniform(0.3, 4.0)}[moment]
        kills.append(Kill(moment=moment, count=rng.randint(1, 5), seconds=seconds))
    return kills


def driver(workdir: Path, **flags: Any) -> list[str | Path]:
    """The command of a run."""
    return [sys.executable, DRIVER, f"--workdir={workdir}", *(f"--{name}={value}" for name, value in flags.items())]


def run_to_end(command: Sequence[str | Path], **settings: Any) -> Process:
    """Runs a command that has to succeed."""
    process = Process(command, **settings)
    status = process.wait()
    assert status == 0, f"exit status {status}\n{process.said}"
    return process


def run_with_kills(command: Sequence[str | Path], workdir: Path, kills: Sequence[Kill]) -> list[Death]:
    """Starts a run, kills it at the given moments, starts it again each time, and lets the last one end."""
    deaths: list[Death] = []
    for kill in kills:
        process = Process(command)
        early = _wait_for_moment(process, workdir, kill)
        if early:
            os.killpg(process.popen.pid, signal.SIGKILL)
        status = process.wait()
        assert status in (0, -signal.SIGKILL), f"exit status {status}\n{process.said}"
        _note_recovery(deaths, process)
        torn = any(workdir.glob(TORN))
        deaths.append(Death(kill=kill, early=status != 0, torn=torn, recovery_seconds=None))
    _note_recovery(deaths, run_to_end(command))
    return deaths


def _note_recovery(deaths: list[Death], process: Process) -> None:
    if deaths and process.first_step_seconds is not None:
        deaths[-1] = dataclasses.replace(deaths[-1], recovery_seconds=process.first_step_seconds)


def _wait_for_moment(process: Process, workdir: Path, kill: Kill) -> bool:
    """Until the moment has come; whether the process was still alive then."""
    if kill.moment == "step":
        process.wait_for_step(kill.count)
    elif kill.moment == "write":
        # What an earlier kill left behind is removed when the next checkpoint is written, not before.
        known = set(workdir.glob(TORN))
        wait_until(lambda: bool(set(workdir.glob(TORN)) - known) or process.popen.poll() is not None)
    try:
        process.popen.wait(kill.seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Looks about a thousand times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened within {seconds} s"
        time.sleep(0.001)


def remains(workdir: Path, *, besides: str = "") -> dict[str, Any]:
    """All that a run leaves and that does not depend on the clock, by name, but for checkpoints called ``besides``."""
    found: dict[str, Any] = {"lines": logged(workdir)}
    for path in sorted((workdir / "previews").glob("*")):
        found[f"previews/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for checkpoint in sorted(workdir.glob("*/checkpoints/*")):
        if besides and checkpoint.match(besides):
            continue
        where = checkpoint.relative_to(workdir).as_posix()
        for item in ("state", "export"):
            for path, leaf in leaves(checkpoint / item):
                found[f"{where}/{item}{path}"] = leaf
        positions = [path.read_text() for path in sorted((checkpoint / "data").glob("*.json"))]
        found[f"{where}/data"] = sorted(set(positions))
        meta = json.loads((checkpoint / "meta" / "metadata").read_text())
        found[f"{where}/meta"], found[f"{where}/progress"] = meta["step"], meta["progress"]
    return found


def file_digests(directory: Path) -> dict[str, str]:
    """Of every file below a directory."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def logged(workdir: Path) -> list[dict[str, Any]]:
    """All lines of the log but for what the clock put in."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMED} for line in lines]


def leaves(item: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of one item of a checkpoint."""
    handler = ocp.PyTreeCheckpointHandler()
    with ocp.Checkpointer(handler) as reader:
        tree = handler.metadata(item).tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        restored = reader.restore(item, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored):
        yield jax.tree_util.keystr(path), np.asarray(leaf)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names that only one of two runs has, or that differ between them."""
    names, both = found.keys() | expected.keys(), found.keys() & expected.keys()
    return sorted(name for name in names if name not in both or not _same(found[name], expected[name]))


def _same(a: Any, b: Any) -> bool:
    """To the bit: a NaN equals itself, and 0 is not -0."""
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return a == b


def assert_close(found: Any, expected: Any) -> None:
    """Numbers up to the order of summation, everything else to the letter."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_close(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b)
    elif isinstance(expected, float | np.ndarray):
        np.testing.assert_allclose(found, expected, **TOLERANCE)
    else:
        assert found == expected


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def with_devices(count: int) -> dict[str, str]:
    """The environment of a process that believes to have so many devices."""
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


def start_several(workdir: Path, *, processes: int, devices: int, **flags: Any) -> list[Process]:
    """One run of several processes on loopback, each with so many devices."""
    flags |= {"coordinator": f"127.0.0.1:{free_port()}", "processes": processes}
    return [
        Process(driver(workdir, process=number, **flags), environment=with_devices(devices))
        for number in range(processes)
    ]
