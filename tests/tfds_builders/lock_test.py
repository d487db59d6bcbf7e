import builtins
import errno
import fcntl
import logging
import subprocess
import sys
import threading
import time

import pytest

from tfds_builders import preparation


def test_second_is_refused_with_the_name_of_the_first_or_waits_and_says_so(tmp_path):
    said, order = [], []

    def second():
        with preparation.alone(tmp_path, name="simulated", waiting=said.append):
            order.append("second")

    with preparation.alone(tmp_path, name="simulated"):
        with (
            pytest.raises(OSError, match=r"simulated is being prepared in .* by another process \(process \d+ on "),
            preparation.alone(tmp_path, name="simulated"),
        ):
            pytest.fail("two at once")
        thread = threading.Thread(target=second)
        thread.start()
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    [sentence] = said
    assert sentence.startswith(f"simulated is being prepared in {tmp_path}") and "waiting until it is done" in sentence


def test_leftovers_are_removed_and_a_replaced_version_gets_its_name_back(tmp_path):
    for name in ("incomplete.X_1.0.0", "previous_1.0.0", "previous_2.0.0", "2.0.0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with preparation.alone(tmp_path, name="x"):
        assert sorted(path.name for path in tmp_path.glob("*[!k]")) == ["1.0.0", "2.0.0"]
    assert (tmp_path / "1.0.0" / "file").read_text() == "previous_1.0.0"
    assert (tmp_path / "2.0.0" / "file").read_text() == "2.0.0"


def test_file_system_without_locks_is_said_and_nothing_is_removed(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "incomplete.X_1.0.0").mkdir()  # Another preparation may be at work in it.
    with caplog.at_level(logging.WARNING), preparation.alone(tmp_path, name="x"):
        assert (tmp_path / "incomplete.X_1.0.0").exists()
    assert "no lock (No locks available); nothing keeps a second preparation out" in caplog.text


def test_system_without_locks_is_named_in_one_sentence(tmp_path, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **options):
        if name == "fcntl":
            raise ModuleNotFoundError("No module named 'fcntl'", name="fcntl")
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(OSError, match=r"^This runs on Linux and macOS, and on Windows inside WSL"),
        preparation.alone(tmp_path / "new", name="x"),
    ):
        pass
    assert not (tmp_path / "new").exists()


def test_command_needs_no_locks_to_be_imported(tmp_path):
    program = "import sys; sys.modules['fcntl'] = None; from tfds_builders import prepare; prepare.main(sys.argv[1:])"
    command = [sys.executable, "-c", program]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=120, check=False)
    assert helped.returncode == 0 and "--manual_dir" in helped.stdout
    refused = subprocess.run(
        [*command, "simulated/tiny", f"--data_dir={tmp_path}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert refused.stderr.startswith("This runs on Linux and macOS")
