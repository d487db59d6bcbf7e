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
from tfds_builders import files, interruption, prepare

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
    with pytest.raises(SystemExit, match="1 bad file under"):
        prepare.main(arguments)
    prepare.main([*arguments, "--skip_bad"])
    assert "1 file or pair left out" in capsys.readouterr().out
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


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_preparation_leaves_no_dataset_and_the_next_starts_clean(tmp_path, raw, kill):
    # The process sends itself the signal while it writes the second split.
    program = f"""
import os, sys
from tfds_builders import files, interruption, prepare
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
    said = killed.stderr.decode()
    if kill == signal.SIGKILL:
        assert killed.returncode == -kill, said
    else:
        assert killed.returncode == interruption.STATUS == 75, said
        assert f"\nInterrupted by {kill.name}: nothing of sen12 was prepared" in said and "Traceback" not in said
    with pytest.raises(FileNotFoundError, match="sen12 is not prepared"):
        prepared.open_split("sen12", split="train", data_dir=tmp_path)
    leftovers = list((tmp_path / "sen12").rglob("incomplete.*"))
    assert len(leftovers) == (1 if kill == signal.SIGKILL else 0)

    prepare.main(arguments)
    assert len(prepared.open_split("sen12", split="train", data_dir=tmp_path)) == 2
    assert not list((tmp_path / "sen12").rglob("incomplete.*"))


@pytest.mark.parametrize(
    ("sent", "moment"), [(signal.SIGINT, "working"), (signal.SIGTERM, "working"), (signal.SIGINT, "starting")]
)
def test_signal_to_a_whole_group_is_one_line(tmp_path, raw, sent, moment):
    # As a terminal and a batch system send it: to the command and to the processes that decode files for it.
    program = f"""
import os, sys, threading
from tfds_builders import files, parallel, prepare
parallel._SHARE = parallel._CHUNK = 1
original = files.process_map
def end():
    os.killpg(0, {int(sent)})
def process_map(*args, **options):
    for result in original(*args, **options):
        end()
        yield result
class Pool(parallel.ProcessPoolExecutor):
    def submit(self, *args):
        if not self._processes:
            threading.Timer(0.3, end).start()  # While the first process imports.
        return super().submit(*args)
if {moment == "starting"}:
    parallel.ProcessPoolExecutor = Pool
else:
    files.process_map = process_map
prepare.main(sys.argv[1:])
"""
    command = [sys.executable, "-c", program, "sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}", "--processes=2"]
    ended = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    assert ended.returncode == interruption.STATUS, ended.stderr
    assert "Traceback" not in ended.stderr and "KeyboardInterrupt" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"Interrupted by {sent.name}: nothing of sen12 was prepared")


def test_second_signal_does_not_stop_clearing_up():
    cleared, before = [], signal.getsignal(signal.SIGINT)  # Ignored where the tests run in the background.
    with pytest.raises(interruption.Interrupted, match="SIGINT"), interruption.raised():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            cleared.append(True)
    assert cleared and signal.getsignal(signal.SIGINT) is before


def test_all_bad_files_are_listed_where_the_message_counts_them(tmp_path, write_sen12):
    for patch in range(12):
        write_sen12(tmp_path / "raw", season=SEASON, scene=1, patch=patch)
    for path in (tmp_path / "raw").rglob("*_s1_*.png"):
        path.write_bytes(b"")
    with pytest.raises(SystemExit, match=r"12 files, the first one .*: empty, 0 bytes") as caught:
        prepare.main(["sen12", f"--manual_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path}"])
    listed = Path(str(caught.value).rpartition("All of them are listed in ")[2].removesuffix("."))
    assert len(listed.read_text().splitlines()) == 12
    listed.unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data_dir=gs://bucket/x"], "--data_dir=gs://bucket/x is an address, expected a folder"),
        (["--manual_dir=gs://bucket/x"], "--manual_dir=gs://bucket/x is an address, expected a folder"),
        (["--data_dir="], "--data_dir is empty"),
        (["--processes=0"], "--processes=0 must be 1 or more"),
    ],
)
def test_what_a_command_cannot_do_is_refused_before_anything_is_written(tmp_path, raw, monkeypatch, arguments, message):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SystemExit, match=f"^{message}"):
        prepare.main(["sen12", f"--manual_dir={raw}", "--data_dir=data", *arguments])
    assert not list((tmp_path / "here").iterdir())


def test_home_is_expanded_in_both_folders(tmp_path, raw, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare.main(["sen12", f"--manual_dir=~/{raw.name}", "--data_dir=~/data"])
    assert (tmp_path / "data" / "sen12").is_dir()


def test_names_that_are_not_utf8_are_told(tmp_path, raw):
    (Path(os.fsdecode(os.fsencode(raw) + b"/S\xe3o.png"))).write_bytes(b"x")
    with pytest.raises(SystemExit, match=r"S\\xe3o\.png: the name is not UTF-8") as caught:
        prepare.main(["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"])
    str(caught.value).encode()
    prepare.main(["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}", "--skip_bad"])


def test_negative_values_may_follow_a_space():
    given = ["x", "--sar_range", "-25,0", "--optical_range", "0,1", "--sar_bands", "1", "--skip_bad"]
    joined = ["x", "--sar_range=-25,0", "--optical_range", "0,1", "--sar_bands", "1", "--skip_bad"]
    assert prepare._joined(given) == joined
    assert prepare._parser().parse_args(joined).sar_range == "-25,0"


def test_bands_that_are_no_numbers_are_refused(capsys):
    with pytest.raises(SystemExit):
        prepare.main(["pairs/x", "--sar_bands=VV,VH"])
    assert "'VV,VH' is no list of bands, expected numbers such as 4,3,2" in capsys.readouterr().err


def test_rules_and_blind_spots_are_in_the_summary(tmp_path, raw, capsys):
    prepare.main(["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"])
    said = " ".join(capsys.readouterr().out.split())
    assert "scenes: the season and the number in a file's name" in said and "splits: by a hash of the scene" in said
    assert "0 scenes and 0 images in several splits, by 24 comparisons; see" in said
    assert "the audit does not see ground shared by images that overlap by a half or less" in said
