import json
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from sar2opt_jax.engine.writer import JsonLines, TensorBoard, make_writer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def lines(path):
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def test_lines_hold_every_digit_and_no_nan(path):
    JsonLines(path, stage="teacher").scalars(7, {"loss": np.float32(0.1), "rate": 1 / 3, "bad": np.nan, "up": np.inf})
    assert lines(path) == [
        {"stage": "teacher", "step": 7, "loss": float(np.float32(0.1)), "rate": 1 / 3, "bad": None, "up": None}
    ]


def test_resume_forgets_only_what_the_stage_reported_later(path):
    teacher, distill = JsonLines(path, stage="teacher"), JsonLines(path, stage="distill")
    for step in (10, 20, 30):
        teacher.scalars(step, {"loss": step})
    distill.scalars(30, {"loss": 1})
    teacher.resume(20)
    assert [(line["stage"], line["step"]) for line in lines(path)] == [
        ("teacher", 10),
        ("teacher", 20),
        ("distill", 30),
    ]
    distill.resume(0)
    assert [(line["stage"], line["step"]) for line in lines(path)] == [("teacher", 10), ("teacher", 20)]


@pytest.mark.parametrize("torn", ['{"stage": "teacher", "st', '{"stage": "teacher", "step": 2', "\x00\x00"])
def test_resume_mends_a_torn_last_line(path, torn):
    writer = JsonLines(path, stage="teacher")
    writer.scalars(10, {"loss": 1})
    with path.open("a") as file:
        file.write(torn)
    writer.resume(10)
    writer.scalars(20, {"loss": 2})
    assert [line["step"] for line in lines(path)] == [10, 20]
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.jsonl"]


def test_all_writers_write_below_the_workdir(tmp_path):
    image = np.random.default_rng(0).integers(256, size=(8, 6, 3), dtype=np.uint8)
    with make_writer(tmp_path, stage="teacher") as writer:
        writer.resume(0)
        writer.scalars(500, {"loss/teacher": 0.5})
        writer.image(500, image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "previews" / "teacher_0000500.png")), image)
    assert lines(tmp_path / "metrics.jsonl") == [{"stage": "teacher", "step": 500, "loss/teacher": 0.5}]
    [events] = (tmp_path / "events" / "teacher").iterdir()
    assert b"loss/teacher" in events.read_bytes() and b"preview" in events.read_bytes()


@pytest.mark.parametrize("step", [0, 20])
def test_events_after_the_resumed_step_are_purged(tmp_path, step):
    for value in (1.0, 2.0):  # The second is the run that goes on after a kill.
        writer = TensorBoard(tmp_path / str(value))
        writer.resume(step)
        writer.scalars(step + 10, {"loss": value})
        writer.close()
    events = [event for event in read_events(tmp_path / "2.0") if event.HasField("session_log")]
    assert [(event.session_log.status, event.step) for event in events] == [(SessionLog.START, step + 1)]


def read_events(directory):
    """The events of the only file in a directory; a record is a length, its checksum, the event, its checksum."""
    [path] = directory.iterdir()
    data, events = path.read_bytes(), []
    while data:
        [length] = struct.unpack_from("<Q", data)
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with make_writer(tmp_path, stage="teacher") as writer:
        writer.resume(0)
        writer.scalars(1, {"loss": 1.0})
        writer.image(1, np.zeros((8, 8, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_leftover_of_a_killed_run_is_removed_from_the_previews(tmp_path):
    with make_writer(tmp_path, stage="teacher") as writer:
        writer.image(1, np.zeros((8, 8, 3), np.uint8))
        (tmp_path / "previews" / ".0123.partial").write_bytes(b"half")
        writer.resume(1)
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["teacher_0000001.png"]
