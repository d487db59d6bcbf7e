import shutil

import pytest
from tensorflow_datasets.core import shuffle

from tfds_builders import shuffling
from tfds_builders.preparation import prepare


def test_large_split_is_the_same_and_needs_no_tensorflow(tmp_path, write_sen12, monkeypatch):
    for patch in range(40):
        write_sen12(tmp_path / "files", season="ROIs1158_spring", scene=1, patch=patch)
    prepare("sen12", data_dir=tmp_path / "memory", manual_dir=tmp_path / "files")
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 2000)
    monkeypatch.setattr(shuffle, "tf", None)
    added = []
    monkeypatch.setattr(
        shuffling.Bucket, "add", lambda self, *item, add=shuffling.Bucket.add: added.append(add(self, *item))
    )
    prepare("sen12", data_dir=tmp_path / "disk", manual_dir=tmp_path / "files")
    assert len(added) == 40

    memory, disk = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.array_record*")}
        for name in ("memory", "disk")
    )
    assert memory == disk and memory
    assert not list((tmp_path / "disk").rglob("*.tmp"))
    assert shuffle._Bucket is not shuffling.Bucket


def test_bucket_returns_what_was_added(tmp_path):
    bucket = shuffling.Bucket(tmp_path / "bucket")
    assert list(bucket.read_values()) == []
    examples = [(2**128 - 1, b"last"), (0, b""), (2**64, b"\0" * 1000)]
    for key, data in examples:
        bucket.add(key, data)
    assert list(bucket.read_values()) == examples
    assert (len(bucket), bucket.size) == (3, 1004)
    bucket.del_file()
    bucket.del_file()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("same", [True, False])
def test_equal_keys_are_found_in_buckets(tmp_path, monkeypatch, same):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
    with shuffling.without_tensorflow():
        shuffler = shuffle.Shuffler(tmp_path, "salt")
        for key in ("a", "a" if same else "b"):
            shuffler.add(key, key.encode())
        if same:
            with pytest.raises(shuffle.DuplicatedKeysError):
                list(shuffler)
        else:
            assert sorted(data for _, data in shuffler) == [b"a", b"b"]


def test_room_for_the_second_copy_of_a_large_split_is_asked_for(tmp_path, write_sen12, monkeypatch):
    for patch in range(40):
        write_sen12(tmp_path / "files", season="ROIs1158_spring", scene=1, patch=patch)
    size = sum(path.stat().st_size for path in (tmp_path / "files").rglob("*.png"))
    free = int(1.5 * size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10 * free, 9 * free, free))
    prepare("sen12", data_dir=tmp_path / "memory", manual_dir=tmp_path / "files")
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 2000)
    with pytest.raises(OSError, match=r"needs about .* GB, but only .* GB are free"):
        prepare("sen12", data_dir=tmp_path / "disk", manual_dir=tmp_path / "files")
    assert not list((tmp_path / "disk").rglob("*.array_record*"))
