"""The command sar2opt plan: what it prints and writes, and how it ends."""

import json

import pytest
from absl.testing import flagsaver

from configs.base import get_base
from sar2opt_jax import plan
from sar2opt_jax.planner import compiling
from sar2opt_jax.planner.compiling import Usage


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command on a tiny teacher, for this machine; what is compiled takes ``peak`` bytes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(usage: Usage | None = None, **flags):
        config = get_base(name="made", stages=("teacher",), preset="smoke")
        config.model.widths, config.model.attention, config.model.norm_groups = (8,), (False,), 4
        if usage is not None:
            monkeypatch.setattr(compiling, "_compile", lambda lowered: usage)
        with flagsaver.flagsaver(config=config, **{"topology": "cpu", **flags}):
            plan.main(["sar2opt plan"])

    return run


def test_plan_is_printed_and_written(run, tmp_path, capsys):
    run(output=str(tmp_path / "plan.json"))
    printed, written = capsys.readouterr().out, json.loads((tmp_path / "plan.json").read_text())
    assert printed.startswith("made:smoke on cpu: 4 x cpu, 4 examples a step.")
    assert [program["name"] for program in written["programs"]] == ["teacher", "translation, ddim in 50"]
    assert written["fits"] and written["programs"][0]["compiler"]["arguments"] > 0
    assert len([*(tmp_path / "cache" / "sar2opt-jax" / "plans").iterdir()]) == 2


def test_what_does_not_fit_ends_with_the_reason(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run(Usage(peak=20.0 * 2**30, capacity=15.75 * 2**30))
    assert "teacher does not fit: 1 examples at once take 20.00 GiB, a chip has 15.75." in str(ended.value.code)
    assert "NO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"topology": "v5litepod-8"}, "ValueError: --topology=v5litepod-8 is no topology"),
        ({"output": "gs://bucket/plan.json"}, "ValueError: --output: gs://bucket/plan.json is an address"),
    ],
)
def test_mistakes_are_said_in_a_sentence(run, flags, said):
    with pytest.raises(SystemExit) as ended:
        run(Usage(peak=1.0), **flags)
    assert str(ended.value.code).startswith(said)
