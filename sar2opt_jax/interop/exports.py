"""Exports from weights of diffusers, and back."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sar2opt_jax.description import (
    Consistency,
    Dataset,
    Description,
    ImageFormat,
    ScheduleSettings,
    UNetSettings,
    unnamed_bands,
)
from sar2opt_jax.export import Export, parameters_digest
from sar2opt_jax.interop import architecture, diffusers, folder, scheduler, settings, shapes, tensors, weight_files
from sar2opt_jax.interop.architecture import Architecture

RANKS = {"teacher": 2, "distill": 3, "adversarial": 4}
"""Of the stages of diffusion models, which is what diffusers can sample; see ``Description.rank``."""


def read(files: folder.Files, *, flags: Mapping[str, Any]) -> tuple[Export, list[str]]:
    """The export that weights of diffusers are, and what was read and assumed, line by line.

    Args:
      files: from ``folder.find``.
      flags: settings that files may not state, by name; None where not given, see ``settings.DEFAULTS``.

    Raises:
      OSError: where a file cannot be read.
      ValueError: for weights that do not fit, or settings that do not fit each other.
    """
    if (stage := flags.get("stage")) not in (None, *RANKS):
        raise ValueError(
            f"{files.weights} holds weights of diffusers, which are of stage {', '.join(RANKS)}; not {stage}."
        )
    choices = settings.Choices(flags=flags)
    weights, kinds = _read_network(files.weights)
    if any(name.startswith(f"{diffusers.HEAD}.") for name in weights):
        raise ValueError(
            f"{files.weights} holds a discriminator; expected a U-Net as --input, and this as --discriminator."
        )
    stored = {name: tensor.shape for name, tensor in weights.items()}
    network, image_size = settings.choose_architecture(files, stored, choices)
    shapes.check_shapes(stored, shapes.unet_shapes(network), where=str(files.weights))
    sampling = settings.choose_sampling(files, choices)
    networks: dict[str, Any] = {"unet": diffusers.to_flax(weights)}
    lines = [f"Read {files.weights}: {_count(weights)} parameters, {kinds}{_cast(kinds)}."]

    stage = sampling["stage"]
    path = flags.get("discriminator") or (files.discriminator if stage == "adversarial" else None)
    if path is not None:
        if stage != "adversarial":
            raise ValueError(f"--discriminator belongs to --stage=adversarial; this is taken for stage {stage!r}.")
        discriminator, kinds = _read_network(path)
        stored = {name: tensor.shape for name, tensor in discriminator.items()}
        shapes.check_shapes(stored, shapes.discriminator_shapes(network), where=str(path))
        networks["discriminator"] = diffusers.discriminator_to_flax(discriminator)
        lines.append(f"Read {path}: {_count(discriminator)} parameters, {kinds}{_cast(kinds)}.")

    converted = parameters_digest(networks)
    about = _description(network, image_size=image_size, source=files.weights, converted=converted, **sampling)
    table = [f"  {name:17} {value}  ({where})" for name, (value, where) in choices.taken.items()]
    try:
        translator = about.translator()
        translator.schedule.check_prediction(translator.prediction)
        translator.method(num_steps=1)
    except ValueError as error:
        raise ValueError("\n".join([f"{error} These do not fit each other:", *table])) from None
    notes = [f"Note: {note}" for note in choices.notes]
    return Export(networks=networks, description=about), [*lines, *table, *notes]


def write(directory: Path, export: Export, *, source: Path) -> list[str]:
    """Writes an export into an empty directory as ``save_pretrained`` of diffusers does.

    Args:
      directory: is there.
      export: of a diffusion model.
      source: where it was loaded from, for messages.

    Returns:
      What was read and written, line by line.

    Raises:
      ValueError: for a generator, which diffusers cannot sample, or networks that are not as described.
    """
    about = export.description
    if about.kind == "generator":
        raise ValueError(
            f"{source} is a generator (stage {about.stage}); expected one of {', '.join(RANKS)}: "
            "diffusers samples diffusion models alone."
        )
    if about.input_gain != "none":
        raise ValueError(
            f"{source} was trained with model.input_gain {about.input_gain!r}: its network is shown a noisy image that "
            "diffusers does not make; expected 'none'. Train one without to convert it."
        )
    network = Architecture(**dataclasses.asdict(about.unet), sar_channels=len(about.radar.bands))
    unet = diffusers.from_flax(export.networks["unet"])
    shapes.check_shapes(
        {name: tensor.shape for name, tensor in unet.items()}, shapes.unet_shapes(network), where=str(source)
    )
    trained, discriminator = export.networks.get("discriminator"), None
    if trained is not None and trained.keys() == {"unet", diffusers.HEAD}:
        discriminator = diffusers.discriminator_from_flax(trained)
    sampling = scheduler.to_config(
        dataclasses.asdict(about.schedule),
        prediction=about.prediction,
        consistency=about.consistency and dataclasses.asdict(about.consistency),
        version=architecture.VERSION,
    )
    config = architecture.to_config(network, image_size=about.image_size)
    folder.write(directory, config=config, scheduler=sampling, unet=unet, discriminator=discriminator)
    lines = [
        f"Read {source}: stage {about.stage}, step {about.step}, {_count(unet)} parameters.",
        f"Wrote config.json, {folder.WEIGHTS}{weight_files.SUFFIX}, scheduler/ ({sampling['_class_name']})"
        + (f", {folder.DISCRIMINATOR}." if discriminator is not None else "."),
    ]
    if trained is not None and discriminator is None:
        lines.append("Its discriminator is not the paper's and was left out: diffusers has no use for it.")
    sigma_data = about.consistency and about.consistency.sigma_data
    if sigma_data not in (None, scheduler.SIGMA_DATA):
        lines.append(
            f"The student was distilled with sigma_data {sigma_data}, which diffusers cannot be told: "
            f"its {scheduler.STUDENT_CLASS} has {scheduler.SIGMA_DATA}."
        )
    return lines


def _read_network(path: Path) -> tuple[Mapping[str, Any], str]:
    """The tensors of a network by their names in diffusers, and the types they were stored in."""
    stored, kinds = tensors.read(path)
    return diffusers.without_prefix(stored, where=str(path))[0], kinds


def _description(
    network: Architecture,
    *,
    image_size: int,
    source: Path,
    converted: str,
    stage: str,
    schedule: Mapping[str, Any],
    prediction: str,
    consistency: Mapping[str, Any] | None,
) -> Description:
    """What an export of converted weights is: their content stands for the settings that shaped them."""
    unet = dataclasses.asdict(network)
    channels = unet.pop("sar_channels")
    return Description(
        stage=stage,
        kind="teacher" if consistency is None else "student",
        rank=RANKS[stage],
        unet=UNetSettings(**unet),
        prediction=prediction,
        schedule=ScheduleSettings(**schedule),
        consistency=None if consistency is None else Consistency(**consistency),
        radar=ImageFormat(bands=unnamed_bands(channels)),
        optical=ImageFormat(bands=("red", "green", "blue")),
        image_size=image_size,
        dataset=Dataset(name="unknown"),
        settings={"converted": converted},
        preset=f"converted from {source.name}",
    )


def _count(tensors: Mapping[str, Any]) -> str:
    return f"{sum(tensor.size for tensor in tensors.values()):,}"


def _cast(kinds: str) -> str:
    return "" if kinds == "float32" else ", cast to float32"
