"""Carries weights over from diffusers (PyTorch), and back:

    python -m sar2opt_jax.convert --input=DIFFUSERS_FOLDER --output=WORKDIR
    python -m sar2opt_jax.convert --input=WEIGHTS.safetensors --output=WORKDIR --stage=adversarial
    python -m sar2opt_jax.convert --input=WORKDIR --output=DIFFUSERS_FOLDER

What the input is, it sees for itself: weights of a UNet2DModel become a checkpoint WORKDIR/STAGE/checkpoints/0; a
workdir, a stage's directory in it or one checkpoint becomes a folder that UNet2DModel.from_pretrained loads. No number
changes on the way.
"""

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from sar2opt_jax import export as exports
from sar2opt_jax.engine import checkpoint
from sar2opt_jax.interop import architecture, diffusers, folder, scheduler, settings, shapes, tensors
from sar2opt_jax.interop.architecture import Architecture
from sar2opt_jax.translator import Method

STAGES = ("teacher", "distill", "adversarial")
"""Those of diffusion models, which is what diffusers can sample."""
INTERRUPTED_STATUS = 75
"""Exit status after a signal (EX_TEMPFAIL): run the same command again."""
NO_PLATFORM = "Unable to initialize backend"
"""How JAX begins where it is told to use a platform that is not there; the rest says how to tell it otherwise."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Flags, then one call."""
    logging.set_verbosity(logging.ERROR)  # A checkpoint is written and read in dozens of lines otherwise.
    flags = vars(parser().parse_args(arguments))
    source, target = flags.pop("input"), flags.pop("output")
    try:
        for place in (source, target):
            if "://" in place:
                raise ValueError(f"{place} is an address; expected a file or folder of this machine.")
        for line in convert(Path(source), Path(target), flags=flags):
            print(line)
    except (ValueError, OSError, MemoryError) as error:
        sys.exit(f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__} without a message.")
    except RuntimeError as error:
        if not str(error).startswith(NO_PLATFORM):
            raise
        sys.exit(f"RuntimeError: {error}")
    except KeyboardInterrupt:
        print(f"Interrupted: {target} was not written. Run the same command again.", file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)


def parser() -> argparse.ArgumentParser:
    """The flags; None where one is not given."""
    description, _, rest = (__doc__ or "").partition("\n\n")
    parsed = argparse.ArgumentParser(
        prog="python -m sar2opt_jax.convert",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsed.add_argument("--input", required=True, help="a diffusers folder, a file of weights, or an export")
    parsed.add_argument("--output", required=True, help="a workdir, or a new folder for diffusers")
    parsed.add_argument("--stage", choices=STAGES, help="what the weights are; of a workdir, which stage to take")
    given = parsed.add_argument_group("for weights of diffusers, where their files do not say it")
    given.add_argument("--discriminator", type=Path, help="the authors' discriminator, a .safetensors file")
    given.add_argument("--head_width", type=_positive, help="channels of an attention head")
    given.add_argument("--norm_groups", type=_positive, help="groups of the norms")
    given.add_argument("--image_size", type=_positive, help="side of the training images in pixels")
    given.add_argument("--schedule", choices=tuple(scheduler.SCHEDULES), help="the noise schedule")
    given.add_argument("--num_steps", type=_positive, help="T of the schedule")
    given.add_argument("--rescale_zero_snr", action=argparse.BooleanOptionalAction, help="zero terminal SNR")
    given.add_argument("--prediction", choices=tuple(scheduler.PREDICTIONS), help="what the network puts out")
    given.add_argument("--solver_steps", type=_positive, help="of a student: steps of the grid it was distilled at")
    return parsed


def convert(source: Path, target: Path, *, flags: Mapping[str, Any]) -> list[str]:
    """Converts in the direction that the source asks for.

    Args:
      source: a diffusers folder, a file of weights, a workdir, a stage's directory or a checkpoint.
      target: a workdir for the first two, a folder that is new or empty for the others.
      flags: all but these two, None where not given.

    Returns:
      What was done, line by line.

    Raises:
      FileNotFoundError: where there is nothing to convert.
      ValueError: for weights that do not fit, or a target that is taken. Nothing is written then.
    """
    if not source.exists():
        raise FileNotFoundError(f"--input {source} does not exist.")
    if target.exists() and target.samefile(source):
        raise ValueError(f"--output {target} is the input; choose another place.")
    files = folder.find(source)
    return to_diffusers(source, target, flags=flags) if files is None else from_diffusers(files, target, flags=flags)


def from_diffusers(files: folder.Files, workdir: Path, *, flags: Mapping[str, Any]) -> list[str]:
    """Writes weights as a checkpoint of a stage; see ``convert``."""
    choices = settings.Choices(flags=flags)
    weights, kinds = read_network(files.weights)
    if any(name.startswith(f"{diffusers.HEAD}.") for name in weights):
        raise ValueError(
            f"{files.weights} holds a discriminator; expected a U-Net as --input, and this as --discriminator."
        )
    found = {name: tensor.shape for name, tensor in weights.items()}
    network, image_size = settings.choose_architecture(files, found, choices)
    shapes.check_shapes(found, shapes.unet_shapes(network), where=str(files.weights))
    sampling = settings.choose_sampling(files, choices)
    export: dict[str, Any] = {"unet": diffusers.to_flax(weights)}
    lines = [f"Read {files.weights}: {_count(weights)} parameters, {kinds}{_cast(kinds)}."]

    stage = sampling["stage"]
    critic = flags["discriminator"] or (files.discriminator if stage == "adversarial" else None)
    if critic is not None:
        if stage != "adversarial":
            raise ValueError(f"--discriminator belongs to --stage=adversarial; this is taken for stage {stage!r}.")
        judging, kinds = read_network(critic)
        found = {name: tensor.shape for name, tensor in judging.items()}
        shapes.check_shapes(found, shapes.discriminator_shapes(network), where=str(critic))
        export["discriminator"] = diffusers.discriminator_to_flax(judging)
        lines.append(f"Read {critic}: {_count(judging)} parameters, {kinds}{_cast(kinds)}.")

    meta = description(network, image_size=image_size, source=files.weights, **sampling)
    table = [f"  {name:17} {value}  ({where})" for name, (value, where) in choices.taken.items()]
    try:
        check(meta)
    except ValueError as error:
        raise ValueError("\n".join([f"{error} These do not fit each other:", *table])) from None
    with whole_directory(workdir / stage) as place:
        checkpoint.save_export(place / "checkpoints", export, meta=meta, step=0)
    tried = f"try it: python -m sar2opt_jax.translate --model={workdir}"
    notes = [f"Note: {note}" for note in choices.notes]
    return [*lines, *table, *notes, f"Wrote {workdir / stage}; {tried}"]


def check(meta: Mapping[str, Any]) -> None:
    """Raises ValueError for a description whose parts do not fit each other."""
    translator = exports.translator(meta, exports.unet(meta["model"], dtype="float32"))
    translator.schedule.check_prediction(translator.prediction)
    translator.timesteps(Method(sampler="lcm" if translator.is_student else "ddim", num_steps=1))


def read_network(path: Path) -> tuple[Mapping[str, Any], str]:
    """The tensors of a network by their names in diffusers, and the types they were stored in."""
    found, kinds = tensors.read(path)
    return diffusers.without_prefix(found, where=str(path))[0], kinds


def description(
    network: Architecture,
    *,
    image_size: int,
    source: Path,
    stage: str,
    schedule: Mapping[str, Any],
    prediction: str,
    consistency: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What is saved beside the export, with the groups of ``build.description``; ``source`` stands for the preset."""
    model = dataclasses.asdict(network)
    channels = model.pop("sar_channels")
    return {
        "stage": stage,
        "kind": "teacher" if consistency is None else "student",
        "model": {name: list(value) if isinstance(value, tuple) else value for name, value in model.items()}
        | {"prediction": prediction},
        "schedule": dict(schedule),
        "consistency": consistency,
        "sar": {"channels": channels, "scaling": "uint8 0 .. 255 to -1 .. 1"},
        "data": "unknown",
        "image_size": image_size,
        "preset": f"converted from {source.name}",
    }


def to_diffusers(source: Path, target: Path, *, flags: Mapping[str, Any]) -> list[str]:
    """Writes an export as a folder of diffusers; see ``convert``."""
    if superfluous := [f"--{name}" for name, value in flags.items() if value is not None and name != "stage"]:
        raise ValueError(f"{source} describes itself: {', '.join(superfluous)} cannot be given with it.")
    try:
        export, meta, step = checkpoint.load_export(source, stage=flags["stage"])
    except FileNotFoundError as error:
        folder.refuse_others(source)
        wanted = f"{folder.WEIGHTS}{tensors.SUFFIX}"
        raise FileNotFoundError(f"{source} has no weights of diffusers ({wanted}) either. {error}") from None
    if exports.kind(meta) == "generator":
        raise ValueError(
            f"{source} is a generator (stage {meta['stage']}); expected one of {', '.join(STAGES)}: "
            "diffusers samples diffusion models alone."
        )
    model = meta["model"]
    network = Architecture(
        widths=tuple(model["widths"]),
        blocks_per_level=model["blocks_per_level"],
        attention=tuple(model["attention"]),
        head_width=model["head_width"],
        norm_groups=model["norm_groups"],
        sar_channels=meta["sar"]["channels"],
    )
    unet = diffusers.from_flax(export["unet"])
    found = {name: tensor.shape for name, tensor in unet.items()}
    shapes.check_shapes(found, shapes.unet_shapes(network), where=str(source))
    judge = diffusers.discriminator_from_flax(export["discriminator"]) if "discriminator" in export else None
    sampling = scheduler.to_config(
        meta["schedule"],
        prediction=model["prediction"],
        consistency=meta["consistency"],
        version=architecture.VERSION,
    )
    with whole_directory(target) as place:
        config = architecture.to_config(network, image_size=meta["image_size"])
        folder.write(place, config=config, scheduler=sampling, unet=unet, discriminator=judge)
    lines = [
        f"Read {source}: stage {meta['stage']}, step {step}, {_count(unet)} parameters.",
        f"Wrote {target}: config.json, {folder.WEIGHTS}{tensors.SUFFIX}, scheduler/ ({sampling['_class_name']})"
        + (f", {folder.DISCRIMINATOR}." if judge is not None else "."),
        f'In Python: UNet2DModel.from_pretrained("{target}"); its input is the noisy image, then the radar image.',
    ]
    sigma_data = (meta["consistency"] or {}).get("sigma_data", scheduler.SIGMA_DATA)
    if sigma_data != scheduler.SIGMA_DATA:
        lines.append(
            f"The student was distilled with sigma_data {sigma_data}, which diffusers cannot be told: "
            f"its {scheduler.STUDENT_CLASS} has {scheduler.SIGMA_DATA}."
        )
    return lines


@contextlib.contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """An empty directory that becomes ``target`` where the block ends well, and is removed where it does not.

    Raises:
      ValueError: where the target is taken.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is there already and not empty; choose another --output, or remove it.")
    created = [parent for parent in target.parents if not parent.exists()]
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in created:
            parent.rmdir()
        raise


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1; got {text}")
    return int(text)


def _count(found: Mapping[str, Any]) -> str:
    return f"{sum(tensor.size for tensor in found.values()):,}"


def _cast(kinds: str) -> str:
    return "" if kinds == "float32" else ", cast to float32"


if __name__ == "__main__":
    # SIGTERM as Ctrl-C: what is half-written is removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
