"""A whole run of the smoke preset: all stages, the report, a rerun, a second run on its teacher, a translation."""

import csv
import fcntl
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from configs.base import get_base
from sar2opt_jax import export, inference, main, translate
from sar2opt_jax.cli.start import parse
from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.inference import ImageTranslator
from sar2opt_jax.main import parse_step
from sar2opt_jax.run import plan
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Batch
from tfds_builders import interruption
from tfds_builders.prepare import prepare


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    prepare("simulated/tiny", data_dir=directory)
    return str(directory)


def smoke(data_dir, *, name="acd", stages=("teacher", "adversarial"), **changes):
    """The smoke preset with one level and fewer methods, as compiling takes the time; dotted names with __ for dots."""
    config = get_base(name=name, stages=stages, preset="smoke")
    config.model.widths, config.model.attention = (8,), (True,)
    config.pix2pix.discriminator_widths = config.cyclegan.discriminator_widths = (8, 16)
    config.data.data_dir = data_dir
    config.evaluation.teacher_samplers = ("ddim",)
    config.evaluation.teacher_steps = (1,)
    config.evaluation.student_steps = (1,)
    config.evaluation.figure_steps = 1
    config.evaluation.original_steps = 2
    for key, value in changes.items():
        group, field = key.split("__")
        config[group][field] = value
    return config


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """The workdir of a finished run."""
    workdir = tmp_path_factory.mktemp("runs") / "acd-smoke"
    plan.experiment(smoke(data_dir), workdir=str(workdir)).train()
    return workdir


def steps_of(workdir, stage, *, of="skipped_steps"):
    """The steps at which a metric was logged; training logs how many steps it skipped."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["stage"] == stage and of in line]


def test_run_leaves_metrics_previews_checkpoints_and_a_report(finished):
    assert steps_of(finished, "teacher") == [2, 4, 6, 8]
    assert steps_of(finished, "adversarial") == [2, 4]
    for metric in ("loss/teacher", "psnr", "ssim", "lpips_alexnet"):
        assert steps_of(finished, "teacher", of=f"validation/{metric}") == [4, 8]
    assert steps_of(finished, "adversarial", of="validation/loss/discriminator") == [4]
    assert {path.name for path in (finished / "previews").iterdir()} == {
        "teacher_0000004.png",
        "teacher_0000008.png",
        "adversarial_0000004.png",
    }
    assert (finished / "teacher" / "checkpoints" / "8").is_dir()
    with (finished / "report" / "results.csv").open() as file:
        rows = [(row["network"], row["sampler"], row["steps"]) for row in csv.DictReader(file)]
    assert [row[1:] for row in rows[1:]] == [("ddpm", "2"), ("ddim", "1"), ("lcm", "1")]
    assert "<title>acd:smoke" in (finished / "report" / "report.html").read_text()
    for name in ("samplers.png", "steps.png"):
        with Image.open(finished / "report" / name) as figure:
            assert min(figure.size) > 300


def test_losses_are_finite_and_the_teacher_was_trained(finished):
    last = json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])
    assert all(np.isfinite(value) for key, value in last.items() if key != "stage")
    teacher, student = (export.load(finished, stage=stage) for stage in ("teacher", "adversarial"))
    assert teacher.description.step == 8
    assert student.translator.is_student and not teacher.translator.is_student
    assert np.abs(teacher.params["conv_in"]["kernel"] - student.params["conv_in"]["kernel"]).max() > 0


def test_finished_run_is_not_run_again(finished, data_dir, monkeypatch):
    monkeypatch.setattr(DataParallel, "step", lambda *_: pytest.fail("a finished stage took a step"))
    before = (finished / "report" / "results.json").stat().st_mtime_ns
    plan.experiment(smoke(data_dir), workdir=str(finished)).train()
    assert (finished / "report" / "results.json").stat().st_mtime_ns == before


def test_given_teacher_replaces_the_first_stage(finished, data_dir, tmp_path):
    config = smoke(data_dir, name="distill", stages=("teacher", "distill"), teacher__export=str(finished))
    plan.experiment(config, workdir=str(tmp_path / "run")).train()
    assert not (tmp_path / "run" / "teacher").exists()
    assert steps_of(tmp_path / "run", "distill") == [2, 4]


def test_translate_takes_a_run(finished, tmp_path):
    speckle = np.random.default_rng(0).integers(0, 256, (45, 50), np.uint8)
    Image.fromarray(speckle).save(tmp_path / "sar.png")
    planned, _ = translate.plan(tmp_path / "sar.png", tmp_path / "optical.png")
    failed = translate.translate(inference.load(finished), planned, sampler=None, steps=1, seed=0)
    assert failed == {}
    with Image.open(tmp_path / "optical.png") as optical:
        assert (optical.size, optical.mode) == ((50, 45), "RGB")


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_baseline_is_trained_evaluated_and_translates(name, data_dir, tmp_path):
    config = smoke(data_dir, name=name, stages=(name,))
    config[name].num_steps = 4
    experiment = plan.experiment(config, workdir=str(tmp_path / "run"))
    experiment.train()
    assert steps_of(tmp_path / "run", name) == [2, 4]
    assert (tmp_path / "run" / "previews" / f"{name}_0000004.png").exists()
    with (tmp_path / "run" / "report" / "results.csv").open() as file:
        rows = [(row["network"], row["sampler"], row["steps"]) for row in csv.DictReader(file)]
    assert rows[1:] == [(name, "direct", "1")]
    model = export.load(tmp_path / "run")
    about = model.description
    assert (model.translator.kind, about.stage, about.kind) == ("generator", name, "generator")
    assert [contender.name for contender in experiment.comparison.contenders()] == [name]
    # What a preview shows is what a translation gives.
    sar = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32)
    rngs = jax.random.split(jax.random.key(0), 2)
    translated = model.translator(model.params, sar, rngs, method=Method(sampler="direct", num_steps=1))
    shown = experiment.plans[0].translate({"unet": model.params}, sar, rngs[0])
    np.testing.assert_allclose(translated, shown, atol=1e-6)
    Image.fromarray(to_uint8(sar[0, :, :, 0])).save(tmp_path / "sar.png")
    planned, _ = translate.plan(tmp_path / "sar.png", tmp_path / "optical.png")
    assert translate.translate(ImageTranslator(model), planned, sampler=None, steps=None, seed=0) == {}
    with pytest.raises(ValueError, match="A one-step generator takes 1 step; got 4"):
        translate.translate(ImageTranslator(model), planned, sampler=None, steps=4, seed=0)


def test_baseline_is_compared_with_a_given_teacher_and_owes_it_nothing(finished, data_dir, tmp_path):
    config = smoke(data_dir, name="pix2pix", stages=("pix2pix",), teacher__export=str(finished))
    experiment = plan.experiment(config, workdir=str(tmp_path / "run"))
    assert [plan.name for plan in experiment.plans] == ["pix2pix"]
    assert {contender.name for contender in experiment.comparison.contenders()} == {"teacher"}
    objective, rng = experiment.plans[0].objective, jax.random.key(0)
    given, alone = (objective.init(rng, start) for start in (experiment.teacher.networks, None))
    jax.tree.map(np.testing.assert_array_equal, given, alone)


def test_cyclegan_takes_radar_images_of_several_bands(data_dir):
    stage = plan.STAGES["cyclegan"].make(smoke(data_dir, name="cyclegan", stages=("cyclegan",)), 2)
    state = stage.init(jax.random.key(0), None)
    rng = np.random.default_rng(0)
    optical, sar = (rng.uniform(-1, 1, (2, 32, 32, c)).astype(np.float32) for c in (3, 2))
    batch = Batch(optical=optical, sar=sar, index=np.arange(2, dtype=np.int32))
    grads, metrics = jax.eval_shape(stage.gradients, state, batch, jax.random.key(0))
    for name in grads:
        assert jax.tree.map(np.shape, grads[name]) == jax.tree.map(np.shape, getattr(state, name).params)
    assert all(value.shape == () for value in metrics.values())


def test_teacher_of_another_network_is_refused(finished, data_dir):
    config = smoke(data_dir, teacher__export=str(finished), model__widths=(16,))
    with pytest.raises(ValueError, match=r"model.widths = \[8\], this config asks for \[16\]"):
        plan.experiment(config, workdir="runs/never")


def test_teacher_of_another_input_gain_is_refused(finished, data_dir):
    config = smoke(data_dir, teacher__export=str(finished), model__input_gain="none")
    with pytest.raises(ValueError, match=r"model.input_gain = wiener, this config asks for none"):
        plan.experiment(config, workdir="runs/never")


def test_workdir_of_another_run_is_refused(finished, data_dir):
    with pytest.raises(ValueError, match="belongs to a run with schedule"):
        plan.experiment(smoke(data_dir, schedule__name="linear"), workdir=str(finished))


def test_step_counts_and_logging_may_change(finished, data_dir):
    changed = smoke(data_dir, teacher__num_steps=10, train__log_every_steps=1)
    plan.experiment(changed, workdir=str(finished))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__batch_size": 6}, r"batch_size \(6\) must be divisible by the number of devices \(4\)"),
        ({"train__mapping": "xmap"}, "Unknown train.mapping 'xmap'; known: auto, pmap, shard_map"),
        (
            {"data__image_size": 33, "model__widths": (8, 8), "model__attention": (False, True)},
            "must be divisible by 2",
        ),
        ({"data__image_size": 128}, "128"),
        ({"distill__loss": "l1"}, "Unknown distill.loss 'l1'; known: pseudo_huber, l2"),
        ({"adversarial__loss": "lsgan"}, "known: non_saturating, hinge, wasserstein"),
        ({"pix2pix__loss": "lsgan"}, "Unknown pix2pix.loss 'lsgan'; known: non_saturating"),
        ({"cyclegan__loss": "l1"}, "Unknown cyclegan.loss 'l1'; known: .*, least_squares"),
        ({"pix2pix__dtype": "float16"}, "Unknown pix2pix.dtype 'float16'; known: float32, bfloat16"),
        ({"cyclegan__num_steps": 0}, "cyclegan.num_steps must be at least 1; got 0"),
        ({"pix2pix__discriminator_widths": ()}, "at least one number of 1 or more"),
        ({"adversarial__real": "student"}, "known: target, optical"),
        ({"adversarial__discriminator": "vit"}, "Unknown adversarial.discriminator 'vit'; known: unet, unet_patches"),
        ({"adversarial__judged_at": "t"}, "Unknown adversarial.judged_at 't'; known: s, clean"),
        ({"adversarial__time_weight": "log"}, "Unknown adversarial.time_weight 'log'; known: constant, linear"),
        ({"adversarial__discriminator": "patchgan", "adversarial__discriminator_widths": (8,) * 6}, "at least 96"),
        ({"model__input_gain": "edm"}, "Unknown model.input_gain 'edm'; known: none, wiener"),
        ({"distill__sampling_times_share": 1.5}, "sampling_times_share must be 0 to 1; got 1.5"),
        ({"distill__sampling_steps": (51,)}, "1 to 50 steps"),
        ({"distill__sampling_steps": ()}, "at least one; got none"),
        ({"distill__reconstruction_loss": "l2"}, "Unknown distill.reconstruction_loss 'l2'; known: l1, pseudo_huber"),
        ({"distill__reconstruction_weight": -1.0}, "reconstruction_weight must be at least 0; got -1"),
        ({"evaluation__student_gamma": 2.0}, "student_gamma must be 0 to 1; got 2"),
        ({"data__radar_jitter": 1.0}, "radar_jitter must be at least 0 and below 1; got 1"),
        ({"evaluation__teacher_samplers": ("lcm",)}, "known: ddpm, ddim, dpm_solver_pp"),
        ({"evaluation__student_steps": (51,)}, "1 to 50 steps"),
        ({"model__prediction": "eps"}, "zero terminal SNR"),
        ({"schedule__name": "sigmoid"}, "known: linear, scaled_linear, cosine"),
        ({"teacher__dtype": "float16"}, "known: float32, bfloat16"),
        ({"data__data_dir": "gs://bucket/data"}, "mount a bucket"),
        ({"train__keep_checkpoints": 0}, "keep_checkpoints must be at least 1; got 0"),
        ({"train__keep_best_checkpoints": 0}, "keep_best_checkpoints must be at least 1; got 0"),
        ({"train__keep_every_steps": 6}, r"keep_every_steps \(6\) must be a multiple of save_every_steps \(4\)"),
    ],
)
def test_bad_value_is_refused_before_anything_is_written(changes, message, data_dir, tmp_path):
    with pytest.raises(ValueError, match=message):
        plan.experiment(smoke(data_dir, **changes), workdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_run_keeps_the_checkpoints_that_its_config_names(data_dir, tmp_path, caplog):
    changes = {"train__save_every_steps": 2, "train__keep_checkpoints": 1, "train__keep_every_steps": 4}
    config = smoke(data_dir, stages=("teacher",), name="teacher", train__keep_best_metric="loss/teacher", **changes)
    with caplog.at_level("INFO", logger="sar2opt_jax"):
        plan.experiment(config, workdir=str(tmp_path / "run")).train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = min((line for line in lines if "loss/teacher" in line), key=lambda line: line["loss/teacher"])["step"]
    kept = {int(entry.name) for entry in (tmp_path / "run" / "teacher" / "checkpoints").iterdir()}
    assert kept == {4, 8, best}
    assert f"the best checkpoint so far is that of step {best}." in caplog.text


def test_restart_says_what_its_changed_settings_keep(finished, data_dir, tmp_path, caplog):
    shutil.copytree(finished, tmp_path / "run")
    with caplog.at_level("INFO", logger="sar2opt_jax"):
        plan.experiment(smoke(data_dir, train__loader_threads=5), workdir=str(tmp_path / "run")).train()
    assert "Since the last start train.loader_threads was 2 and is 5: every batch stays the same" in caplog.text
    assert "evaluation" not in "".join(line for line in caplog.messages if line.startswith("Since"))


def test_several_processes_are_told_how_long_to_wait_for_a_silent_one(monkeypatch):
    told = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **settings: told.append(settings))
    monkeypatch.setattr(plan, "experiment", lambda *_, **__: (_ for _ in ()).throw(ValueError("far enough")))
    monkeypatch.setattr(main, "_MULTIHOST", SimpleNamespace(value=True))
    monkeypatch.setattr(main, "_CONFIG", SimpleNamespace(value=None))
    monkeypatch.setattr(main, "_WORKDIR", SimpleNamespace(value=None))
    monkeypatch.setattr(main.config_flags, "get_config_filename", lambda flag: "acd:smoke")
    with pytest.raises(SystemExit, match="far enough"):
        main.main(["main"])
    assert told == [{"heartbeat_timeout_seconds": main.HEARTBEAT_SECONDS}]


def test_process_of_several_says_which_one_it_is(monkeypatch):
    told = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **settings: told.append(settings))
    monkeypatch.setattr(main, "_MULTIHOST", SimpleNamespace(value=True))
    with flagsaver.flagsaver(coordinator="host:1234", num_processes=2, process_id=0):
        main.join_cluster()
    expected = {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 0}
    assert told == [expected | {"heartbeat_timeout_seconds": main.HEARTBEAT_SECONDS}]


@pytest.mark.parametrize(
    ("given", "multihost", "message"),
    [
        ({"coordinator": "host:1"}, False, "need --multihost"),
        ({"coordinator": "host:1"}, True, "go together; missing: --num_processes, --process_id"),
        ({"coordinator": "host:1", "num_processes": 2, "process_id": 2}, True, "--process_id=2 of --num_processes=2"),
        # As JAX says it where nothing in the environment speaks of a cluster.
        ({}, True, r"no cluster to join \(coordinator_address should be defined\)\. .*give --coordinator=HOST:PORT"),
    ],
)
def test_cluster_that_cannot_be_joined_is_refused(given, multihost, message, monkeypatch):
    def fail(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr("jax.distributed.initialize", fail)  # Itself it works only before any computation.
    monkeypatch.setattr(main, "_MULTIHOST", SimpleNamespace(value=multihost))
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match=message):
        main.join_cluster()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_an_evaluation_with_one_line(number, finished, data_dir, tmp_path):
    """In a process of its own, which signals itself where it begins to translate."""
    shutil.copytree(finished, tmp_path / "run")
    program = f"""
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
from sar2opt_jax.evaluation import evaluate
evaluate.run = lambda *_, **__: os.kill(os.getpid(), {int(number)})
sys.argv = ["main", "--config={Path(main.__file__).parents[1] / "configs" / "acd.py"}:smoke", "--mode=evaluate",
            "--workdir={tmp_path / "run"}", "--config.data.data_dir={data_dir}",
            "--config.model.widths=(8,)", "--config.model.attention=(True,)"]
runpy.run_module("sar2opt_jax.main", run_name="__main__")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == interruption.STATUS, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"Interrupted by {number.name}: what is complete stays")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_discriminator_that_shrinks_images_to_nothing_is_refused(name, data_dir, tmp_path):
    config = smoke(data_dir, name=name, stages=(name,))
    config[name].discriminator_widths = (8, 8, 8, 8, 8)
    with pytest.raises(ValueError, match=r"\(32 x 32\) must be at least 48 for a discriminator with 5 widths"):
        plan.experiment(config, workdir=str(tmp_path / "run"))


def test_decay_that_is_not_known_is_refused(data_dir, tmp_path):
    config = smoke(data_dir)
    config.pix2pix.optimizer.decay = "step"
    with pytest.raises(ValueError, match=r"Unknown pix2pix.optimizer.decay 'step'; known: cosine, second_half"):
        plan.experiment(config, workdir=str(tmp_path / "run"))


def test_missing_data_is_refused_with_the_way_out(tmp_path):
    config = smoke(str(tmp_path / "nowhere"), data__name="sen12")
    with pytest.raises(FileNotFoundError, match=r"python -m tfds_builders.prepare sen12"):
        plan.experiment(config, workdir=str(tmp_path / "run"))


def test_second_of_two_first_runs_waits_for_the_dataset_and_says_so(data_dir, tmp_path, caplog, monkeypatch):
    made, folder = Path(data_dir) / "simulated" / "tiny", tmp_path / "data" / "simulated" / "tiny"
    info = plan.logger.info

    def first_finishes(sentence, *values):
        info(sentence, *values)
        if "is being prepared" in sentence:
            shutil.copytree(made / "1.0.0", folder / "1.0.0")
            fcntl.flock(lock, fcntl.LOCK_UN)

    monkeypatch.setattr(plan.logger, "info", first_finishes)
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock, caplog.at_level(logging.INFO):
        fcntl.flock(lock, fcntl.LOCK_EX)
        plan.experiment(smoke(str(tmp_path / "data")), workdir=str(tmp_path / "run"))
    assert "simulated/tiny is being prepared in" in caplog.text and "waiting until it is done" in caplog.text


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=configs/acd.py:nope", "Unknown preset 'nope'; known: simulated"),
        ("--config.train.batchsize=3", "batch_size"),
        ("--nope", "Unknown command line flag 'nope'"),
    ],
)
def test_bad_flag_is_one_sentence(flag, message, monkeypatch, flags_of_its_own):
    given = [flag] if flag.startswith("--config=") else ["--config=configs/acd.py:smoke", flag]
    monkeypatch.setattr(sys, "argv", ["main", *given])  # ml_collections looks for overrides there.
    with flags_of_its_own(), pytest.raises(SystemExit) as exit:
        parse(sys.argv)
    assert message in str(exit.value)
    assert "\n" not in str(exit.value)


def test_step_is_replayed_with_its_ids(finished, data_dir, caplog):
    experiment = plan.experiment(smoke(data_dir), workdir=str(finished))
    with caplog.at_level("INFO", logger="sar2opt_jax"):
        experiment.replay("adversarial", 2)
    found = json.loads((finished / "replay" / "adversarial_0000002.json").read_text())
    assert found["from_checkpoint"] == 0 and len(found["examples"]) == 4
    assert all(f"finite {example['id']}: " in caplog.text for example in found["examples"])
    assert {"loss/consistency", "loss/discriminator", "grad_norm/student"} <= found["metrics"].keys()
    with Image.open(finished / "replay" / "adversarial_0000002.png") as picture:
        assert picture.mode == "RGB"
    with pytest.raises(ValueError, match="This run trains no stage 'distill'; its stages: teacher, adversarial"):
        experiment.replay("distill", 2)
    with pytest.raises(ValueError, match="Stage teacher has the steps 1 to 8; got 9"):
        experiment.replay("teacher", 9)


def test_nonfinite_run_names_rate_and_examples_and_how_to_replay(data_dir, tmp_path):
    config = smoke(data_dir, teacher__num_steps=2)
    config.teacher.optimizer.learning_rate = float("inf")
    config.teacher.optimizer.clip_norm = float("inf")
    with pytest.raises(
        FloatingPointError, match=r"Learning rate .*; examples .+, .+, .+, .+\. To look at the step"
    ) as error:
        plan.experiment(config, workdir=str(tmp_path / "run")).train()
    assert "--mode=replay --replay=teacher:2" in str(error.value)


@pytest.mark.parametrize("text", [None, "teacher", "teacher:", ":3", "teacher:x"])
def test_step_to_replay_that_cannot_be_read_raises(text):
    with pytest.raises(ValueError, match="--replay=STAGE:STEP, such as teacher:1200; got"):
        parse_step(text)


@pytest.mark.parametrize("stage", ["teacher", "adversarial"])
def test_either_network_alone_can_be_compared(finished, data_dir, tmp_path, stage, caplog):
    shutil.copytree(finished / stage, tmp_path / "run" / stage)
    contenders = plan.experiment(smoke(data_dir), workdir=str(tmp_path / "run")).comparison.contenders()
    name, other = ("teacher", "adversarial") if stage == "teacher" else ("student", "teacher")
    assert {contender.name for contender in contenders} == {name}
    assert f"expected {other}/checkpoints/STEP" in caplog.text


def test_comparing_nothing_raises(data_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected teacher/checkpoints/STEP"):
        plan.experiment(smoke(data_dir), workdir=str(tmp_path / "run")).comparison.contenders()


def test_process_that_waits_for_others_at_its_exit_leaves_as_interrupted():
    code = "import threading\nfrom sar2opt_jax import main\nmain.leave_within(0.2)\nthreading.Event().wait(60)"
    done = subprocess.run([sys.executable, "-c", code], timeout=50)
    assert done.returncode == interruption.STATUS
