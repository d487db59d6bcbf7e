import json
from pathlib import Path

import pytest

from sar2opt_jax.interop import scheduler

REFERENCE = Path(__file__).with_name("reference") / "scheduler" / "scheduler_config.json"
STUDENT = {
    "schedule": {"name": "scaled_linear", "num_steps": 1000, "rescale_zero_snr": True},
    "prediction": "v",
    "consistency": {"solver_steps": 50, "sigma_data": 0.5},
}


def reference() -> dict:
    return json.loads(REFERENCE.read_text())


def write(described: dict) -> dict:
    return scheduler.to_config(
        described["schedule"],
        prediction=described["prediction"],
        consistency=described["consistency"],
        version="0.42.1",
    )


def test_a_student_s_scheduler_is_read_and_written_as_diffusers_does():
    assert scheduler.from_config(reference(), where="FILE") == STUDENT
    assert write(STUDENT) == reference()


@pytest.mark.parametrize("name", scheduler.SCHEDULES)
@pytest.mark.parametrize("prediction", scheduler.PREDICTIONS)
@pytest.mark.parametrize("consistency", [None, {"solver_steps": 25, "sigma_data": 0.5}])
def test_what_is_written_is_read_again(name, prediction, consistency):
    schedule = {"name": name, "num_steps": 500, "rescale_zero_snr": prediction != "eps"}
    described = {"schedule": schedule, "prediction": prediction, "consistency": consistency}
    assert scheduler.from_config(write(described), where="FILE") == described


def test_any_other_scheduler_is_a_teacher_s():
    found = scheduler.from_config(reference() | {"_class_name": "DPMSolverMultistepScheduler"}, where="FILE")
    assert found == STUDENT | {"consistency": None}


def test_what_old_releases_did_not_say_is_as_it_was_then():
    old = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}
    assert scheduler.from_config(old, where="FILE") == {
        "schedule": {"name": "linear", "num_steps": 1000, "rescale_zero_snr": False},
        "prediction": "eps",
        "consistency": None,
    }


@pytest.mark.parametrize("name", scheduler.STUDENTS)
def test_schedulers_of_consistency_models_have_students(name):
    assert scheduler.kind(name) == "student"
    assert scheduler.from_config(reference() | {"_class_name": name}, where="FILE") == STUDENT


@pytest.mark.parametrize("name", [None, "MyScheduler"])
def test_a_class_that_does_not_say_is_a_teacher_s_with_a_note(name):
    config = reference() | {"_class_name": name}
    assert scheduler.kind(name) is None
    assert scheduler.from_config(config, where="FILE") == STUDENT | {"consistency": None}
    unknown = [note for note in scheduler.notes(config, where="FILE") if "unknown class 'MyScheduler'" in note]
    assert len(unknown) == (name is not None)


@pytest.mark.parametrize("name", scheduler.OTHERS)
def test_networks_of_another_kind_are_refused_whatever_betas_are_left_over(name):
    with pytest.raises(ValueError, match=f"^FILE: _class_name = '{name}', whose network .*; expected a scheduler of"):
        scheduler.from_config(reference() | {"_class_name": name}, where="FILE")


def test_every_class_is_in_one_table():
    names = [*scheduler.STUDENTS, *scheduler.TEACHERS, *scheduler.OTHERS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("said", "prediction"), [(True, "eps"), (False, "x_0")])
def test_the_old_way_to_say_the_prediction_is_known(said, prediction):
    config = reference() | {"predict_epsilon": said}
    del config["prediction_type"]
    assert scheduler.from_config(config, where="FILE")["prediction"] == prediction
    with pytest.raises(ValueError, match=f"^FILE: predict_epsilon = {said} and prediction_type = 'v_prediction'"):
        scheduler.from_config(config | {"prediction_type": "v_prediction"}, where="FILE")


def test_what_is_written_needs_no_note_and_other_ways_to_sample_are_said():
    assert scheduler.notes(reference(), where="FILE") == []
    assert scheduler.notes(write(STUDENT | {"consistency": None}), where="FILE") == []
    changes = {
        "thresholding": True,
        "timestep_spacing": "linspace",
        "clip_sample_range": 2.0,
        "_diffusers_version": "0",
    }
    assert scheduler.notes(reference() | changes, where="FILE") == [
        "FILE: how to sample was not taken over, for the sampler here decides it: "
        "clip_sample_range = 2.0 (1.0), thresholding = True (False), timestep_spacing = 'linspace' ('leading')."
    ]


def test_a_student_that_is_sampled_otherwise_is_said():
    (note,) = scheduler.notes(reference() | {"_class_name": "TCDScheduler"}, where="FILE")
    assert note == "FILE: a student of TCDScheduler is sampled here as one of LCMScheduler: eta is always 1."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule = 'sigmoid'; expected linear or scaled_linear or squaredcos"),
        ({"beta_schedule": None}, "beta_schedule = None; expected linear"),
        ({"beta_start": 0.001}, "beta_start = 0.001; expected 0.00085, that of schedule scaled_linear"),
        ({"beta_end": "much"}, "beta_end = 'much'; expected 0.012"),
        ({"trained_betas": [0.1, 0.2]}, "it has trained_betas; expected a schedule by name"),
        ({"prediction_type": "flow"}, "prediction_type = 'flow'; expected epsilon or v_prediction or sample"),
        ({"num_train_timesteps": "all"}, "num_train_timesteps = 'all'; expected a number of at least 2"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps = 1000000000; expected a number of at least 2"),
        ({"num_train_timesteps": True}, "num_train_timesteps = True; expected a number of at least 2"),
        ({"original_inference_steps": None}, "original_inference_steps = None; expected a number of at least 1"),
        ({"original_inference_steps": 2000}, "original_inference_steps = 2000; .*, and at most 1000"),
        ({"rescale_betas_zero_snr": "false"}, "rescale_betas_zero_snr = 'false'; expected true or false"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas = True; expected False"),
        ({"timestep_type": "continuous"}, "timestep_type = 'continuous'; expected 'discrete'"),
        ({"beta_schedule": ["linear"]}, r"beta_schedule = \['linear'\]; expected linear"),
        ({"prediction_type": ["epsilon"]}, r"prediction_type = \['epsilon'\]; expected epsilon"),
        ({"_class_name": ["LCMScheduler"]}, r"_class_name = \['LCMScheduler'\]; expected the name of a scheduler"),
        ({"timestep_scaling": 1.0}, r"timestep_scaling = 1\.0; expected 10\.0"),
    ],
)
def test_a_schedule_that_is_none_of_ours_is_refused_by_name_and_value(change, message):
    with pytest.raises(ValueError, match=f"^FILE: {message}"):
        scheduler.from_config(reference() | change, where="FILE")


def test_a_missing_schedule_is_not_guessed():
    config = reference()
    del config["beta_start"]
    with pytest.raises(ValueError, match=r"beta_start is missing; expected 0\.00085"):
        scheduler.from_config(config, where="FILE")
