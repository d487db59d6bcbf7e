"""Several processes share an evaluation, and find what one alone finds."""

import json
import sys
from pathlib import Path

import harness
import numpy as np
from PIL import Image

SCRIPT = Path(__file__).with_name("process.py")


def evaluated(directory: Path, *, processes: int, devices: int) -> tuple[np.ndarray, list[float]]:
    """The translations and the PSNR of each; the first process has taken the time."""
    directory.mkdir()
    command = [sys.executable, SCRIPT, f"--directory={directory}", f"--processes={processes}"]
    if processes > 1:
        command.append(f"--coordinator=127.0.0.1:{harness.free_port()}")
    started = [
        harness.Process([*command, f"--process={number}"], environment=harness.with_devices(devices))
        for number in range(processes)
    ]
    for process in started:
        assert process.wait() == 0, process.said
    files = sorted((directory / "translations" / "teacher-ddpm-5").glob("*.png"))
    found = json.loads((directory / "found.json").read_text())
    assert found["timed"]
    return np.stack([np.asarray(Image.open(path)) for path in files]), found["psnr"]


def test_two_processes_find_what_one_finds(tmp_path):
    alone, alone_psnr = evaluated(tmp_path / "alone", processes=1, devices=1)
    together, psnr = evaluated(tmp_path / "together", processes=2, devices=2)
    assert len(alone) == 7
    np.testing.assert_allclose(together.astype(int), alone, atol=1)  # A rounding may fall to the other side.
    np.testing.assert_allclose(psnr, alone_psnr, rtol=1e-3)
