"""Translates SAR images to optical ones:

    sar2opt translate --model=runs/acd-simulated --input=SAR.png --output=OPTICAL.png
    sar2opt translate --model=runs/acd-simulated --input=SAR_FOLDER --output=OPTICAL_FOLDER --steps=8

Images are 8-bit grey PNG files of any size, scaled as the model's training data were. Exit status 1: some could not be
translated, and the last lines say which and why.
"""

import functools
import os
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from sar2opt_jax import export as exports
from sar2opt_jax.cli import start
from sar2opt_jax.data.scaling import to_float, to_uint8

_MODEL = flags.DEFINE_string("model", None, "A workdir, a stage's directory in it, or one checkpoint.")
_INPUT = flags.DEFINE_string("input", None, "A PNG file, or a folder of them.")
_OUTPUT = flags.DEFINE_string("output", None, "Where the translation goes: a file; a folder for a folder.")
_STEPS = flags.DEFINE_integer(
    "steps", None, "Network evaluations; default 4 for a student, 50 for a teacher, 1 for a generator."
)
_SAMPLER = flags.DEFINE_string(
    "sampler", None, "ddim (default), dpm_solver_pp or ddpm for a teacher, lcm for a student, direct for a generator."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise; another seed gives another plausible translation.")
_STAGE = flags.DEFINE_string(
    "stage", None, "teacher, distill, adversarial, pix2pix or cyclegan; default the last one of the workdir."
)

FAILURES = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, jax.errors.JaxRuntimeError)
"""What a bad file leads to: unreadable, of the wrong kind, broken (PIL's SyntaxError), too large, out of memory."""


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # Reading a checkpoint is told in a dozen lines otherwise.
    model, source, target = (str(flag.value) for flag in (_MODEL, _INPUT, _OUTPUT))  # Required: none is None.
    try:
        planned = plan(Path(source), Path(target))
        failed = translate(
            exports.load_model(model, stage=_STAGE.value),
            planned,
            sampler=_SAMPLER.value,
            steps=_STEPS.value,
            seed=_SEED.value,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"Translated {len(planned) - len(failed)} of {len(planned)} images to {target}.")
    if failed:
        lines = [f"  {path}: {reason}" for path, reason in failed.items()]
        sys.exit("\n".join([f"{len(failed)} could not be translated:", *lines]))


def plan(source: Path, target: Path) -> dict[Path, Path]:
    """Which files are read, and where each translation goes.

    Raises:
      FileNotFoundError: without a source, or without PNG files in it.
      ValueError: for a target that does not fit, or that would overwrite a source.
    """
    if not source.exists():
        raise FileNotFoundError(f"--input {source} does not exist.")
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if _is_png(path) and not path.name.startswith("."))
        if not files:
            raise FileNotFoundError(f"--input {source} is a folder without PNG files.")
        if target.exists() and not target.is_dir():
            raise ValueError(f"--input {source} is a folder, so --output must be one too; {target} is a file.")
        planned = {path: target / path.name for path in files}
    else:
        planned = {source: target / source.name if target.is_dir() else target}
        if not _is_png(planned[source]):
            raise ValueError(f"Translations are PNG files; --output {planned[source]} must end in .png.")
    for path, output in planned.items():
        if output.exists() and output.samefile(path):
            raise ValueError(f"--output {output} would overwrite the input; choose another place.")
    return planned


def translate(
    model: exports.LoadedModel,
    planned: Mapping[Path, Path],
    *,
    sampler: str | None,
    steps: int | None,
    seed: int,
) -> dict[Path, str]:
    """Translates files one by one; a bad one does not keep the others from being done.

    Args:
      model: the network.
      planned: from source files to where their translations go.
      sampler: None for the one that suits the network.
      steps: None for the usual number.
      seed: of the noise.

    Returns:
      The files that could not be translated, and why.

    Raises:
      ValueError: for a method that does not fit the network, or a network that takes several SAR channels.
    """
    method = model.translator.method(sampler=sampler, num_steps=steps)
    if (channels := model.meta["sar"]["channels"]) != 1:
        raise ValueError(f"The model takes {channels} SAR channels; a grey PNG file holds one.")
    sample = jax.jit(functools.partial(model.translator, method=method))
    params, root = jax.device_put(model.params), jax.random.key(seed)

    failed = {}
    for source, target in tqdm(planned.items(), unit="image", disable=None):
        try:
            # The noise depends on the file's name, not on its place in the folder.
            rng = jax.random.fold_in(root, zlib.crc32(source.name.encode()))
            run = functools.partial(sample, params, rngs=rng[None])
            optical = translate_image(run, read_sar(source), multiple=model.size_multiple)
            write_png(target, to_uint8(optical))
        except FAILURES as error:
            failed[source] = str(error).splitlines()[0]
    return failed


def translate_image(run: Callable[[np.ndarray], jax.Array], sar: np.ndarray, *, multiple: int) -> np.ndarray:
    """Translates one image of any size, continued by reflection to a size that the network takes.

    Args:
      run: translates [1, height, width, channel].
      sar: [height, width, channel] in [-1, 1].
      multiple: what height and width must be divisible by.

    Returns:
      [height, width, 3].
    """
    height, width = sar.shape[:2]
    padded = np.pad(sar, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    return np.asarray(run(padded[None]))[0, :height, :width]


def read_sar(path: Path) -> np.ndarray:
    """Reads an 8-bit grey PNG file, stored as grey or as equal colours. Returns [height, width, 1] in [-1, 1].

    Raises:
      OSError: where it cannot be read.
      ValueError: for 16-bit, coloured or partly transparent images.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
    except UnidentifiedImageError:
        raise ValueError("not a PNG image.") from None
    if image.mode == "L" and "transparency" not in image.info:
        return to_float(np.asarray(image)[..., None])
    if image.mode not in ("L", "LA", "P", "RGB", "RGBA"):
        raise ValueError(
            f"its pixels are of mode {image.mode!r}; expected 8-bit grey, scaled as the model's training data were."
        )
    *colours, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0)
    if (alpha != 255).any():
        raise ValueError("it is transparent in places; expected 8-bit grey without transparency.")
    if any((colour != colours[0]).any() for colour in colours):
        raise ValueError("it is a colour image; expected one grey SAR channel.")
    return to_float(colours[0][..., None])


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a file that is never half there, with its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        Image.fromarray(image).save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def run() -> None:
    """The entry point, of ``sar2opt translate``."""
    required = ("model", "input", "output")
    shown = (*required, "steps", "sampler", "seed", "stage")
    start.run(main, start.Command(module="sar2opt_jax.translate", text=__doc__ or "", shown=shown, required=required))


if __name__ == "__main__":
    run()
