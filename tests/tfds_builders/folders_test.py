from pathlib import Path

import pytest

from tfds_builders.folders import local_folder


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("gs://bucket/data", "--data_dir=gs://bucket/data is an address, expected a folder"),
        ("s3://bucket", "is an address"),
        ("file:///data", "is an address"),
        ("gs:/bucket", "is an address"),
        ("https://example.org/x", "is an address"),
        ("$HOME/data", "holds a variable that was not expanded"),
        ("${DATA}", "holds a variable that was not expanded"),
        ("%USERPROFILE%/data", "holds a variable that was not expanded"),
        ("~nobody-of-this-name/data", "there is no home folder of that user"),
        ("", "--data_dir is empty"),
        ("  ", "--data_dir is empty"),
    ],
)
def test_what_is_no_folder_of_this_machine_is_refused(typed, message):
    with pytest.raises(ValueError) as caught:
        local_folder(typed, flag="--data_dir")
    assert message in str(caught.value)


def test_home_is_expanded_and_plain_folders_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder("~/data", flag="--data_dir") == tmp_path / "data"
    assert local_folder("~", flag="--data_dir") == tmp_path
    assert local_folder("data/my set", flag="--data_dir") == Path("data/my set")
    assert local_folder(tmp_path, flag="--data_dir") == tmp_path
    (tmp_path / "$x").mkdir()
    assert local_folder(tmp_path / "$x", flag="--data_dir") == tmp_path / "$x"


def test_file_is_refused(tmp_path):
    (tmp_path / "raw.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"raw\.zip is a file, expected a folder; an archive has to be unpacked"):
        local_folder(tmp_path / "raw.zip", flag="--manual_dir")
