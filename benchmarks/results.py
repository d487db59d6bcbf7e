"""What every benchmark writes: its repeats, and all that is needed to judge and to repeat them."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]


def circumstances(*packages: str) -> dict[str, Any]:
    """Hardware, commit and versions, for the JSON file of a result.

    Args:
        packages: distributions whose versions matter; one that is not installed is None.
    """
    return {
        "commit": _commit(),
        "hardware": {
            "cpu": _cpu(),
            "machine": platform.machine(),
            "cores": num_cores(),
        },
        "system": platform.platform(terse=True),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted to run in the last minute, this benchmark's own included; None where unknown."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def write(path: str | os.PathLike[str], result: dict[str, Any]) -> None:
    """Writes a result as JSON, into a folder that is made where missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this checkout, marked ``-dirty`` where files differ from it; None outside of git."""
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # Only Linux has this file.
    return platform.processor() or platform.machine()
