"""The command sar2opt: which module runs, with which arguments; what is said where there is none."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

import sar2opt_jax
from sar2opt_jax import convert
from sar2opt_jax.cli import dispatch
from tfds_builders import prepare


@pytest.fixture
def started(monkeypatch):
    """What would have been run: the module, and sys.argv as it finds it."""
    runs = []
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sar2opt"])
    monkeypatch.setattr(
        importlib, "import_module", lambda name: SimpleNamespace(run=lambda: runs.append((name, *sys.argv)))
    )
    return runs


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--config=acd"], ("sar2opt_jax.main", "sar2opt train", "--config=acd")),
        (["evaluate", "--config=acd"], ("sar2opt_jax.main", "sar2opt evaluate", "--mode=evaluate", "--config=acd")),
        (["translate", "--model=run"], ("sar2opt_jax.translate", "sar2opt translate", "--model=run")),
        (["convert", "--help"], ("sar2opt_jax.convert", "sar2opt convert", "--help")),
        (["plan", "--topology=cpu"], ("sar2opt_jax.plan", "sar2opt plan", "--topology=cpu")),
        (["export", "--model=run"], ("sar2opt_jax.deploy", "sar2opt export", "--model=run")),
        (["prepare", "sen12"], ("tfds_builders.prepare", "sar2opt prepare", "sen12")),
    ],
)
def test_command_runs_its_module_with_its_arguments(started, arguments, expected):
    dispatch.main(arguments)
    assert started == [expected]


def test_command_is_taken_from_the_command_line(started, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sar2opt", "prepare", "simulated"])
    dispatch.main()
    assert started == [("tfds_builders.prepare", "sar2opt prepare", "simulated")]


@pytest.mark.parametrize("module", sorted({command.module for command in dispatch.COMMANDS.values()}))
def test_module_of_a_command_has_a_run(module):
    # In a process of its own: commands have flags of the same names.
    code = f"import {module}; assert callable({module}.run)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "said"), [([], ""), (["trian"], "Unknown command 'trian'; known: train, evaluate, translate")]
)
def test_without_a_command_the_first_steps_are_said(started, capsys, arguments, said):
    with pytest.raises(SystemExit) as exit:
        dispatch.main(arguments)
    assert exit.value.code == dispatch.USAGE_STATUS and started == []
    error = capsys.readouterr().err
    assert error.startswith(said) and "sar2opt train --config=acd:smoke --workdir=runs/smoke" in error


@pytest.mark.parametrize(
    ("command", "needed", "example"),
    [
        (convert, "--input and --output", "sar2opt convert --input=DIFFUSERS_FOLDER"),
        (prepare, "a dataset", "sar2opt prepare sen12 --manual_dir=DOWNLOADED --data_dir=PREPARED"),
    ],
    ids=["convert", "prepare"],
)
def test_a_command_without_arguments_says_what_to_do(capsys, command, needed, example):
    with pytest.raises(SystemExit) as exit:
        command.main([])
    said = capsys.readouterr().err
    assert exit.value.code == dispatch.USAGE_STATUS and f"needs {needed}" in said and example in said


@pytest.mark.parametrize("mode", ["--mode=train", "-mode=replay", "--mode"])
def test_evaluate_takes_no_other_mode(started, capsys, mode):
    with pytest.raises(SystemExit) as exit:
        dispatch.main(["evaluate", "--config=acd", mode])
    assert exit.value.code == dispatch.USAGE_STATUS and started == []
    assert "sar2opt evaluate stands for --mode=evaluate; sar2opt train takes --mode." in capsys.readouterr().err


def test_help_and_version_are_no_errors(started, capsys):
    dispatch.main(["--help"])
    dispatch.main(["--version"])
    said = capsys.readouterr().out
    assert all(f"sar2opt {name} " in said for name in dispatch.COMMANDS) and sar2opt_jax.__version__ in said
