"""Noise schedules as the schedulers of diffusers describe them in ``scheduler_config.json``."""

import math
from collections.abc import Mapping
from typing import Any

from sar2opt_jax.interop.json_file import shown

SCHEDULES: dict[str, tuple[str, float, float]] = {
    "linear": ("linear", 1e-4, 2e-2),
    "scaled_linear": ("scaled_linear", 8.5e-4, 1.2e-2),
    "cosine": ("squaredcos_cap_v2", 1e-4, 2e-2),
}
"""Our schedules by name: diffusers' ``beta_schedule``, ``beta_start`` and ``beta_end``, which cosine does not use."""
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x_0": "sample"}
"""What a network predicts: our name, diffusers' name."""
STUDENT_CLASS = "LCMScheduler"
"""The scheduler of consistency models that is written, and that their networks are sampled as here."""
STUDENTS = (STUDENT_CLASS, "TCDScheduler")
"""Schedulers of networks that lead from any time to the clean image at once. TCD has no skip connection around its
network, c_skip = 0; here c_skip is 2.5e-3 at time 1 and 7e-6 at time 19, the first of a grid of 50."""
TEACHERS = (
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
)
"""Schedulers of diffusion models with discrete times and betas."""
_SIGMAS = "takes noise levels (sigmas), not times of a schedule of betas"
_FLOW = "predicts the velocity of a flow"
_SHIFTED = "was trained on betas shifted by snr_shift_scale"
OTHERS = {
    "CMStochasticIterativeScheduler": _SIGMAS,
    "CogVideoXDDIMScheduler": _SHIFTED,
    "CogVideoXDPMScheduler": _SHIFTED,
    "ConsistencyDecoderScheduler": _SIGMAS,
    "CosineDPMSolverMultistepScheduler": _SIGMAS,
    "EDMDPMSolverMultistepScheduler": _SIGMAS,
    "EDMEulerScheduler": _SIGMAS,
    "FlowMatchEulerDiscreteScheduler": _FLOW,
    "FlowMatchHeunDiscreteScheduler": _FLOW,
    "FlowMatchLCMScheduler": _FLOW,
    "KarrasVeScheduler": _SIGMAS,
    "SCMScheduler": _FLOW,
    "ScoreSdeVeScheduler": _SIGMAS,
    "ScoreSdeVpScheduler": "takes continuous times",
}
"""Schedulers whose networks are of another kind, and what such a network does. Their configs may well have betas, left
over from the scheduler that they were made from."""
FIXED = {"use_flow_sigmas": False, "timestep_type": "discrete"}
"""Settings of schedulers above that would make the network another one."""
SAMPLING = (
    "clip_sample",
    "clip_sample_range",
    "set_alpha_to_one",
    "steps_offset",
    "thresholding",
    "timestep_spacing",
)
"""Settings of how a scheduler samples any network."""
MAX_STEPS = 100_000
"""Far above any schedule, so that a malformed config is refused before anything is made of its length."""
SIGMA_DATA = 0.5
TIMESTEP_SCALING = 10.0
"""Of the consistency function, in ``LCMScheduler`` as here; the first has no setting there, the second none here."""


def kind(class_name: str | None) -> str | None:
    """Whether a network beside a scheduler of this class is a ``student``, a consistency model, or a ``teacher``; None
    where the class does not say."""
    return "student" if class_name in STUDENTS else "teacher" if class_name in TEACHERS else None


def from_config(config: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """What a ``scheduler_config.json`` says of a network: an export's groups of the same names.

    How diffusers would sample with it (clipping, spacing of times, thresholding) is not part of the network, and is
    left out: see ``notes``.

    Args:
      config: its content.
      where: its file, for messages.

    Returns:
      ``schedule`` (``name``, ``num_steps``, ``rescale_zero_snr``), ``prediction``, and ``consistency``
      (``solver_steps``, ``sigma_data``; None for a teacher).

    Raises:
      ValueError: for a network of another kind, or a schedule that is none of ours, with the first setting that does
        not fit and its value.
    """

    def refuse(key: str, expected: str) -> ValueError:
        found = f"{key} = {shown(config[key])}" if key in config else f"{key} is missing"
        return ValueError(f"{where}: {found}; expected {expected}.")

    class_name = _class_name(config, where=where)
    kinds = {theirs: name for name, (theirs, _, _) in SCHEDULES.items()}
    if config.get("trained_betas") is not None:
        raise ValueError(f"{where}: it has trained_betas; expected a schedule by name: {', '.join(kinds)}.")
    for key, value in FIXED.items():
        if config.get(key) not in (None, value):
            raise refuse(key, f"{value!r}, as for a diffusion model with discrete times and betas")
    # Their defaults differ from scheduler to scheduler, so that a missing one is not guessed.
    beta_schedule = config.get("beta_schedule")
    if not isinstance(beta_schedule, str) or beta_schedule not in kinds:
        raise refuse("beta_schedule", " or ".join(kinds))
    name = kinds[beta_schedule]
    for key, value in zip(("beta_start", "beta_end"), SCHEDULES[name][1:], strict=True):
        if name != "cosine" and not _equal(config.get(key), value):
            raise refuse(key, f"{value}, that of schedule {name}")
    num_steps = config.get("num_train_timesteps", 1000)
    if not is_length(num_steps):
        raise refuse("num_train_timesteps", f"a number of at least 2, and at most {MAX_STEPS}")
    if not isinstance(rescale := config.get("rescale_betas_zero_snr") or False, bool):
        raise refuse("rescale_betas_zero_snr", "true or false")
    consistency = None
    if kind(class_name) == "student":
        scaling = config.get("timestep_scaling", TIMESTEP_SCALING)
        if class_name == STUDENT_CLASS and not _equal(scaling, TIMESTEP_SCALING):
            raise refuse("timestep_scaling", f"{TIMESTEP_SCALING}, that of the consistency function")
        solver_steps = config.get("original_inference_steps", 50)
        if not is_length(solver_steps, least=1) or solver_steps > num_steps:
            raise refuse("original_inference_steps", f"a number of at least 1, and at most {num_steps}")
        consistency = {"solver_steps": solver_steps, "sigma_data": SIGMA_DATA}
    return {
        "schedule": {"name": name, "num_steps": num_steps, "rescale_zero_snr": rescale},
        "prediction": _prediction(config, where=where),
        "consistency": consistency,
    }


def notes(config: Mapping[str, Any], *, where: str) -> list[str]:
    """Sentences on what a ``scheduler_config.json`` says, ``from_config`` takes, and a user should know of.

    Args:
      config: one that ``from_config`` takes.
      where: it was found.
    """
    found = from_config(config, where=where)
    class_name = config.get("_class_name")
    said = []
    if class_name is not None and kind(class_name) is None:
        said.append(f"{where}: unknown class {shown(class_name)}; taken for a teacher's (--stage changes it).")
    if kind(class_name) == "student" and class_name != STUDENT_CLASS:
        said.append(f"{where}: a student of {class_name} is sampled here as one of {STUDENT_CLASS}: eta is always 1.")
    ours = to_config(found["schedule"], prediction=found["prediction"], consistency=found["consistency"], version="")
    other = [
        f"{key} = {shown(config[key])} ({ours[key]!r})"
        for key in SAMPLING
        if key in config and config[key] != ours[key]
    ]
    if other:
        said.append(f"{where}: how to sample was not taken over, for the sampler here decides it: {', '.join(other)}.")
    return said


def is_length(value: Any, *, least: int = 2) -> bool:
    """Whether this is a number of times that a schedule, or a grid in one, can have."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_STEPS


def _class_name(config: Mapping[str, Any], *, where: str) -> str | None:
    """The class of a scheduler. Raises ValueError for one whose networks are of another kind."""
    found = config.get("_class_name")
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{where}: _class_name = {shown(found)}; expected the name of a scheduler.")
    if found in OTHERS:
        raise ValueError(
            f"{where}: _class_name = {found!r}, whose network {OTHERS[found]}; expected a scheduler of discrete "
            f"times and betas, such as DDPMScheduler or {STUDENT_CLASS}."
        )
    return found


def _prediction(config: Mapping[str, Any], *, where: str) -> str:
    """What the network predicts, by our name; in old releases ``predict_epsilon`` said it."""
    predictions = {theirs: ours for ours, theirs in PREDICTIONS.items()}
    said = config.get("predict_epsilon")
    old = ("epsilon" if said else "sample") if isinstance(said, bool) else None
    found = config.get("prediction_type", old or "epsilon")
    if not isinstance(found, str) or found not in predictions:
        raise ValueError(f"{where}: prediction_type = {shown(found)}; expected {' or '.join(predictions)}.")
    if old not in (None, found):
        raise ValueError(
            f"{where}: predict_epsilon = {said} and prediction_type = {found!r}; expected one of "
            "them: remove the wrong one."
        )
    return predictions[found]


def to_config(
    schedule: Mapping[str, Any], *, prediction: str, consistency: Mapping[str, Any] | None, version: str
) -> dict[str, Any]:
    """The scheduler that samples a network in diffusers as it is sampled here.

    Args:
      schedule: the group of an export's description.
      prediction: ``eps``, ``v`` or ``x_0``.
      consistency: the group of a student's description; None for a teacher.
      version: of diffusers.

    Returns:
      A ``scheduler_config.json``: ``LCMScheduler`` for a student, ``DDIMScheduler`` with trailing times for a teacher.
    """
    kind, beta_start, beta_end = SCHEDULES[schedule["name"]]
    shared = {
        "_diffusers_version": version,
        "num_train_timesteps": schedule["num_steps"],
        "beta_start": beta_start,
        "beta_end": beta_end,
        "beta_schedule": kind,
        "trained_betas": None,
        "rescale_betas_zero_snr": schedule["rescale_zero_snr"],
        "prediction_type": PREDICTIONS[prediction],
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "clip_sample_range": 1.0,
        "thresholding": False,
        "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0,
    }
    if consistency is None:
        return {"_class_name": "DDIMScheduler", **shared, "clip_sample": True, "timestep_spacing": "trailing"}
    return {
        "_class_name": STUDENT_CLASS,
        **shared,
        "clip_sample": False,
        "timestep_spacing": "leading",
        "original_inference_steps": consistency["solver_steps"],
        "timestep_scaling": TIMESTEP_SCALING,
    }


def _equal(value: Any, expected: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, expected, rel_tol=1e-6)
