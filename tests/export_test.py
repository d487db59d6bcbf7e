import dataclasses
import json
import shutil

import numpy as np
import pytest

from sar2opt_jax import export
from sar2opt_jax.description import Consistency, Dataset, Description, ImageFormat, ScheduleSettings, UNetSettings
from sar2opt_jax.diffusion.input_gain import wiener_weights
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.engine import networks
from sar2opt_jax.export import Export
from sar2opt_jax.models.init import init_params
from sar2opt_jax.types import make_key

DESCRIPTION = Description(
    stage="teacher",
    kind="teacher",
    rank=2,
    unet=UNetSettings(widths=(8, 8), blocks_per_level=1, attention=(False, True), head_width=8, norm_groups=2),
    prediction="x_0",
    schedule=ScheduleSettings(name="linear", num_steps=100, rescale_zero_snr=False),
    consistency=None,
    radar=ImageFormat(bands=("VV", "VH"), quantity="dB", limits=((-25.0, 0.0), (-32.5, 0.0)), dtype="float32"),
    optical=ImageFormat(bands=("red", "green", "blue")),
    image_size=32,
    ground_sampling_m=10.0,
    dataset=Dataset(name="sen12", version="1.0.0", fingerprint="abc"),
    settings={"seed": 1, "teacher": {"optimizer": {"betas": [0.9, 0.999]}}},
    preset="acd:sen12",
    step=7,
)
META_0_1 = {
    "stage": "teacher",
    "model": {
        "widths": [8, 8],
        "blocks_per_level": 1,
        "attention": [False, True],
        "head_width": 8,
        "norm_groups": 2,
        "prediction": "x_0",
    },
    "schedule": {"name": "linear", "num_steps": 100, "rescale_zero_snr": False},
    "consistency": None,
}
STUDENT = {"solver_steps": 25, "sigma_data": 0.4}


def write(workdir, *, step=7, value=0.0, **changes):
    about = dataclasses.replace(DESCRIPTION, step=step, **changes)
    trained = {"unet": {"kernel": np.full(3, value, np.float32)}}
    export.save(workdir / about.stage / "checkpoints", Export(networks=trained, description=about))
    return about


def student(**changes):
    kind = {"stage": "distill", "kind": "student", "rank": 3, "consistency": Consistency(**STUDENT)}
    return {**kind, **changes}


def test_an_export_is_loaded_with_the_description_it_was_saved_with(tmp_path):
    about = write(tmp_path, value=2.0)
    loaded = export.load(tmp_path)
    assert loaded.description == about
    assert loaded.size_multiple == 2
    np.testing.assert_array_equal(loaded.params["kernel"], [2, 2, 2])
    assert loaded.translator.kind == "teacher" and loaded.translator.prediction == "x_0"


def test_a_student_is_sampled_at_its_grid(tmp_path):
    write(tmp_path, **student())
    translator = export.load(tmp_path).translator
    assert (translator.kind, translator.solver_steps, translator.sigma_data) == ("student", 25, 0.4)


@pytest.mark.parametrize("below", [".", "teacher", "teacher/checkpoints", "teacher/checkpoints/5"])
def test_the_newest_export_is_found_below_any_level(tmp_path, below):
    for step in (2, 5):
        write(tmp_path / str(step), step=step, value=step)
    shutil.move(tmp_path / "2" / "teacher" / "checkpoints" / "2", tmp_path / "5" / "teacher" / "checkpoints" / "2")
    loaded = export.load(tmp_path / "5" / below)
    assert loaded.description.step == 5
    assert all(isinstance(leaf, np.ndarray) for leaf in loaded.params.values())
    np.testing.assert_array_equal(loaded.params["kernel"], [5, 5, 5])
    older = export.load(tmp_path / "5" / "teacher" / "checkpoints" / "2")
    assert older.description.step == 2
    np.testing.assert_array_equal(older.params["kernel"], [2, 2, 2])


def test_the_highest_rank_stands_for_a_workdir_or_the_stage_asked_for(tmp_path):
    write(tmp_path)
    write(tmp_path, **student(stage="adversarial", rank=4))
    write(tmp_path, **student())
    assert export.load(tmp_path).description.stage == "adversarial"
    assert export.load(tmp_path, stage="distill").description.stage == "distill"
    with pytest.raises(ValueError, match="is a checkpoint of stage 'distill'; expected one of stage 'teacher'"):
        export.load(tmp_path / "distill", stage="teacher")


def test_a_stage_that_was_set_aside_stands_for_nothing(tmp_path):
    write(tmp_path)
    write(tmp_path, **student())
    (tmp_path / "distill").rename(tmp_path / "distill.stale-1")
    assert export.load(tmp_path).description.stage == "teacher"
    assert export.load(tmp_path / "distill.stale-1").description.stage == "distill"


def test_nothing_to_load_says_what_is_there(tmp_path):
    (tmp_path / "report").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected STAGE/checkpoints/STEP below it\. It contains: report\."):
        export.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected teacher/checkpoints/STEP below it"):
        export.load(tmp_path, stage="teacher")
    with pytest.raises(FileNotFoundError, match="It does not exist"):
        export.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("meta", "kind"),
    [
        ({}, "teacher"),  # The first two are from before an export said its kind.
        ({"consistency": STUDENT}, "student"),
        ({"kind": "teacher"}, "teacher"),
        ({"kind": "student", "consistency": STUDENT}, "student"),
        ({"kind": "generator", "stage": "pix2pix"}, "generator"),
    ],
)
def test_an_export_of_0_1_is_read(tmp_path, meta, kind):
    trained = {"unet": {"kernel": np.arange(3.0, dtype=np.float32)}}
    networks.save(tmp_path / "run", trained, meta=META_0_1 | meta, step=7)
    loaded = export.load(tmp_path / "run")
    assert loaded.translator.kind == loaded.description.kind == kind
    assert loaded.translator.solver_steps == (25 if kind == "student" else None)
    assert (loaded.size_multiple, loaded.description.step) == (2, 7)
    assert (loaded.description.unet, loaded.description.prediction) == (DESCRIPTION.unet, "x_0")
    assert (loaded.description.software, loaded.description.radar.bands) == ("0.1", ("band 1",))
    np.testing.assert_array_equal(loaded.params["kernel"], [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "format 3 is of a later version of sar2opt_jax; this one reads 1 and 2"),
        ({"description": {"kind": "flow"}}, "Unknown kind of network 'flow'; known: teacher, student, generator"),
        ({"description": {"flavour": 1}}, "unknown description flavour: it is of a later version"),
        ({"description": {"radar": {"bands": ["VV"], "colour": 1}}}, "unknown radar colour: it is of a later version"),
        ({"description": {"radar": {"bands": ["VV"], "quantity": "K"}}}, "Unknown quantity 'K'; known: dB, linear"),
        ({"description": {"radar": {"bands": ["VV"], "limits": [[0, 1], [0, 1]]}}}, "1 bands have 2 pairs of limits"),
        ({"description": {"unet": None}}, "has no valid description"),
    ],
)
def test_what_this_version_cannot_read_is_refused_with_its_checkpoint(tmp_path, change, message):
    meta = export.metadata(DESCRIPTION)
    meta = meta | change | {"description": meta["description"] | change.get("description", {})}
    networks.save(tmp_path / "run", {"unet": {"kernel": np.zeros(1)}}, meta=meta, step=7)
    with pytest.raises(ValueError, match=message) as error:
        export.load(tmp_path / "run")
    assert str(tmp_path / "run" / "7") in str(error.value)


def test_a_description_is_the_same_after_json():
    again = Description.from_json(json.loads(json.dumps(DESCRIPTION.to_json())))
    assert again == DESCRIPTION
    assert again.fingerprint == DESCRIPTION.fingerprint


def test_the_fingerprint_is_of_settings_data_and_parent_and_not_of_names_or_versions():
    for same in (
        {"software": "9"},
        {"preset": "mine:x"},
        {"rank": 9},
        {"usual_steps": 2},
        {"dataset": Dataset(name="x", fingerprint="abc")},
    ):
        assert dataclasses.replace(DESCRIPTION, **same).fingerprint == DESCRIPTION.fingerprint
    for other in (
        {"settings": {"seed": 2}},
        {"dataset": Dataset(name="sen12", version="1.0.0", fingerprint="abd")},
        {"parent": "xyz@3"},
        {"prediction": "v"},
        {"radar": ImageFormat(bands=("VV", "VH"))},
    ):
        assert dataclasses.replace(DESCRIPTION, **other).recipe != DESCRIPTION.recipe
    longer = dataclasses.replace(DESCRIPTION, step=8)
    assert longer.recipe == DESCRIPTION.recipe and longer.fingerprint != DESCRIPTION.fingerprint


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({}, None),
        ({"dtype": "uint16", "nodata": 0.0}, None),  # Of files, not of what becomes of them.
        ({"bands": ("VH", "VV")}, ("bands", '["VV", "VH"]', '["VH", "VV"]')),
        ({"bands": ("band 1", "band 2")}, None),
        ({"quantity": "linear"}, ("quantity", "'dB'", "'linear'")),
        (
            {"limits": ((-20.0, 0.0), (-32.5, 0.0))},
            ("limits", "[[-25.0, 0.0], [-32.5, 0.0]]", "[[-20.0, 0.0], [-32.5, 0.0]]"),
        ),
        ({"quantity": "unknown", "limits": None}, None),
    ],
)
def test_scalings_that_networks_cannot_be_exchanged_under_are_named(other, difference):
    assert DESCRIPTION.radar.difference(dataclasses.replace(DESCRIPTION.radar, **other)) == difference


def test_the_input_gain_is_applied_where_an_export_is_sampled():
    params = init_params(DESCRIPTION.unet.make(), make_key(0), image_size=4, sar_channels=1)
    x_t, t, sar = np.ones((1, 4, 4, 3), np.float32), np.array([60]), np.zeros((1, 4, 4, 1), np.float32)

    def output(gain, x_t):
        return dataclasses.replace(DESCRIPTION, input_gain=gain).translator().model(params, x_t, t, sar)

    weight = wiener_weights(make_schedule("linear", num_steps=100))[60]
    np.testing.assert_allclose(output("wiener", x_t), output("none", np.float32(weight) * x_t), rtol=1e-5)
    with pytest.raises(ValueError, match=r"Unknown model.input_gain 'later'"):
        output("later", x_t)


def test_two_networks_of_one_structure_have_two_digests():
    one, other = ({"a": {"kernel": np.full(3, value, np.float32)}} for value in (1, 2))
    assert export.parameters_digest(one) == export.parameters_digest({"a": {"kernel": np.ones(3, np.float32)}})
    assert len({export.parameters_digest(params) for params in (one, other, {"b": one["a"]})}) == 3
