"""Converts weights from diffusers (PyTorch), and back:

    sar2opt convert --input=DIFFUSERS_FOLDER --output=WORKDIR
    sar2opt convert --input=WEIGHTS.safetensors --output=WORKDIR --stage=adversarial
    sar2opt convert --input=WORKDIR --output=DIFFUSERS_FOLDER
    sar2opt convert --input=WORKDIR --output=hf://USER/NAME

It recognises its input: weights of a UNet2DModel become a checkpoint WORKDIR/STAGE/checkpoints/0; a
workdir, a stage's directory in it or one checkpoint becomes a folder that UNet2DModel.from_pretrained loads. Weights
are copied bit for bit. With hf://USER/NAME, whatever sar2opt translate takes as --model becomes a private model on the
Hugging Face hub (extra hub; log in by hf auth login), with a card of what is known of it.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from sar2opt_jax import export, paths
from sar2opt_jax.cli import cache, start
from sar2opt_jax.interop import anywhere, exports, folder, hub, model_folder, scheduler, weight_files
from tfds_builders import interruption

NO_PLATFORM = "Unable to initialize backend"
"""How JAX begins where it is told to use a platform that is not there; the rest says how to tell it otherwise."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Flags, then one call."""
    start.show_log()
    given, command = sys.argv[1:] if arguments is None else arguments, parser()
    if not given:
        start.explain(command.prog, needed="--input and --output", text=__doc__ or "")
    flags = vars(command.parse_args(given))
    source, target = flags.pop("input"), flags.pop("output")
    try:
        with interruption.raised():  # What is half-written is removed on the way out.
            for line in _lines(source, target, flags=flags):
                print(line)
    except (ValueError, OSError, MemoryError) as error:
        sys.exit(f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__} without a message.")
    except RuntimeError as error:
        if not str(error).startswith(NO_PLATFORM):
            raise
        sys.exit(f"RuntimeError: {error}")
    except interruption.Interrupted as signal:
        print(f"Interrupted by {signal}: {target} was not written. Run the same command again.", file=sys.stderr)
        sys.exit(interruption.STATUS)


def _lines(source: str, target: str, *, flags: Mapping[str, Any]) -> list[str]:
    if target.startswith(hub.PREFIX):
        return to_hub(source, target, flags=flags)
    return convert(paths.local_path(source, "--input"), paths.local_path(target, "--output"), flags=flags)


def parser() -> argparse.ArgumentParser:
    """The flags; None where one is not given."""
    description, _, rest = (__doc__ or "").partition("\n\n")
    parsed = argparse.ArgumentParser(
        prog=start.program("sar2opt_jax.convert"),
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsed.add_argument("--input", required=True, help="a diffusers folder, a file of weights, or an export")
    parsed.add_argument("--output", required=True, help="a workdir, a new folder for diffusers, or hf://USER/NAME")
    stages = tuple(exports.RANKS)
    parsed.add_argument("--stage", choices=stages, help="what the weights are; of a workdir, which stage to take")
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
        raise ValueError(f"--output {target} is the input; choose another one.")
    files = folder.find(source)
    if files is None:
        return to_diffusers(source, target, flags=flags)
    converted, lines = exports.read(files, flags=flags)
    stage = converted.description.stage
    with paths.atomic_directory(target / stage) as directory:
        export.save(directory / "checkpoints", converted)
    return [*lines, f"Wrote {target / stage}; try it: sar2opt translate --model={target}"]


def to_diffusers(source: Path, target: Path, *, flags: Mapping[str, Any]) -> list[str]:
    """Writes an export as a folder of diffusers; see ``convert``."""
    _refuse_superfluous(source, flags)
    try:
        trained = export.load(source, stage=flags["stage"])
    except FileNotFoundError as error:
        folder.refuse_others(source)
        wanted = f"{folder.WEIGHTS}{weight_files.SUFFIX}"
        raise FileNotFoundError(f"{source} has no weights of diffusers ({wanted}) either. {error}") from None
    with paths.atomic_directory(target) as directory:
        lines = exports.write(directory, trained, source=source)
    load = f'UNet2DModel.from_pretrained("{target}")'
    return [*lines, f"The folder is {target}. In Python: {load}; its input is the noisy image, then the radar image."]


def to_hub(source: str, target: str, *, flags: Mapping[str, Any]) -> list[str]:
    """Puts a network on the Hugging Face hub.

    Args:
      source: as of ``anywhere.read``.
      target: ``hf://USER/NAME``.
      flags: as of ``convert``, of which only ``stage`` can be given.

    Raises:
      ValueError, OSError: as ``anywhere.read`` and ``hub.upload``.
    """
    _refuse_superfluous(source, flags)
    hub.check(target)
    trained = anywhere.read(source, stage=flags["stage"])
    with tempfile.TemporaryDirectory() as made:
        parameters = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
        model_folder.write(Path(made), trained)
        (Path(made) / "README.md").write_text(hub.card(trained.description, name=target, parameters=parameters))
        address = hub.upload(target, Path(made))
    return [f"Wrote {address}, which nobody else can see yet. Complete its card there before you make it public."]


def _refuse_superfluous(source: str | Path, flags: Mapping[str, Any]) -> None:
    if superfluous := [f"--{name}" for name, value in flags.items() if value is not None and name != "stage"]:
        raise ValueError(f"{source} describes itself: {', '.join(superfluous)} cannot be given with it.")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1; got {text}")
    return int(text)


def run() -> None:
    """The entry point, of ``sar2opt convert``."""
    cache.enable()
    main()


if __name__ == "__main__":
    run()
