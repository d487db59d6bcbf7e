"""Noise schedules as the schedulers of diffusers describe them in ``scheduler_config.json``."""

import math
from collections.abc import Mapping
from typing import Any

SCHEDULES: dict[str, tuple[str, float, float]] = {
    "linear": ("linear", 1e-4, 2e-2),
    "scaled_linear": ("scaled_linear", 8.5e-4, 1.2e-2),
    "cosine": ("squaredcos_cap_v2", 1e-4, 2e-2),
}
"""Our schedules by name: diffusers' ``beta_schedule``, ``beta_start`` and ``beta_end``, which cosine does not use."""
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x_0": "sample"}
"""What a network predicts: our name, diffusers' name."""
STUDENT_CLASS = "LCMScheduler"
"""The scheduler of consistency models; networks beside any other are teachers."""
SIGMA_DATA = 0.5
TIMESTEP_SCALING = 10.0
"""Of the consistency function, in ``LCMScheduler`` as here; the first has no setting there, the second none here."""


def from_config(config: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """What a ``scheduler_config.json`` says of a network: an export's groups of the same names.

    How diffusers would sample with it (clipping, spacing of times, thresholding) is not part of the network, and is
    left out: ``diffusion.translation`` chooses.

    Args:
      config: its content.
      where: its file, for messages.

    Returns:
      ``schedule`` (``name``, ``num_steps``, ``rescale_zero_snr``), ``prediction``, and ``consistency``
      (``solver_steps``, ``sigma_data``; None for a teacher).

    Raises:
      ValueError: for a schedule that this package lacks, with the first setting that does not fit and its value.
    """

    def refuse(key: str, expected: str) -> ValueError:
        given = f"{key} = {config[key]!r}" if key in config else f"{key} is missing"
        return ValueError(f"{where}: {given}; expected {expected}.")

    kinds = {kind: name for name, (kind, _, _) in SCHEDULES.items()}
    if config.get("trained_betas") is not None:
        raise ValueError(f"{where}: it has trained_betas; expected a schedule by name: {', '.join(kinds)}.")
    # Their defaults differ from scheduler to scheduler, so that a missing one is not guessed.
    if (kind := config.get("beta_schedule")) not in kinds:
        raise refuse("beta_schedule", " or ".join(kinds))
    name = kinds[kind]
    for key, value in zip(("beta_start", "beta_end"), SCHEDULES[name][1:], strict=True):
        if name != "cosine" and not _equal(config.get(key), value):
            raise refuse(key, f"{value}, that of schedule {name}")
    num_steps = config.get("num_train_timesteps", 1000)
    if not isinstance(num_steps, int) or num_steps < 2:
        raise refuse("num_train_timesteps", "a number of at least 2")
    predictions = {theirs: ours for ours, theirs in PREDICTIONS.items()}
    if (prediction := config.get("prediction_type", "epsilon")) not in predictions:
        raise refuse("prediction_type", " or ".join(predictions))
    consistency = None
    if config.get("_class_name") == STUDENT_CLASS:
        if not _equal(config.get("timestep_scaling", TIMESTEP_SCALING), TIMESTEP_SCALING):
            raise refuse("timestep_scaling", f"{TIMESTEP_SCALING}, that of the consistency function")
        consistency = {"solver_steps": config.get("original_inference_steps", 50), "sigma_data": SIGMA_DATA}
    return {
        "schedule": {
            "name": name,
            "num_steps": num_steps,
            "rescale_zero_snr": bool(config.get("rescale_betas_zero_snr", False)),
        },
        "prediction": predictions[prediction],
        "consistency": consistency,
    }


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
