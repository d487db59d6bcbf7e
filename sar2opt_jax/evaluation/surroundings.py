"""What an evaluation ran on and with."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

import jax


def surroundings() -> dict[str, str]:
    """What numbers were measured on and with, and when, by names that a person reads."""
    return {
        **hardware(),
        "Commit": _commit() or "unknown (not run from a git checkout)",
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def hardware() -> dict[str, str]:
    """What a time depends on, but for what else runs."""
    device = jax.devices()[0]
    kind = device.device_kind
    if kind != device.platform:
        kind = f"{kind} ({device.platform})"
    return {
        "Device": f"{jax.device_count()} × {kind}",
        "Processor": f"{_processor()}, {os.cpu_count()} logical cores",
        "Software": f"JAX {jax.__version__}, Python {platform.python_version()}",
    }


def _processor() -> str:
    """The processor's model, which only Linux tells in full."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of this source, marked ``-dirty`` where files differ from it; None outside its own checkout."""
    here = Path(__file__)
    try:
        # An installed copy may lie in somebody else's repository, which does not track it.
        subprocess.run(
            ["git", "ls-files", "--error-unmatch", here.name], cwd=here.parent, check=True, capture_output=True
        )
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(command, cwd=here.parent, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
