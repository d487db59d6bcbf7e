"""Injects every fault this directory knows and writes what came of it:  make soak, or python tests/faults/soak.py.

Takes about twenty minutes on two cores, and the right to mount a tmpfs for the faults of a disk. It fails where
anything was lost.
"""

import argparse
import dataclasses
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

import absl.logging  # noqa: E402
import costs  # noqa: E402
import deaths  # noqa: E402
import storage  # noqa: E402
from outcome import Outcome  # noqa: E402

NO_FAULT = "none: "
"""So begins what is only measured."""

SCENARIOS: dict[str, Callable[[Path], Outcome]] = {
    "driver": functools.partial(deaths.kills_of_the_driver, count=30),
    "command": deaths.kills_of_the_command,
    "preparation": functools.partial(deaths.kills_of_a_preparation, count=6),
    "processes": deaths.several_processes,
    "devices": deaths.other_devices,
    "disagreement": deaths.processes_that_disagree,
    "damage": storage.damaged_checkpoints,
    "disk": storage.full_disk,
    "workdir": storage.workdirs_that_cannot_be_had,
    "drain": functools.partial(storage.drain, steps=2_000),
    "cost": costs.cost_of_digests,
    "share": costs.steps_behind_saves,
}


def version() -> str:
    """The commit, and whether it is all that runs."""
    commit = _run("git", "rev-parse", "--short=12", "HEAD")
    if _run("git", "status", "--porcelain", "--", "sar2opt_jax", "tests/faults", "tfds_builders"):
        commit += " with changes that were not committed yet"
    return commit


def report(outcomes: list[Outcome], *, commits: Iterable[str], minutes: float) -> str:
    """The text of ``docs/reliability.md``."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "orbax-checkpoint", "grain"))
    faults = [outcome for outcome in outcomes if not outcome.fault.startswith(NO_FAULT)]
    injected = sum(outcome.injected for outcome in faults)
    lost = sum(len(outcome.lost) for outcome in outcomes)
    lines = [
        "# Reliability, measured",
        "",
        "A run that is killed at any moment, any number of times, ends with the same bits as one that never was: the",
        "same networks, optimiser states, averages, logged numbers, previews and data positions. This page is written",
        "by the command that tries it:",
        "",
        "```sh",
        "make soak",
        "```",
        "",
        f"Commit {' and '.join(sorted(set(commits)))}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, "
        f"{minutes:.0f} minutes on {os.cpu_count()} cores of {_processor()}, load {os.getloadavg()[2]:.1f} at the end; "
        f"Python {platform.python_version()}, "
        f"{packages}.",
        "",
        f"**{injected} faults injected, {sum(o.survived for o in faults)} survived; lost: {lost or 'nothing'}.**",
        "",
        "| fault | injected | survived | lost | seconds from restart to the next step: median, longest |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for outcome in outcomes:
        times = outcome.recovery_seconds
        recovery = f"{statistics.median(times):.1f}, {max(times):.1f}" if times else ""
        what = "; ".join(outcome.lost) or "nothing"
        lines.append(f"| {outcome.fault} | {outcome.injected} | {outcome.survived} | {what} | {recovery} |")
    for outcome in outcomes:
        if outcome.notes:
            title = outcome.fault.removeprefix(NO_FAULT)
            lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
            lines += [f"- {note}" for note in outcome.notes]
    lines += ["", *EXPLANATION.strip().splitlines(), ""]
    return "\n".join(lines)


EXPLANATION = """
## What is compared, and how

The driver (`tests/faults/driver.py`) runs two tiny stages through the loop, checkpoints, writers and pipeline of a real
run. After the faults its workdir is compared with that of an undisturbed run: every array of every checkpoint and every
preview bit by bit, every line of `metrics.jsonl` except the two rates that depend on the clock (none missing, none
twice), and the position in the data. Several processes add sums in another order than one: their numbers are compared
to a relative 1e-5. A prepared dataset is compared pair by pair.

A checkpoint gets its name when it is complete. Orbax and TensorStore checksum the index of the arrays, but not the
arrays themselves: a flipped bit in a large array would be read back unnoticed. So every file's SHA-256 is stored in
`digests.json` and verified on restore. A checkpoint that fails is reported with the reason and moved to
`unreadable.STEP`, never deleted; the run resumes from the newest intact one.

A checkpoint records that it was saved with digests, so a missing `digests.json` counts as damage too. One from an
earlier version has no such record; it is used, with a warning that it could not be verified. Before a checkpoint gets
its name, its files and folders are forced to disk, and its name before the next save begins: after a power failure it
is complete or absent. The order of the rename and of the removal of an older checkpoint is left to the journal of the
file system.

With several processes, the first verifies the files, then each reads its own part; a failure in one is a failure in
all, so they go back to the same older checkpoint.

A process that dies stops the others of its run once it has missed its heartbeats: ten seconds' worth in the driver, 30
seconds in a real run (`main.HEARTBEAT_SECONDS`; JAX's default is 100). The others exit within twice that time.

Not covered: an actual power failure; file systems without locks, without an atomic rename, or that cannot be forced;
and a disk that reports success for what it did not write after the digests were taken.
"""


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return found[0].split(":")[1].strip() if found else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS), help="some of the faults"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "reliability.md")
    parser.add_argument("--results", type=Path, help="a file that keeps outcomes, for a soak in several parts")
    flags = parser.parse_args()
    absl.logging.set_verbosity(absl.logging.FATAL)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="soak_") as place:
        for name in flags.only:
            began, commit = time.monotonic(), version()
            (Path(place) / name).mkdir()
            outcome = SCENARIOS[name](Path(place) / name)
            seconds = time.monotonic() - began
            found[name] = {"seconds": seconds, "commit": commit, "outcome": dataclasses.asdict(outcome)}
            print(f"{name}: {seconds:.0f} s\n  {outcome}", flush=True)
            if flags.results:
                with flags.results.open("a") as file:
                    file.write(json.dumps({name: found[name]}) + "\n")
    if flags.results:
        for line in flags.results.read_text().splitlines():
            found |= json.loads(line)
    outcomes = [Outcome(**found[name]["outcome"]) for name in SCENARIOS if name in found]
    if len(outcomes) == len(SCENARIOS):
        minutes = sum(one["seconds"] for one in found.values()) / 60
        flags.report.write_text(report(outcomes, commits=[one["commit"] for one in found.values()], minutes=minutes))
        print(f"The report is {flags.report}.")
    if any(outcome.lost for outcome in outcomes):
        sys.exit("Something was lost.")


if __name__ == "__main__":
    main()
