"""What a run of several starts keeps, refuses or trains again: real runs of a network too small to learn anything."""

import json
import logging
import shutil

import jax
import numpy as np
import pytest

from configs.base import get_base
from sar2opt_jax import export
from sar2opt_jax.data import prepared
from sar2opt_jax.data.prepared import Prepared
from sar2opt_jax.engine import recovery
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.run import plan
from sar2opt_jax.run.stages import STAGES
from tfds_builders.prepare import prepare


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    prepare("simulated/tiny", data_dir=directory)
    return str(directory)


def tiny(data_dir, *, stages=("teacher", "distill"), **changes):
    """Two stages of a few steps of a U-Net of one level; dotted names with __ for dots."""
    config = get_base(name="distill", stages=stages, preset="smoke")
    config.data.data_dir = data_dir
    config.model.widths, config.model.attention = (8,), (False,)
    config.data.image_size = 16
    config.teacher.num_steps, config.distill.num_steps = 4, 2
    config.teacher.preview_steps = config.distill.preview_steps = 1
    config.evaluation.lpips = config.evaluation.teacher_samplers = config.evaluation.teacher_steps = ()
    config.evaluation.student_steps = (1,)
    config.evaluation.figure_steps = 1
    config.evaluation.original_steps = 2
    config.evaluation.uncertainty_samples = 0
    for key, value in changes.items():
        *groups, field = key.split("__")
        group = config
        for name in groups:
            group = group[name]
        group[field] = value
    return config


def test_no_stage_of_any_run_has_the_seed_of_another():
    seeds = [plan.stage_seed(seed, name) for seed in range(1000) for name in STAGES]
    assert len(set(seeds)) == len(seeds) and min(seeds) >= 0 and max(seeds) < 2**31


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """The workdir of a finished run."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    plan.experiment(tiny(data_dir), workdir=str(workdir)).train()
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def no_step(monkeypatch):
    monkeypatch.setattr(DataParallel, "step", lambda *_: pytest.fail("a step was taken"))


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_a_finished_run_takes_no_step(workdir, data_dir, no_step, caplog):
    with caplog.at_level(logging.INFO):
        plan.experiment(tiny(data_dir), workdir=str(workdir)).train()
    assert "Stage distill is finished: 2 steps." in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distill__export_target": True}, "distill.export_target = False"),
        ({"distill__loss": "l2"}, "distill.loss = pseudo_huber"),
        ({"distill__optimizer__learning_rate": 0.5}, "distill.optimizer.learning_rate = 0.0005"),
        ({"teacher__noise_offset": 0.1}, "teacher.noise_offset = 0.0"),
        ({"data__augment": False}, "data.augment = True"),
        ({"seed": 1}, "seed = 3407"),
        ({"train__batch_size": 8}, "train.batch_size = 4"),
        ({"data__image_size": 32}, "data.image_size = 16"),
        ({"model__prediction": "v"}, "model.prediction = x_0"),
    ],
)
def test_a_finished_run_of_other_settings_is_refused_and_left_alone(workdir, data_dir, no_step, changes, message):
    before = contents(workdir)
    with pytest.raises(ValueError, match=f"belongs to a run with {message} .*Choose another --workdir"):
        plan.experiment(tiny(data_dir, **changes), workdir=str(workdir)).train()
    assert contents(workdir) == before


def test_a_student_of_another_teacher_is_refused(workdir, finished, data_dir, tmp_path, no_step):
    other = tmp_path / "other"
    about = export.load(finished, stage="teacher")
    shutil.copytree(finished / "teacher", other / "teacher")
    meta = next(other.rglob("meta/metadata"))
    changed = json.loads(meta.read_text())
    changed["description"]["settings"]["seed"] = 99
    meta.write_text(json.dumps(changed))
    (meta.parents[1] / "digests.json").unlink()
    changed["saved_by"]["digests"] = False
    meta.write_text(json.dumps(changed))
    assert export.load(other).description.fingerprint != about.description.fingerprint
    given = tiny(data_dir, stages=("distill",), teacher__export=str(other))
    shutil.rmtree(workdir / "teacher")
    with pytest.raises(ValueError, match="belongs to a run with the parent export = "):
        plan.experiment(given, workdir=str(workdir)).train()
    same = tiny(data_dir, stages=("distill",), teacher__export=str(finished))
    plan.experiment(same, workdir=str(workdir)).train()


def test_a_longer_teacher_makes_its_student_stale_and_it_is_trained_again(workdir, data_dir, caplog):
    before = export.load(workdir)
    config = tiny(data_dir, teacher__num_steps=6)
    with caplog.at_level(logging.WARNING):
        experiment = plan.experiment(config, workdir=str(workdir))
    assert "Stage distill" in caplog.text and "is stale: it was trained from an export of 4 steps" in caplog.text
    experiment.train()
    after = export.load(workdir)
    assert after.description.parent == export.load(workdir, stage="teacher").description.fingerprint
    assert after.description.parent.endswith("@6")
    assert export.load(workdir / "distill.stale-1").description == before.description
    kernels = [np.asarray(loaded.params["conv_in"]["kernel"]) for loaded in (before, after)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0


def test_half_a_stage_goes_on_under_the_same_parent_alone(finished, data_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished / "teacher", workdir / "teacher")
    plan.experiment(tiny(data_dir, distill__num_steps=1), workdir=str(workdir)).train()
    other = tiny(data_dir, distill__num_steps=2, distill__target_decay=0.5)
    with pytest.raises(ValueError, match=r"distill.target_decay = 0.95 \(stage distill, half-trained, step 1\)"):
        plan.experiment(other, workdir=str(workdir)).train()
    slower = tiny(data_dir, distill__num_steps=2, distill__optimizer__learning_rate=1e-5)
    plan.experiment(slower, workdir=str(workdir)).train()
    assert export.load(workdir).description.step == 2


@pytest.fixture
def other_content(data_dir, tmp_path):
    """The same dataset prepared anew with other content."""
    shutil.copytree(data_dir, tmp_path / "data")
    path = next((tmp_path / "data").rglob("metadata.json"))
    metadata = json.loads(path.read_text())
    metadata["content"]["train"] = "0" * 64
    path.write_text(json.dumps(metadata))
    return str(tmp_path / "data")


def test_a_dataset_of_other_content_is_refused(workdir, other_content, no_step):
    with pytest.raises(ValueError, match="belongs to a run with the content of simulated/tiny = fingerprint "):
        plan.experiment(tiny(other_content), workdir=str(workdir)).train()


def test_a_dataset_that_was_moved_is_the_same(workdir, data_dir, tmp_path, no_step):
    shutil.copytree(data_dir, tmp_path / "elsewhere")
    plan.experiment(tiny(str(tmp_path / "elsewhere")), workdir=str(workdir)).train()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((), "stages is empty; give at least one of teacher, distill"),
        (
            ("pix2pix", "distill"),
            "stage distill starts from a teacher, but stage pix2pix, a generator, comes before it",
        ),
        (
            ("teacher", "distill", "adversarial"),
            "stage adversarial starts from a teacher, but stage distill, a student, comes before it",
        ),
        (("adversarial",), "stage adversarial starts from a teacher, but nothing comes before it"),
        (("teacher", "pix2pix"), "stage pix2pix starts from fresh parameters and must come first"),
        (("teacher", "teacher"), "stage teacher starts from fresh parameters and must come first"),
        (("teacher", "diffuse"), "Unknown stage 'diffuse'; known: teacher, distill"),
    ],
)
def test_stage_orders_that_mean_nothing_are_refused_before_anything_is_written(data_dir, tmp_path, stages, message):
    with pytest.raises(ValueError, match=message):
        plan.experiment(tiny(data_dir, stages=stages), workdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_before_its_first_checkpoint_owns_no_workdir(data_dir, tmp_path, monkeypatch):
    workdir = str(tmp_path / "run")
    with monkeypatch.context() as failing:
        failing.setattr(DataParallel, "step", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
        with pytest.raises(RuntimeError, match="out of memory"):
            plan.experiment(tiny(data_dir), workdir=workdir).train()
    plan.experiment(tiny(data_dir, schedule__name="linear", stages=("teacher",)), workdir=workdir)


def test_the_test_split_is_read_by_the_evaluation_alone(data_dir, tmp_path, monkeypatch):
    reads = []
    split = Prepared.split

    def spied(self, name):
        source = split(self, name)
        if name == "test":
            for method in ("encoded", "__getitem__"):
                read = getattr(type(source), method)
                monkeypatch.setattr(
                    prepared.StoredPairs,
                    method,
                    lambda it, i, read=read: (it is source and reads.append(i), read(it, i))[1],
                )
        return source

    monkeypatch.setattr(Prepared, "split", spied)
    experiment = plan.experiment(tiny(data_dir, stages=("teacher",)), workdir=str(tmp_path / "run"))
    monkeypatch.setattr(type(experiment.comparison), "run", lambda self, contenders: reads.append("evaluation"))
    experiment.train()
    assert reads == ["evaluation"]


def test_previews_and_validation_are_of_the_validation_split(finished, data_dir):
    dataset = Prepared("simulated/tiny", data_dir=data_dir)
    experiment = plan.experiment(tiny(data_dir), workdir=str(finished))
    ids = {example["id"].decode() for example in dataset.split("validation")}
    assert set(experiment.validation.examples.ids) <= ids


def test_the_best_checkpoint_is_found_by_a_metric_of_the_validation(data_dir, tmp_path, caplog):
    settings = {"save_every_steps": 2, "validate_every_steps": 2, "keep_checkpoints": 1}
    changes = {f"train__{name}": value for name, value in settings.items()}
    config = tiny(
        data_dir, stages=("teacher",), train__keep_best_metric="validation/psnr", teacher__num_steps=8, **changes
    )
    plan.experiment(config, workdir=str(tmp_path / "run")).train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = max((line for line in lines if "validation/psnr" in line), key=lambda line: line["validation/psnr"])["step"]
    kept = {int(entry.name) for entry in (tmp_path / "run" / "teacher" / "checkpoints").iterdir()}
    assert kept == {best, 8}


def test_a_metric_of_a_validation_that_there_is_not_is_refused(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(Prepared, "sizes", {"train": 4, "test": 2})
    config = tiny(data_dir, train__keep_best_metric="validation/psnr")
    with pytest.raises(ValueError, match="keep_best_metric is 'validation/psnr', but simulated/tiny has no validation"):
        plan.experiment(config, workdir=str(tmp_path / "run"))


def test_resuming_holds_the_state_once(finished, data_dir, tmp_path, monkeypatch):
    workdir = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(workdir / "distill")
    read, held = recovery.read, []

    def measured(*args, **kwargs):
        before = sum(x.nbytes for x in jax.live_arrays())
        result = read(*args, **kwargs)
        held.append((before, sum(x.nbytes for x in jax.tree.leaves(result[0]))))
        return result

    monkeypatch.setattr(recovery, "read", measured)
    held_before = sum(x.nbytes for x in jax.live_arrays())
    plan.experiment(tiny(data_dir, stages=("teacher",), teacher__num_steps=5), workdir=str(workdir)).train()
    [(before, state)] = held
    assert before - held_before < 0.5 * state


def test_a_report_describes_its_networks_as_they_were_trained(finished):
    about = json.loads((finished / "report" / "results.json").read_text())["networks"]
    assert about["student"]["stage"] == "distill" and about["teacher"]["step"] == 4
    assert about["student"]["settings"]["distill"]["loss"] == "pseudo_huber"
    assert "How student was trained" in (finished / "report" / "report.html").read_text()
