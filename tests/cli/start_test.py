"""How a command starts: help, missing and superfluous flags, and main with what is left over."""

import logging
import sys
from pathlib import Path

import absl.logging
import pytest

from sar2opt_jax import main as trains
from sar2opt_jax.cli import cache, start


@pytest.fixture
def run(monkeypatch, flags_of_its_own):
    """Runs the training command up to its main; returns what that was given."""
    calls = []
    monkeypatch.setattr(cache, "enable", lambda: calls.append("cache"))
    monkeypatch.setattr(trains, "main", lambda argv: calls.append((trains._CONFIG.value.preset, argv)))

    def run(*arguments: str, program: str = "sar2opt train"):
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with flags_of_its_own():
            try:
                trains.run()
            except SystemExit as exit:
                return calls, exit.code
        return calls, None

    return run


def test_main_runs_with_its_flags_and_the_cache_on(run):
    assert run("--config=acd:smoke") == (["cache", ("smoke", ["sar2opt train"])], None)


def test_help_lists_flags_values_and_the_cache(run, capsys):
    assert run("--config=acd:smoke", "--config.train.batch_size=7", "--help") == ([], None)
    said = capsys.readouterr().out
    for line in (
        "  --mode=MODE                     train (default) ends with an evaluation; evaluate repeats that",
        "--config.train.NAME=VALUE   the same for all stages",
        "  batch_size=7                    examples an optimiser step, over all devices and hosts",
        "  optimizer.learning_rate=0.001",
        "  JAX_COMPILATION_CACHE_DIR       Where compiled programs are kept",
    ):
        assert line in said, line
    assert "replay" in said and "logtostderr" not in said  # Ours, and one of absl's many.


def test_help_without_a_config_lists_configs_and_presets(run, capsys):
    assert run("-h") == ([], None)
    said = capsys.readouterr().out
    assert "  cyclegan                        A baseline" in said and "  sen12_small  " in said
    assert "batch_size=16" not in said


def test_help_of_an_evaluation_is_its_own(run, capsys):
    assert run("--mode=evaluate", "--help", program="sar2opt evaluate") == ([], None)
    said = capsys.readouterr().out
    assert said.startswith("Evaluates a trained run again") and "--replay" not in said


@pytest.mark.parametrize("program", ["sar2opt train", "/somewhere/sar2opt_jax/main.py"])
def test_without_arguments_it_says_what_to_do(run, capsys, program):
    assert run(program=program) == ([], start.USAGE_STATUS)
    said = capsys.readouterr().err
    typed = program if program.startswith("sar2opt") else "python -m sar2opt_jax.main"
    assert said.startswith(f"{typed} needs --config.\n") and "sar2opt train --config=acd " in said


def test_missing_flag_is_named(run, capsys):
    assert run("--workdir=somewhere") == ([], start.USAGE_STATUS)
    assert capsys.readouterr().err == "sar2opt train needs --config; --help says more.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config=acdd",), "No config 'acdd'; known: acd, cyclegan"),
        (("--config=acd:huge",), "Unknown preset 'huge'; known: simulated"),
        (("--config=acd", "--config.trian.batch_size=3"), 'Did you mean "train" instead of "trian"?'),
        (("--config=acd", "--config.train.batch_size=many"), "batch_size"),
        (("--nope",), "Unknown command line flag 'nope'"),
        (("--config=acd", "--config.train.batchsize=None"), "batch_size"),
        (("--config=acd", "--config.train=None"), "config.train is a group of values"),
    ],
)
def test_wrong_flag_is_one_sentence(run, arguments, message):
    calls, said = run(*arguments)
    assert calls == [] and message in said and "\n" not in said


def test_none_replaces_what_a_preset_set(tmp_path, monkeypatch, run):
    own = tmp_path / "own.py"
    own.write_text(
        "from configs.base import get_base\n\n\ndef get_config():\n"
        "    config = get_base(name='own', stages=('teacher',), preset='smoke')\n"
        "    config.train.keep_every_steps, config.teacher.min_snr_gamma = 4, 5.0\n"
        "    config.data.data_dir, config.teacher.export = 'somewhere', 'runs/teacher'\n"
        "    return config\n"
    )
    seen = []
    monkeypatch.setattr(trains, "main", lambda argv: seen.append((trains._CONFIG.value, argv)))
    none = ("--config.train.keep_every_steps=None", "-config.teacher.min_snr_gamma", "None")
    none += ("--config.data.data_dir=None", "--config.distill.optimizer.clip_norm=None")
    assert run(f"--config={own}", *none, "--config.train.loader_threads=3")[1] is None
    [(config, left)] = seen
    assert left == ["sar2opt train"]
    assert (config.train.keep_every_steps, config.teacher.min_snr_gamma, config.data.data_dir) == (None, None, None)
    assert (config.teacher.export, config.train.loader_threads) == ("runs/teacher", 3)
    assert config.adversarial.optimizer.clip_norm is None  # It follows the student's.


@pytest.mark.parametrize(("values", "last"), [(("None", "6"), 6), (("6", "None"), None)])
def test_last_of_two_overrides_holds(run, monkeypatch, values, last):
    seen = []
    monkeypatch.setattr(trains, "main", lambda argv: seen.append(trains._CONFIG.value.train.keep_every_steps))
    assert run("--config=acd:smoke", *(f"--config.train.keep_every_steps={value}" for value in values))[1] is None
    assert seen == [last]


def test_none_without_a_config_asks_for_one(run, capsys):
    assert run("--config.train.keep_every_steps=None") == ([], start.USAGE_STATUS)
    assert capsys.readouterr().err == "sar2opt train needs --config; --help says more.\n"


def test_only_start_sets_what_absl_logs():
    package = Path(start.__file__).parents[1]
    assert [path.name for path in package.rglob("*.py") if "set_verbosity" in path.read_text()] == ["start.py"]


def test_own_warnings_are_shown_where_libraries_are_silenced(monkeypatch):
    # With absl's handler, which app.run installs, its verbosity is the level of the root logger.
    monkeypatch.setattr(logging.root, "handlers", [absl.logging.get_absl_handler()])
    start.show_log()
    assert not logging.getLogger("orbax.checkpoint").isEnabledFor(logging.WARNING)
    assert logging.getLogger("sar2opt_jax.scene.locks").isEnabledFor(logging.WARNING)
    assert logging.getLogger("tfds_builders.prepare").isEnabledFor(logging.WARNING)
    assert not logging.getLogger("sar2opt_jax.run.plan").isEnabledFor(logging.INFO)
