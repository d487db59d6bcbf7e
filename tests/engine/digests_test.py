import hashlib
import json

import pytest
from etils import epath

from sar2opt_jax.engine import digests


@pytest.fixture
def checkpoint(tmp_path):
    """Two items, one of them with a folder, and a note beside them."""
    for name, content in {"state/d/0": b"numbers", "state/manifest": b"", "meta/metadata": b"{}", "note": b"x"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    digests.write(epath.Path(tmp_path))
    return epath.Path(tmp_path)


def test_digests_are_those_of_every_file_of_the_items(checkpoint):
    written = json.loads((checkpoint / digests.FILE).read_text())
    assert written["algorithm"] == "sha256"
    assert written["files"].keys() == {"state/d/0", "state/manifest", "meta/metadata"}
    assert written["files"]["state/d/0"] == hashlib.sha256(b"numbers").hexdigest()
    assert digests.faults(checkpoint) == []


@pytest.mark.parametrize("position", [0, 6])
def test_every_flipped_bit_is_noticed(checkpoint, position):
    path = checkpoint / "state/d/0"
    for bit in range(8):
        content = bytearray(b"numbers")
        content[position] ^= 1 << bit
        path.write_bytes(bytes(content))
        assert digests.faults(checkpoint) == ["state/d/0 does not match its digest"]


def test_truncated_and_missing_files_are_named(checkpoint):
    (checkpoint / "state/d/0").write_bytes(b"numb")
    (checkpoint / "meta/metadata").unlink()
    assert digests.faults(checkpoint) == ["meta/metadata is missing", "state/d/0 does not match its digest"]
    assert digests.faults(checkpoint, items=["meta"]) == ["meta/metadata is missing"]
    assert digests.faults(checkpoint, items=["export"]) == []


@pytest.mark.parametrize("content", ["", "[]", '{"algorithm": "nope", "files": {}}', '{"algorithm": "sha256"}'])
def test_damaged_digests_are_a_fault(checkpoint, content):
    (checkpoint / digests.FILE).write_text(content)
    [fault] = digests.faults(checkpoint)
    assert fault.startswith("digests.json is corrupt")


def test_checkpoint_of_an_earlier_version_passes(checkpoint):
    (checkpoint / digests.FILE).unlink()
    (checkpoint / "state/d/0").write_bytes(b"other")
    assert digests.faults(checkpoint) == []


def test_file_larger_than_a_chunk_is_digested_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "CHUNK_BYTES", 3)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "0").write_bytes(b"seven b")
    digests.write(epath.Path(tmp_path))
    written = json.loads((tmp_path / digests.FILE).read_text())
    assert written["files"] == {"state/0": hashlib.sha256(b"seven b").hexdigest()}
