"""What is trained: variants of a preset, as changes of its config, and the methods that each is sampled with."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from configs.base import get_base
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.translator import Method

Changes = Mapping[str, Any]
"""From the dotted name of a setting to its value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One training.

    Attributes:
      stage: what is trained, one of ``run.stages.STAGES``.
      changes: of the preset.
      teacher: the variant that it starts from, if any; its changes hold here too.
      gammas: with which the student is sampled besides 1.
      student_share: of the optimiser steps that the preset gives to teacher and student; None leaves them.
    """

    stage: str
    changes: Changes = dataclasses.field(default_factory=dict)
    teacher: str | None = None
    gammas: Sequence[float] = ()
    student_share: float | None = None


STEPS_A_CALL = 50
"""Numbers of steps are multiples of it, so that one program serves all of a stage."""
GAIN = {"model.input_gain": "wiener"}
SHARE = {"distill.sampling_times_share": 0.5}
TRUTH = {"distill.reconstruction_weight": 1.0}
RATE = {"distill.optimizer.learning_rate": 5e-4, "adversarial.optimizer.learning_rate": 1e-3}
BOTH = SHARE | TRUTH | RATE
PATCHES = {"adversarial.discriminator": "patchgan", "adversarial.weight": 0.02}
STRONG = PATCHES | {"distill.reconstruction_weight": 3.0, "adversarial.weight": 0.05}
ENCODER = {"adversarial.discriminator": "unet_patches", "adversarial.weight": 0.02}
CLEAN = {"adversarial.judged_at": "clean"}
LONGER = 3 / 7
"""Share of a student that is trained longer on a teacher that was trained less: 450 of 1,050 steps in place of 150."""


def student(*changes: Changes, teacher: str = "teacher, gain", stage: str = "adversarial", **settings: Any) -> Variant:
    """A student with all these changes."""
    merged = {name: value for change in changes for name, value in change.items()}
    return Variant(stage=stage, changes=merged, teacher=teacher, **settings)


VARIANTS: dict[str, Variant] = {
    "teacher, gain": Variant(stage="teacher", changes=GAIN),
    "teacher": Variant(stage="teacher"),
    "pix2pix": Variant(stage="pix2pix"),
    "teacher, gain, shorter": Variant(stage="teacher", changes=GAIN, student_share=LONGER),
    "regression": Variant(stage="pix2pix", changes={"pix2pix.adversarial_weight": 0.0}),
    # One change after the other.
    "student": student(teacher="teacher"),
    "gain": student(),
    "gain + patchgan + all": student(BOTH, PATCHES, gammas=(0.0, 0.3, 0.6)),
    "longer: gain + patchgan strong + all": student(
        BOTH, STRONG, teacher="teacher, gain, shorter", student_share=LONGER, gammas=(0.0, 0.3, 0.6)
    ),
    "gain + share": student(SHARE),
    "gain + truth": student(TRUTH),
    "gain + rate": student(RATE),
    "gain + share + truth + rate": student(BOTH),
    "consistency: gain + share + truth + rate": student(BOTH, stage="distill"),
    "no gain: patchgan + all": student(BOTH, PATCHES, teacher="teacher"),
    # Which discriminator, and where.
    "gain + patchgan strong + all": student(BOTH, STRONG),
    "gain + unet_patches + all": student(BOTH, ENCODER),
    "gain + unet_patches clean + all": student(BOTH, ENCODER, CLEAN),
    "gain + unet clean + all": student(BOTH, CLEAN),
    "gain + patchgan strong noisiest + all": student(BOTH, STRONG, {"adversarial.time_weight": "noisiest"}),
    "gain + patchgan strong linear + all": student(BOTH, STRONG, {"adversarial.time_weight": "linear"}),
    "gain + patchgan strong shows noisy + all": student(BOTH, STRONG, {"adversarial.shows_noisy": True}),
    "gain + patchgan strong target + all": student(BOTH, STRONG, {"distill.export_target": True}),
    "longer: gain + patchgan strong shows noisy + all": student(
        BOTH, STRONG, {"adversarial.shows_noisy": True}, teacher="teacher, gain, shorter", student_share=LONGER
    ),
    "longer: gain + unet_patches clean strong + all": student(
        BOTH,
        STRONG,
        ENCODER,
        CLEAN,
        {"adversarial.weight": 0.05},
        teacher="teacher, gain, shorter",
        student_share=LONGER,
    ),
}
"""In the order in which they are begun: teachers first, then what matters most."""


def config_of(name: str, preset: str, *, more: Changes) -> Config:
    """The config of a variant; ``more`` changes it for all of them."""
    variant = VARIANTS[name]
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset=preset)
    inherited = VARIANTS[variant.teacher].changes if variant.teacher else {}
    change(config, {**inherited, **more, **variant.changes})
    if variant.student_share is not None:
        total = config.teacher.num_steps + config.distill.num_steps
        config.distill.num_steps = max(round(variant.student_share * total / STEPS_A_CALL), 1) * STEPS_A_CALL
        config.teacher.num_steps = total - config.distill.num_steps
    return config


def change(config: Config, changes: Changes) -> None:
    """Sets values by their dotted names; raises AttributeError or KeyError for one that is not there."""
    for path, value in changes.items():
        *groups, last = path.split(".")
        group = config
        for part in groups:
            group = group[part]
        if last not in group:
            raise KeyError(f"The config has no {path}.")
        group[last] = value


def methods(config: Config, name: str, *, original: bool) -> list[Method]:
    """How a variant is sampled; ``original`` adds all steps of the ancestral sampler for a teacher."""
    variant, settings = VARIANTS[name], config.evaluation
    if variant.stage == "teacher":
        many = [Method(sampler="ddpm", num_steps=settings.original_steps)] if original else []
        return [Method(sampler="ddim", num_steps=steps) for steps in settings.teacher_steps] + many
    if variant.teacher is None:
        return [Method(sampler="direct", num_steps=1)]
    plain = [Method(sampler="lcm", num_steps=steps) for steps in settings.student_steps]
    few = [
        Method(sampler="lcm", num_steps=steps, gamma=gamma)
        for gamma in variant.gammas
        for steps in settings.student_steps
        if steps > 1
    ]
    return plain + few
