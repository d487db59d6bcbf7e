"""What weights do not say of themselves: taken from flags, from the files beside them, or from the paper."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sar2opt_jax.interop import architecture, scheduler, shapes, tensors
from sar2opt_jax.interop.architecture import Architecture
from sar2opt_jax.interop.folder import Files

DEFAULTS = {
    "head_width": 8,
    "norm_groups": 32,
    "image_size": 256,
    "schedule": "scaled_linear",
    "num_steps": 1000,
    "rescale_zero_snr": False,
    "prediction": "eps",
    "solver_steps": 50,
    "stage": "teacher",
}
"""What is taken where neither a file nor a flag says it: the presets ``sen12`` and ``gf3`` of ``configs/base.py``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """Settings from flags, files and the paper, in this order, and a record of which came from where.

    Attributes:
      flags: by name; None where not given.
      taken: by name, the value and where it came from, for the user to read.
    """

    flags: Mapping[str, Any]
    taken: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)

    def choose(self, name: str, given: Any = None, *, source: Path | None = None) -> Any:
        """The value of one setting; ``given`` by the file ``source``, or None where no file has it."""
        value, where = DEFAULTS[name], f"the default, for no file has it; --{name} changes it"
        if self.flags[name] is not None:
            value, where = self.flags[name], f"--{name}"
        elif given is not None:
            value, where = given, str(source)
        self.taken[name] = (value, where)
        return value


def choose_architecture(files: Files, tensor_shapes: shapes.Shapes, choices: Choices) -> tuple[Architecture, int]:
    """The network of ``config.json`` or, where there is none, of the tensors; and the side of its images in pixels."""
    config = tensors.read_json(files.config) if files.config is not None else {}
    if config:
        network, source = architecture.from_config(config, where=str(files.config)), files.config
        given = {"head_width": network.head_width, "norm_groups": network.norm_groups}
    else:
        network = shapes.from_shapes(tensor_shapes, head_width=1, norm_groups=1, where=str(files.weights))
        source, given = files.weights, {}
    for name in ("widths", "blocks_per_level", "attention", "sar_channels"):
        choices.taken[name] = (getattr(network, name), str(source))
    settings = {name: choices.choose(name, given.get(name), source=source) for name in ("head_width", "norm_groups")}
    size = config.get("sample_size")
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    image_size = choices.choose("image_size", size if isinstance(size, int) else None, source=source)
    return dataclasses.replace(network, **settings), image_size


def choose_sampling(files: Files, choices: Choices) -> dict[str, Any]:
    """``stage``, ``schedule``, ``prediction`` and ``consistency``: groups of an export's description.

    Raises:
      ValueError: for a schedule that this package does not have, or a flag that the stage has no use for.
    """
    given: dict[str, Any] = {}
    student: Mapping[str, Any] = {}
    if files.scheduler is not None:
        config = scheduler.from_config(tensors.read_json(files.scheduler), where=str(files.scheduler))
        schedule = config["schedule"]
        given = schedule | {"schedule": schedule["name"], "prediction": config["prediction"]}
        if config["consistency"] is not None:
            student = config["consistency"]
            given["stage"] = "distill" if files.discriminator is None else "adversarial"

    def choose(name: str) -> Any:
        return choices.choose(name, given.get(name), source=files.scheduler)

    chosen = {name: choose(name) for name in ("stage", "schedule", "num_steps", "rescale_zero_snr", "prediction")}
    consistency = None
    if chosen["stage"] == "teacher":
        if choices.flags["solver_steps"] is not None:
            raise ValueError("--solver_steps belongs to a student; this is taken for stage 'teacher' (--stage).")
    else:
        solver_steps = choices.choose("solver_steps", student.get("solver_steps"), source=files.scheduler)
        consistency = {"solver_steps": solver_steps, "sigma_data": scheduler.SIGMA_DATA}
    return {
        "stage": chosen["stage"],
        "schedule": {
            "name": chosen["schedule"],
            "num_steps": chosen["num_steps"],
            "rescale_zero_snr": chosen["rescale_zero_snr"],
        },
        "prediction": chosen["prediction"],
        "consistency": consistency,
    }
