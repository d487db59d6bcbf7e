"""Which networks an evaluation compares, on networks that were never trained."""

import dataclasses
import shutil
from types import SimpleNamespace

import jax
import pytest

from configs.base import get_base
from sar2opt_jax import export
from sar2opt_jax.data.prepared import Prepared
from sar2opt_jax.description import ImageFormat, unnamed_bands
from sar2opt_jax.export import Export
from sar2opt_jax.models.init import init_params
from sar2opt_jax.run import compare, plan
from tfds_builders.prepare import prepare


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    prepare("simulated/tiny", data_dir=directory)
    return str(directory)


@pytest.fixture
def config(data_dir):
    """Two methods a network."""
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="smoke")
    config.data.data_dir = data_dir
    config.evaluation.lpips = ()
    config.evaluation.teacher_samplers = ("ddim",)
    config.evaluation.teacher_steps = ()
    config.evaluation.student_steps = (1,)
    config.evaluation.figure_steps = 1
    config.evaluation.original_steps = 2
    return config


def write_network(config, workdir, *, stage="teacher", channels=1, seed=0, parent=None, **changes):
    """An export of fresh parameters."""
    network = plan.unet(config).make()
    params = init_params(network, jax.random.key(seed), image_size=32, sar_channels=channels)
    dataset = Prepared(config.data.name, data_dir=config.data.data_dir)
    about = dataclasses.replace(plan.description(config, stage, dataset, parent=parent), **changes)
    if channels != 1:
        radar = dataclasses.replace(about.radar, bands=unnamed_bands(channels), limits=None)
        about = dataclasses.replace(about, radar=radar)
    export.save(workdir / stage / "checkpoints", Export(networks={"unet": params}, description=about))


def comparison(config, workdir):
    return plan.experiment(config, workdir=str(workdir)).comparison


@pytest.fixture
def named():
    """What contenders are called."""
    return lambda contenders: [(c.name, c.method.sampler, c.method.num_steps) for c in contenders]


def test_networks_of_other_runs_are_compared_too(config, tmp_path, named):
    write_network(config, tmp_path / "run")
    write_network(config, tmp_path / "other", stage="distill", seed=1)
    config.evaluation.models = (f"CD={tmp_path / 'other'}", f"old={tmp_path / 'run' / 'teacher'}")
    contenders = comparison(config, tmp_path / "run").contenders()
    methods = [("ddpm", 2), ("ddim", 1)]
    expected = [("teacher", *m) for m in methods] + [("CD", "lcm", 1)] + [("old", *m) for m in methods]
    assert named(contenders) == expected
    assert contenders[0].identity["parameters"] == contenders[-1].identity["parameters"]
    assert contenders[0].identity["parameters"] != contenders[2].identity["parameters"]


def test_a_workdir_without_a_run_compares_what_is_named(config, tmp_path, named):
    write_network(config, tmp_path / "other", stage="distill")
    config.evaluation.models = (f"CD={tmp_path / 'other'}",)
    assert named(comparison(config, tmp_path / "nothing").contenders()) == [("CD", "lcm", 1)]


def test_a_network_that_is_not_there_raises(config, tmp_path):
    write_network(config, tmp_path / "run")
    config.evaluation.models = (f"CD={tmp_path / 'nowhere'}",)
    with pytest.raises(FileNotFoundError, match=r"nowhere.*It does not exist"):
        comparison(config, tmp_path / "run")  # Before anything is trained.


def test_other_radar_channels_raise(config, tmp_path):
    write_network(config, tmp_path / "other", channels=2)
    config.evaluation.models = (f"CD={tmp_path / 'other'}",)
    with pytest.raises(ValueError, match=r"CD \(.*other\) takes 2 radar channel\(s\); simulated/tiny has 1"):
        comparison(config, tmp_path / "run").contenders()


def test_other_radar_limits_raise(config, tmp_path):
    limits = {"radar": ImageFormat(bands=("VV",), quantity="dB", limits=((-20.0, 0.0),), dtype="float32")}
    write_network(config, tmp_path / "other", **limits)
    config.evaluation.models = (f"CD={tmp_path / 'other'}",)
    message = r"CD \(.*other\) takes radar images with limits = \[\[-20.0, 0.0\]\]; .* have \[\[-25.0, 0.0\]\]"
    with pytest.raises(ValueError, match=message):
        comparison(config, tmp_path / "run").contenders()


def test_an_image_size_that_a_network_cannot_take_raises(config, tmp_path):
    deep = config.copy_and_resolve_references()
    deep.model.widths, deep.model.attention = (32,) * 5, (False,) * 5
    write_network(deep, tmp_path / "other")
    config.evaluation.models = (f"deep={tmp_path / 'other'}",)
    config.data.image_size = 24
    with pytest.raises(ValueError, match=r"multiples of 16 pixels; data.image_size is 24"):
        comparison(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("runs/cd",), "NAME=PATH, such as CD=runs/distill-simulated; got 'runs/cd'"),
        (("=runs/cd",), "got '=runs/cd'"),
        (("CD=",), "got 'CD='"),
        (("student=runs/cd",), "Two networks to compare are called 'student'"),
        (("Student=runs/cd",), "Two networks to compare are called 'Student'"),
        (("ddim=runs/cd",), "'ddim', or it is the name of a sampler"),
    ],
)
def test_models_that_cannot_be_told_apart_or_found_raise(config, tmp_path, models, message):
    config.evaluation.models = models
    with pytest.raises(ValueError, match=message):
        comparison(config, tmp_path / "run")


def test_weights_that_are_not_those_of_fid_raise(config, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"not the published file")
    config.evaluation.fid_weights = str(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"6726825d"):
        comparison(config, tmp_path / "run")


def test_measures_that_are_not_at_hand_are_remarked(config, tmp_path):
    (remark,) = comparison(config, tmp_path / "run").settings.measures.remarks
    assert remark.startswith("FID and KID were not measured")


def test_the_spread_is_that_of_a_student_at_about_four_steps_or_of_a_teacher(config, tmp_path):
    def contender(kind, steps):
        return SimpleNamespace(translator=SimpleNamespace(kind=kind), method=SimpleNamespace(num_steps=steps))

    config.evaluation.figure_steps = 2
    sampled = comparison(config, tmp_path / "run")._sampled
    teacher, generator = [contender("teacher", n) for n in (1000, 2, 1)], [contender("generator", 1)]
    students = [contender("student", n) for n in (1, 2, 5, 8)]
    assert sampled([*teacher, *generator, *students]) is students[2]
    assert sampled([*generator, *teacher]) is teacher[1]
    assert sampled(generator) is None


def test_an_evaluation_goes_on_and_translates_only_what_is_new(config, tmp_path, caplog):
    config.evaluation.uncertainty_samples = 0
    write_network(config, tmp_path / "run")
    first = comparison(config, tmp_path / "run")
    assert not first.is_done(first.contenders())
    first.run(first.contenders())
    report = tmp_path / "run" / "report"
    assert (report / "report.html").exists()
    assert first.is_done(first.contenders())
    before = {path: path.stat().st_mtime_ns for path in report.glob("translations/*/*.png")}
    assert len(before) == 2 * config.evaluation.num_examples

    config.evaluation.teacher_steps = (2,)
    second = comparison(config, tmp_path / "run")
    assert not second.is_done(second.contenders())
    second.run(second.contenders())
    after = {path: path.stat().st_mtime_ns for path in report.glob("translations/*/*.png")}
    assert len(after) == 3 * config.evaluation.num_examples
    assert before.items() <= after.items()

    # A network that was trained on has no report yet, and neither has one whose report was torn.
    shutil.rmtree(tmp_path / "run" / "teacher")
    write_network(config, tmp_path / "run", seed=1)
    assert not second.is_done(second.contenders())
    (report / "made_by.json").write_text("")
    assert not second.is_done(second.contenders())


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_examples", 0), ("batch_size", 0), ("figure_rows", 0), ("floor_examples", 0), ("floor_window", 8)],
)
def test_values_that_no_report_can_be_made_with_raise_before_anything_is_trained(config, tmp_path, name, value):
    config.evaluation[name] = value
    with pytest.raises(ValueError, match=f"evaluation.{name} must be .*; got {value}"):
        comparison(config, tmp_path / "run")


def test_a_method_that_does_not_fit_a_network_raises(config, tmp_path):
    short = config.copy_and_resolve_references()
    short.schedule.num_steps = 100
    write_network(short, tmp_path / "other")
    config.evaluation.models = (f"short={tmp_path / 'other'}",)
    config.evaluation.original_steps = 200
    with pytest.raises(ValueError, match=r"short \(.*other\): "):
        comparison(config, tmp_path / "run")


def test_overrides_are_the_settings_that_differ_from_the_preset():
    preset = {"name": "acd", "train": {"batch_size": 16, "seeds": [1, 2]}, "data": {"data_dir": None}}
    config = {"name": "acd", "train": {"batch_size": 8, "seeds": [1, 2]}, "data": {"data_dir": "here"}}
    assert compare.overrides(preset, config) == [("data.data_dir", None, "here"), ("train.batch_size", 16, 8)]
    assert compare.overrides(preset, preset) == []
