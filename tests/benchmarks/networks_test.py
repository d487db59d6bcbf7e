import json
import sys

import pytest

from benchmarks import adversarial_step, networks, translation, workloads
from benchmarks.timing import OURS
from sar2opt_jax.models.unet import UNet

TINY = UNet(widths=(8, 16), blocks_per_level=1, attention=(False, True), norm_groups=4)


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setitem(workloads.NETWORKS, "default", TINY)
    monkeypatch.setattr("jax.config.update", lambda *setting: None)  # What a process sets once, not a test.
    monkeypatch.setattr("benchmarks.commands.matrix_rate", lambda precision: 1e12)


def run(main, tmp_path, *arguments):
    main([f"--output={tmp_path / 'new' / 'result.json'}", "--repeats=2", *arguments])
    return json.loads((tmp_path / "new" / "result.json").read_text())


def test_networks_are_measured_and_written(tmp_path, capsys):
    result = run(networks.main, tmp_path, "--rivals=none", "--work=forward:default:2:8")
    (row,) = result["measured"]
    assert row["work"] == "forward, default, 2 x 8 x 8, float32" and len(row["seconds"][OURS]) == 2
    size = workloads.Size(network="default", batch_size=2, image_size=8, precision="float32")
    flops = workloads.forward_flops(size)
    assert row["gigaflop"] == pytest.approx(flops / 1e9, rel=1e-3)
    assert row["utilisation"][OURS] == pytest.approx(flops / row["median"][OURS] / 1e12, rel=2e-3)
    assert row["examples_per_second"][OURS] == pytest.approx(2 / row["median"][OURS], rel=2e-3)
    assert result["command"].startswith("python -m benchmarks.networks --output=") and result["versions"]["jax"]
    assert result["hardware"]["cpu"] and result["device"] and result["precision"] == "float32"
    assert "| forward, default, 2 x 8 x 8, float32 |" in capsys.readouterr().out


def test_missing_rival_is_a_failure_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "benchmarks.torch_workloads", raising=False)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    result = run(networks.main, tmp_path, "--rivals=eager", "--work=forward:default:1:8")
    (row,) = result["measured"]
    assert row["median"].keys() == {OURS} and "ModuleNotFoundError" in row["failed"]["eager"]


def test_original_is_extrapolated_only_where_it_says_so(tmp_path):
    arguments = ("--rivals=none", "--sizes=default:1:8", "--steps=1,2", "--original_steps=3")
    result = run(translation.main, tmp_path, *arguments)
    *few, chain = result["measured"]
    assert [row["work"] for row in few] == [f"lcm, {n} steps, default, 1 x 8 x 8, float32" for n in (1, 2)]
    original = result["original"][OURS]
    assert original["extrapolated"] and original["steps_run"] == 3
    assert original["seconds"] == pytest.approx(chain["median"][OURS] / 3 * 1000, rel=1e-3)
    assert original["over_our_few_steps"]["2"] == pytest.approx(original["seconds"] / few[1]["median"][OURS], rel=1e-3)
    whole = translation.original({OURS: 7.0}, evaluations=1000)[OURS]
    assert whole == {"seconds": 7.0, "steps_run": 1000, "extrapolated": False}


@pytest.mark.parametrize(
    ("main", "argument", "message"),
    [
        (networks.main, "--work=backward:default:1:8", "known: forward, teacher_step"),
        (networks.main, "--work=forward:large:1:8", "NETWORK one of default, paper"),
        (networks.main, "--work=forward:default:0:8", "NETWORK:BATCH:SIDE"),
        (networks.main, "--work=forward:default:1:9", "must be divisible by 2"),
        (adversarial_step.main, "--sizes=default:1", "NETWORK:BATCH:SIDE"),
        (translation.main, "--original_steps=1001", "1 to 1000 steps"),
    ],
)
def test_work_that_is_none_is_refused_before_anything_runs(main, argument, message, capsys):
    with pytest.raises(SystemExit):
        main([argument])
    assert message in capsys.readouterr().err
