import dataclasses
import json

import pytest

from sar2opt_jax.scene import journal
from sar2opt_jax.scene.journal import Journal, SceneRecord

RECORD = SceneRecord(
    input="in.tif",
    output="a.tif",
    status="done",
    seconds=1.5,
    megapixels=2.0,
    notes=("One.",),
    reason=None,
    model="0123@9",
    time="2026-01-01T00:00:00+00:00",
)


def record(output="a.tif", **changed):
    return dataclasses.replace(RECORD, output=output, **changed)


def test_a_line_is_in_the_file_when_it_is_written(tmp_path):
    path = tmp_path / "new" / "scenes.jsonl"
    with Journal(path) as lines:
        lines.write(record())
        assert [json.loads(line)["output"] for line in path.read_text().splitlines()] == ["a.tif"]
        lines.write(record("b.tif", seconds=float("nan")))
    assert [line["seconds"] for line in journal.read(path)] == [1.5, None]
    assert [entry.name for entry in path.parent.iterdir()] == ["scenes.jsonl"]


def test_what_a_killed_process_left_is_mended_and_the_last_line_of_a_scene_counts(tmp_path):
    path = tmp_path / "scenes.jsonl"
    whole = [json.dumps(dataclasses.asdict(each)) for each in (record(), record("b.tif"), record(status="failed"))]
    path.write_text("\n".join(["not JSON", "[]", *whole]) + '\n{"output": "c.t')
    with Journal(path) as lines:
        assert [(line["output"], line["status"]) for line in journal.read(path)] == [
            ("a.tif", "failed"),
            ("b.tif", "done"),
        ]
        lines.write(record("c.tif"))
        lines.write(record("b.tif", status="failed"))
        assert len(journal.read(path)) == 4
    assert [(line["output"], line["status"]) for line in journal.read(path)] == [
        ("a.tif", "failed"),
        ("c.tif", "done"),
        ("b.tif", "failed"),
    ]


def test_a_file_has_one_writer(tmp_path):
    path = tmp_path / "scenes.jsonl"
    with (
        Journal(path),
        pytest.raises(BlockingIOError, match=r"another process is at work on .*scenes\.jsonl \(process"),
    ):
        Journal(path)
    with Journal(path):
        pass


def test_lines_stay_where_the_file_cannot_be_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "scenes.jsonl"

    def full(*args):
        raise OSError("No space left on device")

    with Journal(path) as lines:
        lines.write(record())
        lines.write(record(status="failed"))
        monkeypatch.setattr(journal.paths, "write_bytes", full)
    assert [line["status"] for line in journal.read(path)] == ["done", "failed"]
