import errno
import multiprocessing
import os
import sys

import pytest

from sar2opt_jax.engine import lock
from tfds_builders.lock import FILE


def try_to_hold(workdir, answer):
    try:
        with lock.hold(workdir):
            answer.send("held")
    except lock.WorkdirError as error:
        answer.send(str(error))


def ask_another_process(workdir):
    """What happens to a second process that wants the workdir."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=try_to_hold, args=(workdir, there))
    process.start()
    try:
        assert here.poll(120)
        return here.recv()
    finally:
        process.join()
        here.close()
        there.close()


def test_second_process_is_refused_until_the_first_is_done(tmp_path):
    workdir = tmp_path / "runs" / "mine"
    with lock.hold(workdir):
        refused = ask_another_process(workdir)
    assert refused.startswith(f"Another run is at work in {workdir} (process {os.getpid()} on ")
    assert ask_another_process(workdir) == "held"


def test_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(MemoryError), lock.hold(tmp_path):
        raise MemoryError
    with lock.hold(tmp_path):
        pass


def test_second_run_in_the_same_process_is_refused(tmp_path):
    with lock.hold(tmp_path), pytest.raises(lock.WorkdirError, match="Another run"), lock.hold(tmp_path):
        pass


def test_workdir_that_is_a_file_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(lock.WorkdirError, match=r"workdir .*/file cannot be written to \(File exists\). Choose another"),
        lock.hold(tmp_path / "file"),
    ):
        pass


def test_readonly_workdir_is_refused_with_the_reason(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("os.open", refuse)  # For root every directory can be written to.
    message = r"cannot be written to \(Read-only file system\)"
    with pytest.raises(lock.WorkdirError, match=message), lock.hold(tmp_path):
        pass


def test_file_system_without_locks_goes_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", unsupported)
    with lock.hold(tmp_path):
        assert "nothing keeps a second run out" in caplog.text


def test_system_without_the_locks_of_posix_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    message = "on Windows inside WSL; Windows without WSL has no file locks"
    with pytest.raises(lock.WorkdirError, match=message), lock.hold(tmp_path):
        pass


def test_only_the_first_process_of_a_run_holds_the_lock(tmp_path, monkeypatch):
    with lock.hold(tmp_path):
        monkeypatch.setattr("jax.process_index", lambda: 1)
        with lock.hold(tmp_path):
            pass


@pytest.fixture
def second(monkeypatch):
    """This process as the second of two; the first says what the test wants it to."""
    monkeypatch.setattr("jax.process_index", lambda: 1)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("platform.node", lambda: "host-b")
    monkeypatch.setattr(lock, "SHARED_SECONDS", 0.2)
    monkeypatch.setattr(lock.agreement, "gather", lambda mine: ["", mine])
    return lambda name: monkeypatch.setattr(lock.agreement, "first_says", lambda _: name)


def test_process_that_sees_the_workdir_of_the_first_goes_on(tmp_path, second):
    second("token")
    (tmp_path / "token").touch()
    with lock.hold(tmp_path):
        assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("workdir", ["", "missing"])
def test_process_with_a_workdir_of_its_own_is_named(workdir, tmp_path, second):
    second("token")
    message = "is not seen by process 1 on host-b. All processes of a run need one --workdir on a file system"
    with pytest.raises(lock.WorkdirError, match=message), lock.hold(tmp_path / workdir):
        pass


def test_first_process_hears_of_one_that_does_not_see_its_workdir(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 3)
    monkeypatch.setattr(lock.agreement, "first_says", lambda name: name)
    monkeypatch.setattr(lock.agreement, "gather", lambda mine: [mine, "", "host-c"])
    with pytest.raises(lock.WorkdirError, match="is not seen by process 2 on host-c"), lock.hold(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]  # The token is gone.


def test_leftovers_of_a_killed_run_are_removed_by_who_holds_the_lock(tmp_path, monkeypatch):
    leftover = tmp_path / ".0123.partial"
    leftover.touch()
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
        with lock.hold(tmp_path):
            assert leftover.exists()  # It may be another run's.
    with lock.hold(tmp_path):
        assert not leftover.exists()
