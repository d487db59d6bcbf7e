import json

import pytest

from benchmarks import pairs, preparation


def test_preparation_is_timed_and_written(tmp_path, capsys):
    pairs.simulate(tmp_path / "files", num_pairs=3)
    output = tmp_path / "result.json"
    preparation.main(
        ["sen12", f"--manual_dir={tmp_path / 'files'}", "--processes=1", "--repeats=1", f"--output={output}"]
    )
    result = json.loads(output.read_text())
    (row,) = result["measured"]
    assert row["pairs"] == 3 and row["seconds"] == [row["median"]]
    assert row["pairs_per_second"] == pytest.approx(3 / row["median"], abs=0.1)
    assert result["extrapolated"]["seconds"]["1"] == pytest.approx(282_384 * row["median"] / 3, abs=1)
    assert "282,384 pairs in" in capsys.readouterr().out


def test_start_is_not_multiplied():
    # 2 s to start, then 10 pairs a second.
    assert preparation.seconds_for(1000, {100: 12.0, 10: 3.0, 50: 99.0}) == pytest.approx(102)


def test_failed_preparation_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)ended with 1: .*does not exist"):
        preparation.main(["sen12", f"--manual_dir={tmp_path / 'none'}", f"--output={tmp_path / 'r.json'}"])
