"""What weights do not say of themselves: taken from flags, from the files beside them, or from the paper."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sar2opt_jax.interop import architecture, json_file, scheduler, shapes
from sar2opt_jax.interop.architecture import Architecture
from sar2opt_jax.interop.folder import Files
from sar2opt_jax.interop.pipeline import SCHEDULER
from sar2opt_jax.interop.scheduler import MAX_STEPS

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

CHOSEN_BY = {name: name for name in ("schedule", "num_steps", "rescale_zero_snr", "prediction", "solver_steps")} | {
    "kind": "stage"
}
"""What files may say of how a network was trained, and the flag that decides it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """Settings from flags, files and the paper, in this order, and a record of which came from where.

    Attributes:
      flags: by name; None where not given.
      taken: by name, the value and where it came from, for the user to read.
      notes: what the user should know besides, a sentence each.
    """

    flags: Mapping[str, Any]
    taken: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

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
    config = json_file.read(files.config) if files.config is not None else {}
    choices.notes.extend(files.notes)
    if config:
        network, source = architecture.from_config(config, where=str(files.config)), files.config
        given = {"head_width": network.head_width, "norm_groups": network.norm_groups}
        choices.notes.extend(architecture.notes(config, where=str(files.config)))
    else:
        network = shapes.from_shapes(tensor_shapes, head_width=1, norm_groups=1, where=str(files.weights))
        source, given = files.weights, {}
    for name in ("widths", "blocks_per_level", "attention", "sar_channels"):
        choices.taken[name] = (getattr(network, name), str(source))
    settings = {name: choices.choose(name, given.get(name), source=source) for name in ("head_width", "norm_groups")}
    size = config.get("sample_size")
    side = size[0] if isinstance(size, list) and len(size) == 2 and size[0] == size[1] else size
    if not architecture.is_count(side, most=architecture.MAX_IMAGE_SIZE):
        side = None
    if side is None and size is not None and choices.flags["image_size"] is None:
        choices.notes.append(
            f"{source}: sample_size = {json_file.shown(size)} is not the side of a square, and was not used."
        )
    return dataclasses.replace(network, **settings), choices.choose("image_size", side, source=source)


def choose_sampling(files: Files, choices: Choices) -> dict[str, Any]:
    """``stage``, ``schedule``, ``prediction`` and ``consistency``: groups of an export's description.

    Raises:
      ValueError: for a schedule that is none of ours, files that contradict each other where no flag decides, or a flag
        that the stage has no use for.
    """
    sources = list(_sampling_sources(files, choices))
    told = {name: _agreed(name, sources, choices) for name in CHOSEN_BY}
    kind, source = told.pop("kind")
    student = "distill" if files.discriminator is None else "adversarial"
    told["stage"] = ({"student": student, "teacher": "teacher", None: None}[kind], source)

    def choose(name: str) -> Any:
        value, source = told.get(name, (None, None))
        return choices.choose(name, value, source=source)

    chosen = {name: choose(name) for name in ("stage", "schedule", "num_steps", "rescale_zero_snr", "prediction")}
    if files.scheduler is None and any(choices.flags[name] is None for name in ("schedule", "prediction")):
        choices.notes.append(
            f"No {SCHEDULER} belongs to {files.weights}. With another schedule or prediction than it was trained "
            "with, a network translates wrongly: check the defaults above."
        )
    if not scheduler.is_length(chosen["num_steps"]):
        value, where = choices.taken["num_steps"]
        raise ValueError(f"{where}: num_steps = {value}; expected a number of at least 2, and at most {MAX_STEPS}.")
    consistency = None
    if chosen["stage"] == "teacher":
        if choices.flags["solver_steps"] is not None:
            raise ValueError("--solver_steps belongs to a student; this is taken for stage 'teacher' (--stage).")
        if files.discriminator is not None:
            choices.notes.append(f"{files.discriminator} was not taken: this is stage 'teacher' (--stage changes it).")
    else:
        consistency = {"solver_steps": choose("solver_steps"), "sigma_data": scheduler.SIGMA_DATA}
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


def _sampling_sources(files: Files, choices: Choices) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What each file says of how its network was trained: the path, and settings by the names of ``CHOSEN_BY``."""
    for path in (files.scheduler, *files.other_schedulers):
        if path is None:
            continue
        config = json_file.read(path)
        found = scheduler.from_config(config, where=str(path))
        choices.notes.extend(scheduler.notes(config, where=str(path)))
        schedule = found["schedule"] | {"schedule": found["schedule"]["name"]}
        student = {"solver_steps": (found["consistency"] or {}).get("solver_steps")}
        kind = scheduler.kind(config.get("_class_name"))
        yield path, schedule | student | {"prediction": found["prediction"], "kind": kind}
    for pipeline in files.pipelines:
        for name, class_name in pipeline.schedulers.items():
            if not (pipeline.index.parent / name / SCHEDULER).is_file():
                what = f"{class_name}, but {name}/{SCHEDULER} is missing beside it"
                choices.notes.append(f"{pipeline.index} names a {what}.")
            yield pipeline.index, {"kind": scheduler.kind(class_name)}
    if files.config is not None:
        yield files.config, {"num_steps": json_file.read(files.config).get("num_train_timesteps")}


def _agreed(name: str, sources: Sequence[tuple[Path, Mapping[str, Any]]], choices: Choices) -> tuple[Any, Path | None]:
    """What the files say of a setting, and the first that does; None where none does, or a flag decides.

    Raises:
      ValueError: where two files say different things, and no flag decides.
    """
    flag = CHOSEN_BY[name]
    said = [(found[name], path) for path, found in sources if found.get(name) is not None]
    if not said or choices.flags[flag] is not None:
        return None, None
    value, first = said[0]
    for other, path in said:
        if other != value:
            raise ValueError(
                f"{first} says {name} = {json_file.shown(value)}, but {path} says {json_file.shown(other)}; expected "
                f"the same in both: --{flag} decides, or remove the wrong file."
            )
    return value, first
