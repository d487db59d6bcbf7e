import errno
import os

import pytest

from sar2opt_jax.engine import durable


@pytest.fixture
def forced(monkeypatch):
    """The paths that were forced, in order; a path may be given an error."""
    paths, errors = [], {}

    def fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path in errors:
            raise OSError(errors[path], os.strerror(errors[path]))
        paths.append(path)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths, errors


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "state" / "d").mkdir(parents=True)
    for name in ("state/d/0", "state/1", "note"):
        (tmp_path / name).touch()
    return tmp_path.resolve()


def test_every_file_and_folder_is_forced_and_a_folder_after_what_is_in_it(tree, forced):
    durable.force(tree)
    order = ["state/d/0", "state/d", "state/1", "state", "note"]
    assert forced[0] == [*(str(tree / name) for name in order), str(tree)]


def test_names_in_a_directory_are_forced_without_what_is_in_it(tree, forced):
    durable.force_names(tree)
    assert forced[0] == [str(tree)]


def test_disk_that_fails_raises(tree, forced):
    forced[1][str(tree / "state" / "1")] = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        durable.force(tree)


def test_file_system_that_cannot_is_passed_over(tree, forced):
    forced[1][str(tree / "state" / "1")] = errno.EINVAL
    durable.force(tree)
    assert len(forced[0]) == 5
