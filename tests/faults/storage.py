"""Faults of the soak that lie in files and disks, and what a run takes of both; each makes an outcome."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import driver
import harness
from outcome import Outcome

from sar2opt_jax.engine import digests
from sar2opt_jax.engine.recovery import ITEMS


def damaged_checkpoints(place: Path) -> Outcome:
    """Each part of the newest one flipped, truncated or missing; a foreign one; all of them damaged at once."""
    outcome = Outcome(fault="a damaged or foreign checkpoint when a run resumes")
    base = {"ballast": 100_000, "save_every": 4}

    def go_on(workdir: Path, steps: int) -> None:
        flags = driver.parse([f"--workdir={workdir}", f"--steps={steps}", *(f"--{k}={v}" for k, v in base.items())])
        teacher = driver.train_stage("teacher", None, driver.parse([f"--workdir={workdir}", "--ballast=100000"]))
        driver.train_stage("distill", teacher, flags)

    def remains(workdir: Path) -> dict[str, Any]:
        return harness.remains(workdir, besides="unreadable.*")

    begun = place / "begun"
    go_on(begun, 12)
    shutil.copytree(begun, place / "undisturbed")
    go_on(place / "undisturbed", 16)
    expected = remains(place / "undisturbed")
    newest = Path("distill", "checkpoints", "12")
    files = {item: max((begun / newest / item).rglob("*"), key=_size).relative_to(begun) for item in ITEMS}
    files |= {name: newest / name for name in (digests.FILE, "_CHECKPOINT_METADATA")}
    for what, file in files.items():
        for damage in (flip, truncate, Path.unlink):
            workdir = place / f"{what}_{damage.__name__}"
            shutil.copytree(begun, workdir)
            damage(workdir / file)
            before = harness.file_digests(workdir / newest)
            go_on(workdir, 16)
            lost = harness.differences(remains(workdir), expected)
            aside = workdir / "distill" / "checkpoints" / "unreadable.12"
            if aside.exists() and harness.file_digests(aside) != before:
                lost.append("the rejected checkpoint was changed")
            outcome.count(1, lost, workdir.name)
            if not aside.exists():
                outcome.notes.append(f"{what}, {damage.__name__}: the checkpoint was usable and was used.")
            shutil.rmtree(workdir)

    workdir = place / "unverified"
    shutil.copytree(begun, workdir)
    (workdir / newest / digests.FILE).unlink()
    path = workdir / newest / "meta" / "metadata"
    meta = json.loads(path.read_text())
    del meta["saved_by"]
    path.write_text(json.dumps(meta))
    go_on(workdir, 16)
    outcome.count(1, harness.differences(remains(workdir), expected), "unverified")
    outcome.notes.append(
        "A checkpoint of an earlier version, which neither has digests nor says that it has, was used, with a warning."
    )

    workdir = place / "foreign"
    shutil.copytree(begun, workdir)
    shutil.copytree(workdir / "teacher" / "checkpoints" / "12", workdir / "distill" / "checkpoints" / "14")
    go_on(workdir, 16)
    outcome.count(1, harness.differences(remains(workdir), expected), "foreign")

    workdir = place / "all"
    shutil.copytree(begun, workdir)
    for step in ("8", "12"):
        flip(workdir / "distill" / "checkpoints" / step / "meta" / "metadata")
    before = harness.file_digests(workdir / "distill")
    refused = ""
    try:
        go_on(workdir, 16)
    except ValueError as error:
        refused = str(error)
    lost = [] if "None of the checkpoints" in refused else ["no refusal"]
    lost += ["files were changed"] if harness.file_digests(workdir / "distill") != before else []
    outcome.count(1, lost, "all")
    outcome.notes.append("With all checkpoints damaged the run refuses to begin again, and every file stays as it was.")
    return outcome


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


@contextlib.contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[Path]:
    """A tmpfs; needs the right to mount."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def full_disk(place: Path) -> Outcome:
    """Checkpoints of 8 MB; a filler takes the room for some of them, or for the last."""
    outcome = Outcome(fault="disk full while saving (a tmpfs of 64 MB)")
    flags = {"ballast": 1_000_000, "seconds": 0.25}
    harness.run_to_end(harness.driver(place / "undisturbed", **flags))
    expected = harness.remains(place / "undisturbed")
    for relieved in (True, False):
        with small_disk(place / f"disk_{relieved}", megabytes=64) as disk:
            workdir = disk / "run"
            process = harness.Process(harness.driver(workdir, **flags))
            process.wait_for_step(6)
            with (disk / "filler").open("wb") as filler, contextlib.suppress(OSError):
                # The log and the pictures go on in the last half megabyte.
                free = shutil.disk_usage(disk).free - 500_000
                filler.write(bytes(free))
            if relieved:
                process.wait_for_step(11)
                (disk / "filler").unlink()
                status = process.wait()
                lost = [] if status == 0 and "could not be written" in process.said else [f"status {status}"]
            else:
                status = process.wait()
                whole = sorted(entry.name for entry in (workdir / "teacher" / "checkpoints").iterdir())
                lost = [] if status == 1 and "SaveError: The state of step 12" in process.said else [f"status {status}"]
                lost += [] if whole == ["4"] else [f"left were {whole}"]
                (disk / "filler").unlink()
                outcome.recovery_seconds.append(harness.run_to_end(process.popen.args).first_step_seconds or 0.0)
            # The second of the two kept is the one that could not be written, or the one before it.
            before = "teacher/checkpoints/4", "teacher/checkpoints/8"
            differ = harness.differences(harness.remains(workdir), expected)
            lost += [name for name in differ if not (relieved and name.startswith(before))]
            outcome.count(1, lost, "relieved in time" if relieved else "full to the end")
    outcome.notes.append(
        "Relieved in time, the run continued by itself and ended as if nothing had happened; full to the end, it "
        "failed at the stage's last save, kept its last whole checkpoint, and the same command resumed it when there "
        "was room."
    )
    return outcome


def workdirs_that_cannot_be_had(place: Path) -> Outcome:
    """Read-only, and held by another run."""
    outcome = Outcome(fault="a read-only workdir, and a second run in one workdir: refused")
    with small_disk(place / "disk", megabytes=4) as disk:
        (disk / "run").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        process = harness.Process(harness.driver(disk / "run"))
        status = process.wait()
        sentence = "cannot be written to (Read-only file system). Choose another one with --workdir."
        outcome.count(1, [] if status == 1 and sentence in process.said else [process.said], "read-only")
    first = harness.Process(harness.driver(place / "shared", seconds=0.5))
    first.wait_for_step(1)
    second = harness.Process(harness.driver(place / "shared"))
    refused = second.wait() == 1 and "Another run is at work in" in second.said
    first.kill()
    harness.run_to_end(harness.driver(place / "shared"))
    outcome.count(1, [] if refused else [second.said], "second run")
    return outcome


def drain(place: Path, *, steps: int) -> Outcome:
    """Memory and open files of one long run."""
    outcome = Outcome(fault=f"none: {steps:,} steps in a row, with {steps // 50} saves")
    flags = {"steps": steps, "seconds": 0.0005, "save_every": 50, "preview_every": 100, "log_every": 10}
    process = harness.Process(harness.driver(place / "run", **flags))
    seen = []
    for step in range(steps // 10, steps + 1, steps // 10):
        process.wait_for_step(step)
        proc = Path("/proc") / str(process.popen.pid)
        pages = int((proc / "statm").read_text().split()[1])
        seen.append(
            (step, pages * 4096 / 2**20, len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir())))
        )
    process.kill()
    outcome.notes += [f"step {s}: {m:.0f} MiB, {f} open files, {t} threads" for s, m, f, t in seen]
    kept = sorted(int(entry.name) for entry in (place / "run" / "teacher" / "checkpoints").glob("[0-9]*"))
    settled = seen[len(seen) // 5]
    lost = [] if seen[-1][1] < 1.05 * settled[1] + 10 else ["memory grows"]
    lost += [] if seen[-1][2] <= settled[2] + 8 else ["open files grow"]
    lost += [] if len([k for k in kept if ".orbax" not in str(k)]) <= 3 else [f"kept {kept}"]
    outcome.count(1, lost, "drain")
    return outcome
