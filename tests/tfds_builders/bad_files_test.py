import os
from pathlib import Path

import pytest

from tfds_builders import bad_files
from tfds_builders.bad_files import BadFile, BadFilesError

ROOT = Path("/data")


def message(*bad):
    return str(BadFilesError(bad, root=ROOT))


def test_one_mistake_made_often_is_one_line_with_a_count():
    bad = [BadFile(ROOT / f"sar/{number:05d}.tif", "no optical partner") for number in range(10_002)]
    error = BadFilesError(reversed(bad), root=ROOT)
    lines = str(error).splitlines()
    assert lines[1] == "  10,002 files, the first one /data/sar/00000.tif: no optical partner" and len(lines) == 3
    assert lines[2].startswith("10,002 bad files under /data. ")
    assert error.bad == bad and error.abbreviated
    assert error.listing().splitlines()[-1] == "/data/sar/10001.tif: no optical partner"


def test_same_mistake_with_other_names_and_numbers_is_one_line():
    bad = [
        bad
        for number in range(50)
        for bad in (
            BadFile(ROOT / f"a{number}", f"the same patch as /data/my files/{number}.tif"),
            BadFile(ROOT / f"b{number}", f"no scene in 'porto_{number}' by --scene_regex=^x"),
            BadFile(ROOT / f"c{number}", f"{number} x {number + 1} pixels, expected 16 x 16"),
            BadFile(ROOT / "pairs.csv", f"line {number}: no path"),
        )
    ]
    assert len(message(*bad).splitlines()) == 1 + 4 + 1


def test_rare_mistakes_are_listed_beside_a_frequent_one():
    often = [BadFile(ROOT / f"{number}.tif", "no optical partner") for number in range(100)]
    text = message(*often, BadFile(ROOT / "x.tif", "empty, 0 bytes"))
    assert "  /data/x.tif: empty, 0 bytes\n" in text and "  100 files, the first one /data/0.tif" in text
    few = message(*often[: bad_files.LISTED])
    assert all(f"/data/{number}.tif: no" in few for number in range(bad_files.LISTED))


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (10_002, "10,002 files")])
def test_counted_things_are_in_the_right_number(number, text):
    assert bad_files.counted(number, "file") == text
    assert bad_files.counted(number, "file is", "files are").startswith(text)
    assert message(*[BadFile(ROOT / str(i), "empty") for i in range(number)]).count("1 bad files") == 0


def test_any_path_can_be_printed():
    path = Path(os.fsdecode(b"/data/S\xe3o.tif"))
    assert bad_files.shown(path) == "/data/S\\xe3o.tif"
    message(BadFile(path, "empty")).encode()
