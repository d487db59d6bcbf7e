import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sar2opt_jax import paths


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_local_path_expands_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.local_path("~/runs/a", "--workdir") == tmp_path / "runs" / "a"
    assert paths.local_path(Path("~"), "--workdir") == tmp_path
    assert paths.local_path("runs/~a", "--workdir") == Path("runs/~a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gs://bucket/run", "--workdir: gs://bucket/run is an address; expected a path on this machine"),
        ("", "--workdir is empty"),
        (" ", "--workdir is empty"),
        ("~no-such-user/run", "--workdir: ~no-such-user/run names the home of a user 'no-such-user'"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        paths.local_path(text, "--workdir")


def test_existing_name_with_a_tilde_is_no_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~no-such-user").mkdir()
    assert paths.local_path("~no-such-user/run", "--workdir") == Path("~no-such-user/run")


def test_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    paths.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), paths.atomic_file(path) as temporary:
        temporary.write_text("half")
        assert json.loads(path.read_text()) == {"a": 1}
        _ = 1 / 0
    assert json.loads(path.read_text()) == {"a": 1}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("make", [paths.atomic_file, paths.atomic_directory])
def test_missing_parents_are_made_and_removed_again_on_failure(make, tmp_path):
    with pytest.raises(ZeroDivisionError), make(tmp_path / "a" / "b" / "c"):
        _ = 1 / 0
    assert names(tmp_path) == []
    with make(tmp_path / "a" / "b" / "c") as temporary:
        if make is paths.atomic_file:
            temporary.write_text("whole")
    assert names(tmp_path / "a" / "b") == ["c"]


def test_parent_with_content_of_others_stays_on_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), paths.atomic_file(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "other").touch()
        _ = 1 / 0
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["other"]


def test_name_as_long_as_the_file_system_allows_is_written(tmp_path):
    paths.write_text(tmp_path / ("n" * 255), "content")
    assert names(tmp_path) == ["n" * 255]


def test_symbolic_link_stays_and_its_target_is_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    link.symlink_to(target)
    paths.write_text(link, "content")
    assert link.is_symlink()
    assert target.read_text() == "content"


def test_file_has_the_mode_of_a_plain_one(tmp_path):
    (tmp_path / "plain").write_text("a")
    paths.write_text(tmp_path / "atomic", "a")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writers_at_once_do_not_mix_their_contents(tmp_path):
    path, contents = tmp_path / "a.txt", [letter * 100_000 for letter in "abcd"]
    script = (
        "import sys; from sar2opt_jax import paths\nfor _ in range(50): paths.write_text(sys.argv[1], 'e' * 100_000)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)])
    threads = [
        threading.Thread(target=lambda text=text: [paths.write_text(path, text) for _ in range(50)])
        for text in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            assert not path.exists() or len(set(path.read_text())) == 1
    assert process.wait() == 0
    assert path.read_text() in [*contents, "e" * 100_000]
    assert names(tmp_path) == ["a.txt"]


def test_killed_writer_leaves_no_half_file_and_its_leftover_is_removed(tmp_path):
    path = tmp_path / "a.txt"
    paths.write_text(path, "earlier")
    script = (
        "import os, signal, sys; from sar2opt_jax import paths\n"
        "with paths.atomic_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == -9
    assert path.read_text() == "earlier"
    assert len(names(tmp_path)) == 2
    paths.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_directory_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(ZeroDivisionError), paths.atomic_directory(target) as temporary:
        (temporary / "weights").touch()
        _ = 1 / 0
    assert names(tmp_path) == []
    target.mkdir()  # An empty one is as good as none.
    with paths.atomic_directory(target) as temporary:
        (temporary / "weights").touch()
        assert names(target) == []
    assert names(target) == ["weights"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_directory_does_not_replace_what_exists(kind, tmp_path):
    target = tmp_path / "model"
    occupied = target if kind == "file" else target / "weights"
    paths.write_text(occupied, "precious")
    with pytest.raises(ValueError, match="not an empty directory; choose another --output"):  # noqa: SIM117
        with paths.atomic_directory(target):
            pytest.fail("the block must not be entered")
    assert occupied.read_text() == "precious"


def test_json_has_null_for_numbers_that_json_does_not_have(tmp_path):
    content = {"a": [math.nan, math.inf, -math.inf, 0.1, 1], "b": {"c": (math.nan,)}, "ü": "ü", "n": None}
    paths.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    expected = {"a": [None, None, None, 0.1, 1], "b": {"c": [None]}, "ü": "ü", "n": None}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert paths.read_json(tmp_path / "a.json") == expected


@pytest.mark.parametrize("content", [None, b'{"a": 1', b"\xff\xfe", b""])
def test_missing_or_truncated_json_is_read_as_none(content, tmp_path):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    assert paths.read_json(path) is None


def test_the_current_directory_is_a_path():
    assert paths.local_path(".", "--input") == Path(".")
