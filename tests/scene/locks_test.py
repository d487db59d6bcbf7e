import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from sar2opt_jax.scene import locks


def dies_with_the_lock(path: Path) -> None:
    with locks.held(path):
        os._exit(0)


def test_a_lock_is_of_one_and_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "a.tif"
    with locks.held(path), pytest.raises(BlockingIOError, match=rf"process {os.getpid()} on"), locks.held(path):
        pass
    with locks.held(path):
        assert [entry.name for entry in path.parent.iterdir()] == [".a.tif.lock"]
    assert not [*path.parent.iterdir()]


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=dies_with_the_lock, args=(tmp_path / "a.tif",))
    process.start()
    process.join()
    assert (tmp_path / ".a.tif.lock").exists()
    with locks.held(tmp_path / "a.tif"):
        pass


def test_who_waits_gets_the_lock(tmp_path):
    order, threads = [], []

    def second():
        with locks.held(tmp_path / "a.tif", wait_seconds=60):
            order.append("second")

    with locks.held(tmp_path / "a.tif"):
        threads.append(threading.Thread(target=second))
        threads[0].start()
        order.append("first")
    threads[0].join()
    assert order == ["first", "second"] and not (tmp_path / ".a.tif.lock").exists()


def test_a_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    import fcntl

    def fail(descriptor, operation):
        raise OSError("Function not implemented")

    monkeypatch.setattr(fcntl, "flock", fail)
    with locks.held(tmp_path / "a.tif"):
        assert "no lock (Function not implemented)" in caplog.text
