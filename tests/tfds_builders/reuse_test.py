import fcntl
import os
import shutil
import time

import pytest

from tfds_builders import pairs, prepare, registry
from tfds_builders.bad_files import BadFilesError
from tfds_builders.preparation import prepare_or_reuse


@pytest.fixture(name="raw")
def own_files(tmp_path, write_image):
    for name in ("a", "b", "c", "d"):
        write_image(tmp_path / "raw" / "sar" / f"{name}.png", mode="L", size=64)
        write_image(tmp_path / "raw" / "optical" / f"{name}.png", mode="RGB", size=64)
    return tmp_path / "raw"


@pytest.fixture(name="ask")
def requester(tmp_path, raw):
    def ask(**options):
        request = registry.Request(
            **({"name": "pairs/mine", "data_dir": tmp_path / "data", "manual_dir": raw} | options)
        )
        return prepare_or_reuse(request)

    return ask


def add_pair(raw, write_image, name="e"):
    write_image(raw / "sar" / f"{name}.png", mode="L", size=64)
    write_image(raw / "optical" / f"{name}.png", mode="RGB", size=64)


def count(done):
    return sum(split.num_examples for split in done.builder.info.splits.values())


def age(path):
    """Makes files older than the dataset, as downloaded ones are."""
    for file in path.rglob("*"):
        os.utime(file, (1e9, 1e9))


def test_same_files_again_read_nothing(ask, raw):
    age(raw)
    assert ask().made
    again = ask()
    assert not again.made and not again.remarks and count(again) == 4


def test_command_says_that_nothing_was_done(tmp_path, raw, ask, capsys):
    age(raw)
    ask()
    capsys.readouterr()
    prepare.main(["pairs/mine", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}"])
    assert capsys.readouterr().out.startswith("pairs/mine is already prepared, nothing read.\npairs/")


def test_other_files_are_refused_and_overwrite_takes_them(ask, raw, write_image):
    ask()
    add_pair(raw, write_image)
    with pytest.raises(
        ValueError, match=r"from other files than lie in .* \(10 files of .* now, 8 files of .* then\).*--overwrite"
    ):
        ask()
    assert count(ask(manual_dir=None)) == 4
    done = ask(overwrite=True)
    assert done.made and count(done) == 5 and count(ask()) == 5


@pytest.mark.parametrize("change", ["renamed", "rewritten", "table", "bad"])
def test_every_change_of_names_and_sizes_is_seen(ask, raw, write_image, change):
    if change == "table":
        (raw / "pairs.csv").write_text(
            "sar,optical,scene\n" + "".join(f"sar/{n}.png,optical/{n}.png,x{n}\n" for n in "abc")
        )
    ask()
    if change == "renamed":
        for kind in ("sar", "optical"):
            (raw / kind / "d.png").rename(raw / kind / "x.png")
    elif change == "rewritten":
        write_image(raw / "sar" / "d.png", mode="L", size=72)
    elif change == "table":
        (raw / "pairs.csv").write_text((raw / "pairs.csv").read_text().replace("xa", "scene"))
    else:
        (raw / "sar" / "lone.png").write_bytes(b"")
    with pytest.raises(ValueError, match="from other files"):
        ask()


def test_moved_files_are_the_same_files(tmp_path, ask, raw, monkeypatch):
    age(raw)
    ask()
    raw.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert not ask(manual_dir="moved").remarks and not ask(manual_dir="./moved/").remarks


def test_missing_folder_and_newer_files_are_remarked(tmp_path, ask, raw):
    ask()
    os.utime(raw / "sar" / "a.png", (time.time() + 100,) * 2)
    [remark] = ask().remarks
    assert "are newer than the dataset" in remark
    [remark] = ask(manual_dir=tmp_path / "gone").remarks
    assert remark == f"--manual_dir={tmp_path}/gone does not exist, so nothing was compared with it."


def test_datasets_of_before_say_that_they_cannot_be_compared(ask, monkeypatch):
    monkeypatch.setattr("tfds_builders.sources.SourceFiles.as_json", lambda self: None)
    ask()
    [remark] = ask().remarks
    assert "it is from before that was recorded" in remark


def test_other_settings_and_formats_are_refused(ask, monkeypatch):
    ask()
    with pytest.raises(ValueError, match=r"already, with other settings: .*--overwrite"):
        ask(settings=pairs.Settings(scene_regex="^[a-z]"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    with pytest.raises(ValueError, match=r"already, as array_record: choose another --data_dir, or .*--overwrite"):
        ask(file_format="tfrecord")
    assert not ask(file_format="array_record").made


def test_flag_that_is_new_makes_no_other_settings(ask, monkeypatch):
    settings, plain = pairs.Settings(scene_regex="^[a-z]"), pairs.Settings.as_json
    with monkeypatch.context() as old:
        old.setattr(pairs.Settings, "as_json", lambda self: {k: v for k, v in plain(self).items() if k != "optical"})
        ask(settings=settings)
    monkeypatch.setattr(pairs.Settings, "as_json", lambda self: {"optical": None} | plain(self) | {"optical": None})
    assert not ask(settings=settings).made


def test_what_skip_bad_left_out_is_said(ask, raw):
    (raw / "sar" / "a.png").write_bytes(b"")
    ask(skip_bad=True)
    assert "It was prepared with --skip_bad, which left 1 of files and pairs out." in ask().remarks
    assert not any("skip_bad" in remark for remark in ask(skip_bad=True).remarks)


@pytest.mark.parametrize("damage", ["shard", "info", "empty"])
def test_dataset_that_is_not_complete_is_refused(ask, damage):
    folder = ask().builder.data_path
    if damage == "empty":
        shutil.rmtree(folder)
        os.makedirs(folder)
    else:
        next(folder.glob("*.array_record*" if damage == "shard" else "dataset_info.json")).unlink()
    with pytest.raises(ValueError, match=r"is no complete dataset.*--overwrite prepares it again"):
        ask()
    assert count(ask(overwrite=True)) == 4 and not ask().made


def test_overwrite_that_fails_keeps_the_dataset_and_its_audit(tmp_path, ask, raw):
    ask()
    folder = tmp_path / "data" / "pairs" / "mine"
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock"}
    (raw / "sar" / "a.png").write_bytes(b"")
    with pytest.raises(BadFilesError):
        ask(overwrite=True)
    shutil.copy(raw / "optical" / "b.png", raw / "optical" / "c.png")
    shutil.copy(raw / "optical" / "b.png", raw / "optical" / "d.png")
    shutil.copy(raw / "sar" / "b.png", raw / "sar" / "a.png")
    with pytest.raises(ValueError, match=r"everything found is listed in .*/new_audit_1\.0\.0\.json"):
        ask(overwrite=True)
    assert {path: path.read_bytes() for path in before} == before
    assert count(ask(manual_dir=None)) == 4
    done = ask(overwrite=True, skip_bad=True)
    assert done.made and count(done) < 4
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "1.0.0", "audit_1.0.0.json"]


def test_bundled_dataset_is_made_once_by_two_at_once(tmp_path, ask):
    # While the second waits for the lock, the first one finishes.
    said = []
    folder = tmp_path / "data" / "simulated" / "tiny"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def wait(sentence):
            said.append(sentence)
            other = ask(name="simulated/tiny", manual_dir=None, data_dir=tmp_path / "elsewhere")
            shutil.copytree(other.builder.data_path, folder / "1.0.0")
            fcntl.flock(lock, fcntl.LOCK_UN)

        done = ask(name="simulated/tiny", manual_dir=None, waiting=wait)
    assert not done.made and len(said) == 1 and count(done) == 64
