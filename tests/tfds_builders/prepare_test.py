import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sar2opt_jax.data import pipeline
from tfds_builders import prepare

PROJECT = Path(__file__).parents[2]
SEASON = "ROIs1158_spring"


@pytest.fixture(name="raw")
def pairs_of_three_scenes(tmp_path, write_sen12, scene_in):
    for split in ("train", "validation", "test"):
        for patch in (1, 2):
            write_sen12(tmp_path / "raw", season=SEASON, scene=scene_in(split, SEASON), patch=patch)
    return tmp_path / "raw"


def test_command_prepares_what_the_pipeline_reads(tmp_path, raw, capsys):
    prepare.main(["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"])
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith("sen12/1.0.0: ") and str(tmp_path) in line for line in printed)
    rows = [line.split() for line in printed[-4:]]
    assert rows == [["train", "2", "1"], ["validation", "2", "1"], ["test", "2", "1"], ["all", "6", "3"]]

    source = pipeline.open_split("sen12", split="train", data_dir=tmp_path)
    batch, ids = pipeline.evaluation_batch(source, num_examples=2, image_size=256)
    assert batch.sar.shape == (2, 256, 256, 1) and batch.optical.shape == (2, 256, 256, 3)
    assert all(name.startswith(f"{SEASON}_") for name in ids)


def test_preparing_twice_is_a_no_op_that_needs_no_files(tmp_path, raw):
    prepare.prepare("sen12", data_dir=tmp_path, manual_dir=raw)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sen12").rglob("*")}
    builder = prepare.prepare("sen12", data_dir=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sen12").rglob("*")} == before
    assert prepare.summary(builder).splitlines()[-1].split() == ["all", "6", "3"]


def test_configuration_stands_after_a_slash(tmp_path, write_image):
    for kind, mode in (("sar", "L"), ("opt", "RGB")):
        write_image(tmp_path / "raw" / f"{kind}_256_oc_0.2" / "1.png", mode=mode)
    prepare.prepare("gf3/qxs_saropt", data_dir=tmp_path, manual_dir=tmp_path / "raw")
    for name in ("gf3", "gf3/qxs_saropt"):
        assert prepare.prepare(name, data_dir=tmp_path).info.full_name == "gf3/qxs_saropt/1.0.0"
        assert len(pipeline.open_split(name, split="train", data_dir=tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sentinel", "Unknown dataset 'sentinel'; known are gf3, sen12, simulated"),
        ("gf3/paper", "gf3 has no configuration 'paper'; known: qxs_saropt"),
        ("sen12/rgb", "sen12 has no configuration 'rgb'; known: none"),
    ],
)
def test_unknown_names_list_the_known_ones(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        prepare.prepare(name, data_dir=tmp_path)


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
    assert refused(tmp_path / "other").startswith(f"No pairs under {tmp_path}/other: expected PNG files such as ROIs")


def test_command_ends_with_one_message_and_no_traceback(tmp_path):
    with pytest.raises(SystemExit) as caught:
        prepare.main(["sen12", f"--manual_dir={tmp_path}/gone", f"--data_dir={tmp_path}"])
    assert str(caught.value).startswith("manual_dir")


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_preparation_leaves_no_dataset(tmp_path, raw, capsys, kill):
    # The process sends itself the signal while it writes the second split.
    program = f"""
import os, sys
from tfds_builders import pairs, prepare
original, count = pairs.example, 0
def example(pair):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), {int(kill)})
    return original(pair)
pairs.example = example
prepare.main(sys.argv[1:])
"""
    arguments = ["sen12", f"--manual_dir={raw}", f"--data_dir={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    killed = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, timeout=120, check=False
    )
    assert killed.returncode == (-kill if kill == signal.SIGKILL else 128 + kill), killed.stderr.decode()
    with pytest.raises(FileNotFoundError, match="sen12 is not prepared"):
        pipeline.open_split("sen12", split="train", data_dir=tmp_path)
    leftovers = list((tmp_path / "sen12").glob("incomplete.*"))
    assert len(leftovers) == (1 if kill == signal.SIGKILL else 0)

    prepare.main(arguments)
    printed = capsys.readouterr().out
    assert len(pipeline.open_split("sen12", split="train", data_dir=tmp_path)) == 2
    assert ("Left over from a preparation that was killed" in printed) == (kill == signal.SIGKILL)
