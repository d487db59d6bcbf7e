import json

import numpy as np

from benchmarks import audit, pairs


def test_contenders_find_the_same_candidates():
    hashes = audit.multiplied(audit.uniform(50, seed=4), 3000)
    one, other = (audit.measure(name, hashes, 2) for name in audit.CONTENDERS)
    assert one["candidates"] == other["candidates"] > 10
    assert one["comparisons"] == other["comparisons"] == 2400 * 600 + 300 * 300


def test_multiplied_hashes_are_neighbours_of_real_ones_and_clusters():
    real = audit.uniform(5, seed=4)
    hashes = audit.multiplied(real, 4000)
    nearest = np.bitwise_count(hashes[:, None] ^ real).min(axis=1)
    assert (nearest < 24).mean() > 0.9 and (nearest <= 8).mean() < 0.05
    assert 0.015 < (np.bitwise_count(hashes[:, None] ^ audit.uniform(20, seed=1)).min(axis=1) <= 4).mean() < 0.03


def test_audit_is_timed_and_written(tmp_path, capsys, monkeypatch):
    pairs.simulate(tmp_path / "files", num_pairs=4)
    monkeypatch.setattr(audit, "_alone", audit.measure)  # Starting processes takes seconds.
    output = tmp_path / "result.json"
    audit.main(
        [
            f"--manual_dir={tmp_path / 'files'}",
            "--pairs=100,200",
            "--rival_most=100",
            "--repeats=1",
            f"--output={output}",
        ]
    )
    result = json.loads(output.read_text())
    contenders = [(row["pairs"], row["contender"]) for row in result["measured"] if row["hashes"] == "uniform"]
    assert contenders == [(100, "search"), (100, "brute_force"), (200, "search")]
    assert all(row["seconds"] == [row["median"]] and row["peak_mib"] > 0 for row in result["measured"])
    assert set(result["candidates_per_second"]) == {"before", "images_of_their_own", "all_alike"}
    assert "| 200 | real, multiplied | search |" in capsys.readouterr().out
