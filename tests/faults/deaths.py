"""Faults of the soak that end, move or part processes; each is a function from an empty directory to its outcome."""

import contextlib
import hashlib
import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import driver
import harness
from outcome import Outcome

from sar2opt_jax.data.prepared import open_split

LONG = {"steps": 24, "seconds": 0.03}


def kills_of_the_driver(place: Path, *, count: int) -> Outcome:
    """Six kills a run, at seeded moments."""
    outcome = Outcome(fault="kill -9 of a run of two tiny stages, at any moment")
    harness.run_to_end(harness.driver(place / "undisturbed", **LONG))
    expected = harness.remains(place / "undisturbed")
    seed = early = torn = 0
    while outcome.injected < count:
        workdir = place / f"seed_{seed}"
        deaths = harness.run_with_kills(harness.driver(workdir, **LONG), workdir, harness.draw_kills(seed, 6))
        hit = [death for death in deaths if death.early]
        outcome.count(len(hit), harness.differences(harness.remains(workdir), expected), f"seed {seed}")
        outcome.recovery_seconds += [d.recovery_seconds for d in hit if d.recovery_seconds is not None]
        early += sum(death.kill.moment == "start" for death in hit)
        torn += sum(death.torn for death in hit)
        seed += 1
    outcome.notes.append(
        f"After {torn} of them a torn checkpoint lay in the workdir; {early} were aimed at a run still starting."
    )
    return outcome


def kills_of_the_command(place: Path) -> Outcome:
    """The real command, in its smallest preset: teacher, ACD, evaluation."""
    outcome = Outcome(fault="kill -9 of `python -m sar2opt_jax.main --config=configs/acd.py:smoke`")

    def command(workdir: Path) -> list[str | Path]:
        flags = ["--config=configs/acd.py:smoke", f"--config.data.data_dir={place / 'data'}", f"--workdir={workdir}"]
        return [sys.executable, "-m", "sar2opt_jax.main", *flags]

    def lines(workdir: Path, stage: str) -> Callable[[], bool]:
        path = workdir / "metrics.jsonl"
        return lambda: path.exists() and f'"{stage}"' in path.read_text()

    harness.run_to_end(command(place / "undisturbed"))
    workdir = place / "killed"
    moments = [
        lambda: any(workdir.glob(harness.TORN)),
        lines(workdir, "adversarial"),
        lambda: (workdir / "adversarial" / "checkpoints" / "4").exists(),
    ]
    for moment in moments:
        process = harness.Process(command(workdir))
        harness.wait_until(lambda p=process, m=moment: p.popen.poll() is not None or m(), seconds=400)
        assert process.popen.poll() is None, process.said
        process.kill()
    harness.run_to_end(command(workdir))
    lost = harness.differences(harness.remains(workdir), harness.remains(place / "undisturbed"))
    outcome.count(len(moments), lost, "acd:smoke")
    if not (workdir / "report" / "results.json").exists():
        outcome.lost.append("no report")
    outcome.notes.append(
        "Killed in a checkpoint write of the teacher, in stage adversarial, and before the evaluation."
    )
    return outcome


def kills_of_a_preparation(place: Path, *, count: int) -> Outcome:
    """The dataset must be the same, and half a one never be taken for one."""
    outcome = Outcome(fault="kill -9 of `python -m tfds_builders.prepare simulated/tiny`")

    def command(name: str) -> list[str | Path]:
        return [sys.executable, "-m", "tfds_builders.prepare", "simulated/tiny", f"--data_dir={place / name}"]

    def pairs(name: str) -> dict[str, str]:
        """Digests of all examples; the files around them differ from one preparation to the next."""
        found = {}
        for split in ("train", "validation", "test"):
            source = open_split("simulated/tiny", split=split, data_dir=place / name)
            for number in range(len(source)):
                pair = source[number]
                content = pair["sar"].tobytes() + pair["optical"].tobytes() + bytes(pair["id"])
                found[f"{split} {number}"] = hashlib.sha256(content).hexdigest()
        return found

    began = time.monotonic()
    harness.run_to_end(command("undisturbed"))
    seconds, rng = time.monotonic() - began, random.Random(0)
    for number in itertools.count():
        if outcome.injected == count:
            break
        assert number < 10 * count, "the preparations end before they are killed"
        name, delay = f"kill_{number}", rng.uniform(0.2, 0.9) * seconds
        process = harness.Process(command(name))
        with contextlib.suppress(subprocess.TimeoutExpired):
            if number % 2:  # While it writes.
                incomplete = (place / name / "simulated" / "tiny").glob
                harness.wait_until(lambda p=process, g=incomplete: any(g("incomplete.*")) or p.popen.poll() is not None)
            else:
                process.popen.wait(delay)
        if process.popen.poll() is None:
            process.kill()
            lost = []
            if (place / name / "simulated" / "tiny" / "1.0.0").exists():  # It was whole already, or must not be there.
                lost += harness.differences(pairs(name), pairs("undisturbed"))
            harness.run_to_end(command(name))
            lost += harness.differences(pairs(name), pairs("undisturbed"))
            lost += [path.name for path in (place / name).rglob("incomplete.*")]
            outcome.count(1, lost, name)
        else:
            process.wait()
    return outcome


def several_processes(place: Path) -> Outcome:
    """Two and four processes; one is killed, or told to stop; the relaunch ends as one process would have."""
    outcome = Outcome(fault="one of several processes killed, or told to stop by SIGTERM")
    flags = {"steps": 6, "save_every": 2, "preview_every": 100, "seconds": 0.05}
    alone = place / "alone"
    harness.run_to_end(harness.driver(alone, **flags), environment=harness.with_devices(4))
    expected = harness.remains(alone)
    killed = [(count, victim, signal.SIGKILL, 5) for count, victim in ((2, 1), (2, 0), (4, 2))]
    # The last step of a stage as well: the notice has to reach the next one.
    told = [(2, 1, signal.SIGTERM, 1), (2, 0, signal.SIGTERM, 6)]
    for count, victim, number, step in killed + told:
        workdir = place / f"{count}_{victim}_{number.name}"
        # Slowly where they save and leave: what they save shall not be among the newest at the end.
        pace = {"seconds": 0.3} if number == signal.SIGTERM else {}
        started = harness.start_several(workdir, processes=count, devices=4 // count, **flags | pace)
        started[0].wait_for_step(step)
        began = time.monotonic()
        started[victim].popen.send_signal(number)
        statuses = [process.wait() for process in started]
        fall, lost = time.monotonic() - began, []
        if number == signal.SIGTERM and statuses != [driver.INTERRUPTED_STATUS] * count:
            lost.append(f"statuses {statuses}")
        if number == signal.SIGKILL and 0 in statuses:
            lost.append(f"statuses {statuses}")
        again = harness.start_several(workdir, processes=count, devices=4 // count, **flags)
        lost += [process.said for process in again if process.wait() != 0]
        outcome.recovery_seconds.append(again[0].first_step_seconds or 0.0)
        try:
            harness.assert_close(harness.remains(workdir), expected)
        except AssertionError as error:
            lost.append(str(error))
        outcome.count(1, lost, workdir.name)
        outcome.notes.append(
            f"{count} processes, {number.name} to process {victim} in step {step} of 6: all had left after "
            f"{fall:.1f} s, exit statuses {statuses}."
        )
    return outcome


def other_devices(place: Path) -> Outcome:
    """A run is stopped again and again, and each time resumes with another number of devices or processes."""
    outcome = Outcome(fault="a run stopped by SIGTERM resumes with other devices or processes")
    # Long enough for the last of the stops, which several processes make some steps after the notice.
    flags = {"steps": 40, "save_every": 5, "preview_every": 100, "seconds": 0.05}
    harness.run_to_end(harness.driver(place / "alone", **flags), environment=harness.with_devices(1))
    expected = harness.remains(place / "alone")
    for moves in ([(1, 8), (1, 2), (1, 1), (1, 4)], [(2, 4), (1, 2), (2, 1), (4, 1)]):
        workdir, lost = place / "_".join(f"{processes}x{devices}" for processes, devices in moves), []
        for processes, devices in moves[:-1]:
            started = harness.start_several(workdir, processes=processes, devices=devices, **flags)
            started[0].wait_for_step(2)
            # Of several processes all get the notice, as a scheduler gives it.
            for process in started:
                process.popen.terminate()
            statuses = [process.wait() for process in started]
            lost += [] if set(statuses) == {driver.INTERRUPTED_STATUS} else [f"statuses {statuses}"]
        processes, devices = moves[-1]
        last = harness.start_several(workdir, processes=processes, devices=devices, **flags)
        lost += [process.said for process in last if process.wait() != 0]
        outcome.recovery_seconds.append(last[0].first_step_seconds or 0.0)
        try:
            harness.assert_close(harness.remains(workdir), expected)
        except AssertionError as error:
            lost.append(str(error))
        outcome.count(len(moves) - 1, lost, workdir.name)
        path = ", then ".join(f"{processes} x {devices}" for processes, devices in moves)
        outcome.notes.append(f"Processes times devices: {path}: as one device alone, to a relative 1e-5.")
    return outcome


def processes_that_disagree(place: Path) -> Outcome:
    """A checkpoint that one of several processes cannot read is given up by all of them."""
    outcome = Outcome(fault="a checkpoint that one of several processes cannot read")
    flags = {"steps": 6, "save_every": 2, "preview_every": 100, "seconds": 0.05}
    harness.run_to_end(harness.driver(place / "alone", **flags), environment=harness.with_devices(4))
    expected = harness.remains(place / "alone")
    for count, victim in ((2, 0), (2, 1), (4, 3)):
        workdir = place / f"{count}_{victim}"
        shutil.copytree(place / "alone", workdir)
        shutil.rmtree(workdir / "distill")
        several = harness.start_several(
            workdir, processes=count, devices=4 // count, unreadable=f"{victim}:teacher/6", **flags
        )
        lost = [process.said for process in several if process.wait() != 0]
        lost += [] if (workdir / "teacher" / "checkpoints" / "unreadable.6").is_dir() else ["it was not moved aside"]
        outcome.recovery_seconds.append(several[0].first_step_seconds or 0.0)
        try:
            harness.assert_close(harness.remains(workdir, besides="unreadable.*"), expected)
        except AssertionError as error:
            lost.append(str(error))
        outcome.count(1, lost, workdir.name)
    outcome.notes.append("All of them said which process could not read it and why, and went back to the one before.")
    return outcome
