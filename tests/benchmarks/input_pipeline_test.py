import itertools
import json
import sys

import numpy as np
import pytest

from benchmarks import input_pipeline, pairs
from sar2opt_jax.data.scaling import to_float


@pytest.fixture(name="folders", scope="module")
def simulated_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pairs.simulate(folder / "files", num_pairs=6)
    return folder / "prepared", folder / "files"


@pytest.fixture(name="opened", scope="module")
def prepared_pairs(folders):
    return pairs.open_pairs(data_dir=folders[0], manual_dir=folders[1])


def run(folders, output, *arguments):
    data_dir, manual_dir = folders
    sizes = ["--crops=16", "--workers=1", "--batch_size=2", "--num_batches=2", "--repeats=2"]
    input_pipeline.main(
        [f"--data_dir={data_dir}", f"--manual_dir={manual_dir}", f"--output={output}", *sizes, *arguments]
    )


def test_benchmark_writes_all_repeats_and_how_to_repeat_them(folders, opened, tmp_path, capsys):
    run(folders, tmp_path / "new" / "result.json", "--rival=none")
    result = json.loads((tmp_path / "new" / "result.json").read_text())
    (row,) = result["measured"]
    turns = row["pairs_per_second"]["sar2opt_jax"]
    assert len(turns) == 2 and min(turns) > 0
    assert row["median"]["sar2opt_jax"] == pytest.approx(sum(turns) / 2)
    assert (row["image_size"], row["workers"], "ratio" in row) == (16, 1, False)
    assert result["command"].startswith("python -m benchmarks.input_pipeline --data_dir=")
    assert result["hardware"]["cpu"] and result["hardware"]["cores"] >= 1
    assert result["versions"]["jax"] and "commit" in result
    assert result["pairs"] == len(opened[0])
    assert f"{row['median']['sar2opt_jax']:.0f} (" in capsys.readouterr().out


def test_files_are_those_of_the_prepared_pairs_in_their_order(opened):
    source, found = opened
    assert len(source) == len(found) > 1
    for position, pair in enumerate(found):
        assert source[position]["id"].decode() == pair.patch.id


def test_other_files_than_the_prepared_ones_are_refused(folders, opened, tmp_path):
    with pytest.raises(ValueError, match=r"already, from other files than lie in .* --overwrite"):
        pairs.open_pairs(data_dir=folders[0], manual_dir=tmp_path)


def test_data_dir_without_its_files_is_refused(capsys):
    with pytest.raises(SystemExit):
        input_pipeline.main(["--data_dir=somewhere"])
    assert "--data_dir and --manual_dir belong together" in capsys.readouterr().err


def test_missing_rival_says_how_to_get_it(folders, opened, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "benchmarks.torch_loader", None)
    monkeypatch.delitem(sys.modules, "benchmarks.torch_loader")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match="pip install torch, or run with --rival=none"):
        run(folders, tmp_path / "result.json")


def test_contenders_take_turns_after_what_they_had_ready():
    log, now = [], [0.0]

    def contender(name, seconds):
        def batches(**settings):
            for _ in itertools.count():
                now[0] += seconds
                log.append(name)
                yield settings

        return batches

    found = input_pipeline.measure(
        {"a": contender("a", 1.0), "b": contender("b", 4.0)},
        image_size=8,
        batch_size=16,
        workers=2,
        num_batches=5,
        repeats=3,
        clock=lambda: now[0],
    )
    assert found["median"] == {"a": 16.0, "b": 4.0} and found["ratio"] == 4.0
    assert [name for name, _ in itertools.groupby(log)] == ["a", "b"] * 3
    assert log[: 7 + 5] == ["a"] * 12 and log[12] == "b"  # seven batches of two workers are thrown away


def test_rival_reads_the_same_values(opened):
    torch_loader = pytest.importorskip("benchmarks.torch_loader", reason="needs PyTorch", exc_type=ModuleNotFoundError)
    source, found = opened
    paths = [(pair.sar, pair.optical) for pair in found]
    sar, optical = torch_loader.PairFiles(paths, image_size=256, augment=False)[1]
    np.testing.assert_allclose(sar.numpy().transpose(1, 2, 0), to_float(source[1]["sar"]), atol=1e-6)
    np.testing.assert_allclose(optical.numpy().transpose(1, 2, 0), to_float(source[1]["optical"]), atol=1e-6)
    sar, optical = torch_loader.PairFiles(paths, image_size=64)[1]
    assert sar.shape == (1, 64, 64) and optical.shape == (3, 64, 64)
