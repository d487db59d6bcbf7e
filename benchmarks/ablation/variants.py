"""What is trained: a preset, and variants that take one of its choices back, with the methods each is sampled with."""

import dataclasses
from collections.abc import Mapping
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
    """

    stage: str
    changes: Changes = dataclasses.field(default_factory=dict)
    teacher: str | None = None


STEPS_A_CALL = 50
"""Numbers of steps are multiples of it, so that one program serves all of a stage."""
GAMMAS = (0.0, 0.3, 0.6)
"""With which the preset's student is sampled besides its own."""
PAPER = {
    "distill.sampling_times_share": 0.0,
    "distill.reconstruction_weight": 0.0,
    "distill.own_output_share": 0.0,
    "distill.optimizer.learning_rate": 1e-4,
    "adversarial.optimizer.learning_rate": 1e-4,
    "adversarial.discriminator": "unet",
    "adversarial.weight": 0.3,  # At 1 the few and large steps can tear the student apart.
}
"""The paper's objective in place of the small presets' options."""


def student(changes: Changes | None = None, *, teacher: str = "teacher", stage: str = "adversarial") -> Variant:
    """A student with these changes."""
    return Variant(stage=stage, changes=changes or {}, teacher=teacher)


VARIANTS: dict[str, Variant] = {
    "teacher": Variant(stage="teacher"),
    "pix2pix": Variant(stage="pix2pix"),
    "student": student(),
    "teacher, no gain": Variant(stage="teacher", changes={"model.input_gain": "none"}),
    "regression": Variant(stage="pix2pix", changes={"pix2pix.adversarial_weight": 0.0}),
    "paper": student(PAPER, teacher="teacher, no gain"),
    # One choice taken back.
    "no gain": student(teacher="teacher, no gain"),
    "no own output": student({"distill.own_output_share": 0.0}),
    "no truth": student({"distill.reconstruction_weight": 0.0}),
    "times drawn evenly": student({"distill.sampling_times_share": 0.0}),
    "lower rate": student({"distill.optimizer.learning_rate": 1e-4}),
    "no adversary": student(stage="distill"),
    # Another discriminator, or the same elsewhere.
    "unet": student({"adversarial.discriminator": "unet"}),
    "unet_patches": student({"adversarial.discriminator": "unet_patches"}),
    "unet_patches, clean": student({"adversarial.discriminator": "unet_patches", "adversarial.judged_at": "clean"}),
    "noisiest": student({"adversarial.time_weight": "noisiest", "adversarial.weight": 0.1}),
    "linear": student({"adversarial.time_weight": "linear"}),
    "shows noisy": student({"adversarial.shows_noisy": True}),
    "exports its target": student({"distill.export_target": True}),
}
"""In the order in which they are begun: teachers first, then what matters most."""


def config_of(name: str, preset: str, *, more: Changes) -> Config:
    """The config of a variant; ``more`` changes it for all of them."""
    variant = VARIANTS[name]
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset=preset)
    inherited = VARIANTS[variant.teacher].changes if variant.teacher else {}
    change(config, {**inherited, **more, **variant.changes})
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
    gammas = GAMMAS if name == "student" else ()
    few = [
        Method(sampler="lcm", num_steps=steps, gamma=gamma)
        for gamma in gammas
        for steps in settings.student_steps
        if steps > 1
    ]
    return plain + few
