import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from sar2opt_jax.data import prepared
from sar2opt_jax.data.examples import Examples
from tfds_builders import files, prepare

PROJECT = Path(__file__).parents[2]
SEASON = "ROIs1158_spring"


@pytest.fixture(name="raw")
def pairs_of_three_scenes(tmp_path, write_sen12, scene_in):
    for split in ("train", "validation", "test"):
        for patch in (1, 2):
            write_sen12(tmp_path / "raw", season=SEASON, scene=scene_in(split, SEASON), patch=patch)
    return tmp_path / "raw"


def test_command_prepares_what_the_pipeline_reads(tmp_path, raw, capsys):
    prepare.main(["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}", "--processes=2"])
    printed = capsys.readouterr().out
    assert f"sen12/all/1.0.0: {tfds_size(tmp_path)} in {tmp_path}" in printed
    rows = [line.split() for line in printed.splitlines()]
    for row in (
        ["train", "2", "33.3%", "1"],
        ["validation", "2", "33.3%", "1"],
        ["test", "2", "33.3%", "1"],
        ["all", "6", "3"],
    ):
        assert row in rows
    assert any(row[:5] == ["sar", "of", "0", "..", "255:"] for row in rows)
    assert "audit: clean" in printed

    source = prepared.open_split("sen12", split="train", data_dir=tmp_path)
    examples = Examples(source, num_examples=2, image_size=256)
    batch, ids = examples.batch(), examples.ids
    assert batch.sar.shape == (2, 256, 256, 1) and batch.optical.shape == (2, 256, 256, 3)
    assert all(name.startswith(f"{SEASON}_") for name in ids)


def tfds_size(data_dir):
    return tfds.builder_from_directory(data_dir / "sen12" / "all" / "1.0.0").info.dataset_size


def test_empty_split_is_said_aloud(tmp_path, write_sen12, scene_in, capsys):
    write_sen12(tmp_path / "raw", season=SEASON, scene=scene_in("train", SEASON), patch=1)
    prepare.main(["sen12", f"--manual_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path}"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "   empty" in line]
    assert [line.split()[0] for line in lines] == ["validation", "test"]


def test_skip_bad_leaves_out_and_records(tmp_path, raw, capsys):
    bad = sorted(raw.rglob("*_s1_*_p1.png"))[0]
    bad.write_bytes(b"")
    arguments = ["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"]
    with pytest.raises(SystemExit, match="1 bad files"):
        prepare.main(arguments)
    prepare.main([*arguments, "--skip_bad"])
    assert "1 files or pairs left out" in capsys.readouterr().out
    report = json.loads((tmp_path / "sen12" / "all" / "audit_1.0.0.json").read_text())
    assert report["left_out"] == [{"path": str(bad), "reason": "empty, 0 bytes"}]
    assert sum(report["pairs"].values()) == 5


def test_leak_stops_the_preparation_and_is_reported(tmp_path, raw, scene_in, capsys):
    scenes = {split: scene_in(split, SEASON) for split in ("train", "test")}
    paths = {split: raw / SEASON / f"s2_{scene}" / f"{SEASON}_s2_{scene}_p2.png" for split, scene in scenes.items()}
    shutil.copy(paths["test"], paths["train"])
    arguments = ["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"]
    with pytest.raises(SystemExit, match=r"optical of .*_p2 \(train\) and of .*_p2 \(test\)"):
        prepare.main(arguments)
    report = tmp_path / "sen12" / "all" / "audit_1.0.0.json"
    assert json.loads(report.read_text())["clean"] is False
    assert not list(tmp_path.rglob("*.array_record*"))

    prepare.main([*arguments, "--skip_bad"])
    assert "audit: clean" in capsys.readouterr().out
    kept = json.loads(report.read_text())
    assert [entry["pair"] for entry in kept["left_out"]] == [f"{SEASON}_{scenes['train']}_p2"]
    assert kept["pairs"] == {"train": 1, "validation": 2, "test": 2}


def test_full_disk_is_noticed_before_anything_is_decoded(tmp_path, raw, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 100, 100))
    monkeypatch.setattr(files, "check_pairs", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(OSError, match=r"needs about .* but only 0\.000 GB are free"):
        prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw)


def test_second_preparation_at_the_same_time_is_refused(tmp_path, raw):
    folder = tmp_path / "sen12" / "all"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r"is being prepared in .* by another process"):
            prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw)
    prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw)


def test_preparing_twice_is_a_no_op_that_needs_no_files(tmp_path, raw):
    prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sen12").rglob("*")}
    builder = prepare.prepare("sen12", data_dir=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sen12").rglob("*")} == before
    assert ["all", "6", "3"] in [line.split() for line in prepare.summary(builder).splitlines()]


def test_configuration_stands_after_a_slash(tmp_path, write_image):
    for kind, mode in (("sar", "L"), ("opt", "RGB")):
        write_image(tmp_path / "raw" / f"{kind}_256_oc_0.2" / "1.png", mode=mode)
    prepare.prepare("gf3/qxs_saropt", data_dir=tmp_path, manual_dir=tmp_path / "raw")
    for name in ("gf3", "gf3/qxs_saropt"):
        assert prepare.prepare(name, data_dir=tmp_path).info.full_name == "gf3/qxs_saropt/1.0.0"
        assert len(prepared.open_split(name, split="train", data_dir=tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sentinel", "Unknown dataset 'sentinel'; known are gf3, pairs, sen12, simulated"),
        ("gf3/paper", "gf3 has no configuration 'paper'; known: qxs_saropt"),
        ("sen12/rgb", "sen12 has no configuration 'rgb'; known: all, spring"),
    ],
)
def test_unknown_names_list_the_known_ones(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        prepare.prepare(name, data_dir=tmp_path)


def test_file_format_is_checked_before_anything_is_read(tmp_path, raw, monkeypatch):
    with pytest.raises(ValueError, match="Unknown file format 'zip'; known are array_record, tfrecord"):
        prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw, file_format="zip")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="written by TensorFlow"):
        prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw, file_format="tfrecord")


def test_missing_files_are_a_clear_sentence(tmp_path):
    def refused(manual_dir):
        with pytest.raises(FileNotFoundError) as caught:
            prepare.prepare("sen12", data_dir=tmp_path / "data", manual_dir=manual_dir)
        return str(caught.value)

    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("nothing here")
    assert refused(None).startswith("sen12 is made from downloaded files: give --manual_dir. Download SEN1-2")
    assert refused(tmp_path / "gone").startswith(f"manual_dir {tmp_path}/gone does not exist. Download SEN1-2")
    assert refused(tmp_path / "empty").startswith(f"manual_dir {tmp_path}/empty is empty. Download SEN1-2")
    assert refused(tmp_path / "other").startswith(f"No pairs under {tmp_path}/other: expected files such as ROIs")


def test_command_ends_with_one_message_and_no_traceback(tmp_path):
    with pytest.raises(SystemExit) as caught:
        prepare.main(["sen12", f"--manual_dir={tmp_path}/gone", f"--data_dir={tmp_path}"])
    assert str(caught.value).startswith("manual_dir")


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_preparation_leaves_no_dataset_and_the_next_starts_clean(tmp_path, raw, kill):
    # The process sends itself the signal while it writes the second split.
    program = f"""
import os, sys
from tfds_builders import files, prepare
original, count = files.EightBit.stored, 0
def stored(self, path):
    global count
    count += 1
    if count == 8:
        os.kill(os.getpid(), {int(kill)})
    return original(self, path)
files.EightBit.stored = stored
prepare.main(sys.argv[1:])
"""
    arguments = ["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    killed = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, timeout=120, check=False
    )
    assert killed.returncode == (-kill if kill == signal.SIGKILL else 128 + kill), killed.stderr.decode()
    with pytest.raises(FileNotFoundError, match="sen12 is not prepared"):
        prepared.open_split("sen12", split="train", data_dir=tmp_path)
    leftovers = list((tmp_path / "sen12").rglob("incomplete.*"))
    assert len(leftovers) == (1 if kill == signal.SIGKILL else 0)

    prepare.main(arguments)
    assert len(prepared.open_split("sen12", split="train", data_dir=tmp_path)) == 2
    assert not list((tmp_path / "sen12").rglob("incomplete.*"))
