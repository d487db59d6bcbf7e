"""Every file of tests is one that pytest collects: its defaults skip folders by names such as ``build``."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLLECT = """
import sys
import pytest


class Empty(pytest.Module):
    def collect(self):
        return []


class Names:
    def pytest_pycollect_makemodule(self, module_path, parent):
        print("collected", module_path)
        return Empty.from_parent(parent, path=module_path)


pytest.main(["--collect-only", "-p", "no:cacheprovider", "-c", sys.argv[1], *sys.argv[2:]], plugins=[Names()])
"""


def missed(*folders: Path) -> set[Path]:
    """The files of tests below folders, all those of the settings by default, that pytest does not collect."""
    command = [sys.executable, "-c", COLLECT, str(ROOT / "pyproject.toml"), *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    collected = {Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("collected /")}
    assert collected, done.stdout
    there = {path for folder in folders or [ROOT / "tests"] for path in folder.rglob("*_test.py")}
    return there - collected


def test_every_test_file_is_collected():
    assert missed() == set()


def test_check_sees_a_folder_that_pytest_skips(tmp_path):
    for name in ("build", "engine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "made_up_test.py").touch()
    assert missed(tmp_path) == {tmp_path / "build" / "made_up_test.py"}
