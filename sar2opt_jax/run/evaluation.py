"""From a config to an evaluation: which networks, which methods, which measures."""

from pathlib import Path

from sar2opt_jax import paths
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.evaluation.results import SAMPLER_TITLES
from sar2opt_jax.metrics.weights.inception import load_inception
from sar2opt_jax.metrics.weights.lpips import NETS, load_lpips
from sar2opt_jax.run.compare import EvaluationSettings, ModelPath
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.run.ranges import check_distinct
from sar2opt_jax.run.stages import STAGES
from sar2opt_jax.translator import KINDS, Method
from sar2opt_jax.types import check_known

RESERVED = frozenset(title.casefold() for title in (*SAMPLER_TITLES.values(), "Original", "Linear baseline"))
"""What methods are called in a report, and networks therefore cannot be."""


def compared(config: Config, workdir: Path) -> tuple[ModelPath, ...]:
    """The networks of the report: of this run's stages those that translate best, then all others asked for.

    Raises:
      ValueError: for a further network without name or path, or two of one name.
    """
    models = []
    if "teacher" in config.stages or config.teacher.export is not None:
        path = config.teacher.export or workdir
        models.append(ModelPath(name="teacher", path=path, stage="teacher", required=False))
    if (last := config.stages[-1]) != "teacher":
        name = "student" if STAGES[last].kind == "student" else last
        models.append(ModelPath(name=name, path=workdir, stage=last, required=False))
    for text in config.evaluation.models:
        name, _, path = text.partition("=")
        if not name or not path:
            raise ValueError(f"evaluation.models are NAME=PATH, such as CD=runs/distill-simulated; got {text!r}.")
        models.append(ModelPath(name=name, path=path))
    taken = set(RESERVED)
    for model in models:
        if (name := model.name.casefold()) in taken:  # Case-insensitive file systems would mix their translations.
            raise ValueError(
                f"Two networks to compare are called {model.name!r}, or it is the name of a sampler; evaluation.models "
                "must give another one."
            )
        taken.add(name)
    return tuple(models)


def check_evaluation(config: Config) -> None:
    """Raises ValueError for a config whose report could not be made, before anything is trained."""
    settings = config.evaluation
    known = {"teacher_samplers": KINDS["teacher"].usual_steps, "lpips": NETS}
    for name in (*known, "models"):
        value = settings[name]
        if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"evaluation.{name} must be a tuple of names; got {value!r}.")
        for item in value if name in known else ():
            check_known(f"evaluation.{name}", item, known[name])
        check_distinct(f"evaluation.{name}", value)
    compared(config, Path())  # Raises for networks that no report can tell apart.
    if settings.uncertainty_samples == 1:
        raise ValueError("evaluation.uncertainty_samples must be 0, or 2 and more: one image has no spread; got 1.")
    if settings.floor_window % 2 == 0:
        raise ValueError(f"evaluation.floor_window must be odd and positive; got {settings.floor_window}.")


def evaluation_settings(config: Config) -> EvaluationSettings:
    """What the report compares, and by which measures.

    Raises:
      ValueError: where the weights of a measure are damaged, or images are too small for it.
      FileNotFoundError: where those of FID are not where the config says.
    """
    settings = config.evaluation
    teacher = [Method(sampler="ddpm", num_steps=settings.original_steps)]
    for sampler in settings.teacher_samplers:
        steps = sorted({*settings.teacher_steps, settings.figure_steps})
        teacher += [Method(sampler=sampler, num_steps=n) for n in steps]
    return EvaluationSettings(
        methods={
            "teacher": list(dict.fromkeys(teacher)),
            "student": [
                Method(sampler="lcm", num_steps=n, gamma=settings.student_gamma) for n in settings.student_steps
            ],
            "generator": [Method(sampler="direct", num_steps=1)],
        },
        measures=measures(settings, image_size=config.data.image_size),
        split=settings.split,
        num_examples=settings.num_examples,
        batch_size=settings.batch_size,
        figure_steps=settings.figure_steps,
        figure_rows=settings.figure_rows,
        uncertainty_samples=settings.uncertainty_samples,
        floor_window=settings.floor_window,
        floor_examples=settings.floor_examples,
    )


def measures(config: Config, *, image_size: int) -> Measures:
    """What is measured, by the weights that are at hand; config is the group ``evaluation``."""
    weights, remarks = {}, []
    for network in config.lpips:
        try:
            weights[network] = load_lpips(network)
        except FileNotFoundError as error:
            remarks.append(f"LPIPS on {network} was not measured. {error}")
    if config.fid_weights is None:
        remarks.append(
            "FID and KID were not measured: they are defined with the weights of one published file, "
            "pt_inception-2015-12-05-6726825d.pth, which evaluation.fid_weights names."
        )
        inception = None
    else:
        inception = load_inception(paths.local_path(config.fid_weights, "evaluation.fid_weights"))
    found = Measures(lpips=weights, inception=inception, remarks=tuple(remarks))
    found.check_image_size(image_size)
    return found
