"""Translates SAR images to optical ones:

    sar2opt translate --model=runs/acd-simulated --input=SAR.png --output=OPTICAL.png
    sar2opt translate --model=runs/acd-simulated --input=SAR_FOLDER --output=OPTICAL_FOLDER --steps=8
    sar2opt translate --model=runs/acd-simulated --input=SCENE.tif --output=OPTICAL.tif --steps=4
    sar2opt translate --model=runs/acd-simulated --input=SCENES --output=OPTICAL_FOLDER --format=cog

What --output is called decides: .tif or .tiff is a scene, read by GDAL in any of its formats and written as a
cloud-optimised GeoTIFF with the same coordinates (docs/scenes.md); .png and folders are images, PNG, JPEG or GeoTIFF
files of any size, written as PNG. Both have the bands of the model's training data, which its description states.
With --format=cog a folder gets a cloud-optimised GeoTIFF for each scene of --input: a folder, a list (.txt, a path a
line), STAC items (.json) or a quoted pattern such as 'scenes/*.tif'. Scenes that the same model has translated with
the same settings are skipped, and scenes.jsonl in the folder has a line for each.
Exit status 1: some images could not be translated; the last lines say which and why.
"""

import contextlib
import functools
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from absl import app, flags
from PIL import Image
from tqdm import tqdm

from sar2opt_jax import inference, paths
from sar2opt_jax.cli import start
from sar2opt_jax.cli.network_flags import MODEL, SAMPLER, STAGE, STEPS
from sar2opt_jax.inference import ImageTranslator
from sar2opt_jax.interop import pretrained
from sar2opt_jax.scene import cluster, inputs, locks, many, patch, stac, units
from sar2opt_jax.scene import translate as scene
from sar2opt_jax.types import make_key

_INPUT = flags.DEFINE_string(
    "input", None, "A PNG, JPEG or GeoTIFF file, a folder of them, or a scene; of --format=cog also many scenes."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where the translation goes: a PNG file; a folder for a folder; a .tif file for a scene."
)
_FORMAT = flags.DEFINE_enum(
    "format", None, ["png", "cog"], "What a folder is filled with; default png. Files are what they are called."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise; another seed gives another plausible translation.")
_SAMPLES = flags.DEFINE_integer(
    "samples", 1, "Of a scene: translations whose standard deviation is written to OUTPUT.uncertainty.tif; 1 is none."
)
_TILE = flags.DEFINE_integer("tile", None, "Of a scene: side of a tile in pixels; default that of the training images.")
_OVERLAP = flags.DEFINE_integer("overlap", None, "Of a scene: pixels that tiles share; default a quarter of a tile.")
_BANDS = flags.DEFINE_list(
    "bands", None, "Names or numbers of a file's bands in the model's order; default by their names."
)
_UNITS = flags.DEFINE_enum(
    "units", None, units.UNITS, "What the values of files are; default what the file and its values say."
)
_SAR_RANGE = flags.DEFINE_string(
    "sar_range", None, "For a model of 8-bit radar images: the dB that become 0 and 255, -25,0 or, a band, -25,0;-32,0."
)
_RESAMPLE = flags.DEFINE_bool(
    "resample", False, "Of a scene: resamples it to the ground sampling distance of the training data."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Of a scene: replaces an existing output.")
_SHARD = flags.DEFINE_string(
    "shard", None, "Of many scenes: I/N translates every N-th from the I-th on, I from 0 to N - 1, as one of N jobs."
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler", None, "Of many scenes: address of a Dask cluster that translates them, such as tcp://10.0.0.1:8786."
)

FAILURES = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, jax.errors.JaxRuntimeError)
"""What a bad file leads to: unreadable, of the wrong kind, corrupt (PIL's SyntaxError), too large, out of memory."""
SHOWN_FAILURES = 20
"""More than this of many scenes are in their journal only."""


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    start.show_log()
    model, source, target = (str(flag.value) for flag in (MODEL, _INPUT, _OUTPUT))  # Required: none is None.
    is_scene = Path(target).suffix.lower() in scene.SUFFIXES
    _check_format(source, target, is_scene=is_scene)
    if is_scene:
        _translate_scene(model, source, target)
        return
    if _FORMAT.value == "cog":
        _translate_many(model, source, target)
        return
    try:
        planned, skipped = plan(paths.local_path(source, "--input"), paths.local_path(target, "--output"))
        failed = translate(
            inference.load(model, stage=STAGE.value),
            planned,
            sampler=SAMPLER.value,
            steps=STEPS.value,
            seed=_SEED.value,
            band_names=_BANDS.value,
            unit=_UNITS.value,
            sar_range=_sar_range(),
        )
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"Translated {len(planned) - len(failed)} of {len(planned)} images to {target}.")
    if skipped:
        print(_skipped([path.name for path in skipped], source, "no PNG, JPEG or TIFF files"))
    if failed:
        lines = [f"  {path}: {reason}" for path, reason in failed.items()]
        sys.exit("\n".join([f"{len(failed)} could not be translated:", *lines]))


def _check_format(source: str, target: str, *, is_scene: bool) -> None:
    """Ends the command where --format, --shard or --scheduler do not fit the output."""
    is_folder = not Path(target).suffix or Path(target).is_dir()
    if _FORMAT.value == "png" and is_scene:
        sys.exit(f"--output={target} is a GeoTIFF; with --format=png it is a folder or ends in .png.")
    if _FORMAT.value == "cog" and not is_scene and not is_folder:
        sys.exit(f"--output={target} is no GeoTIFF; with --format=cog it is a folder or ends in .tif.")
    if _FORMAT.value == "cog" and is_folder:
        return
    for flag in (_SHARD, _SCHEDULER):
        if flag.value is not None:
            sys.exit(f"--{flag.name} is of many scenes: it needs --format=cog and a folder as --output.")
    if Path(source).suffix.lower() in stac.SUFFIXES:
        sys.exit(f"--input={source} are STAC items; they need --format=cog and a folder as --output.")


def _sar_range() -> units.Limits | None:
    return None if _SAR_RANGE.value is None else units.parse_limits(_SAR_RANGE.value)


def _scene_settings() -> scene.SceneSettings:
    return scene.SceneSettings(
        steps=STEPS.value,
        sampler=SAMPLER.value,
        seed=_SEED.value,
        samples=_SAMPLES.value,
        tile=_TILE.value,
        overlap=_OVERLAP.value,
        bands=None if _BANDS.value is None else tuple(_BANDS.value),
        unit=_UNITS.value,
        sar_range=_sar_range(),
        resample=_RESAMPLE.value,
        overwrite=_OVERWRITE.value,
    )


def _translate_scene(model: str, source: str, target: str) -> None:
    """A scene to a cloud-optimised GeoTIFF; what is worth to know of it is said beforehand."""
    try:
        settings = _scene_settings()
        output = paths.local_path(target, "--output")
        scene.check_paths(source, output, overwrite=settings.overwrite)
        translator = inference.load_scenes(model, stage=STAGE.value)
        with locks.held(output.absolute()):
            done = translator(source, output, settings, say=tqdm.write)
    except FAILURES as error:
        sys.exit(f"{source} was not translated: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
    megapixels = done.height * done.width / 1e6
    print(f"Translated {done.height} x {done.width} pixels ({megapixels:.3g} MP) in {done.seconds:.0f} s to {target}.")
    if done.uncertainty is not None:
        print(f"Their standard deviation over {settings.samples} samples is in {done.uncertainty}.")


def _translate_many(model: str, source: str, target: str) -> None:
    """Many scenes to a folder, here or on a cluster."""
    with contextlib.ExitStack() as stack:
        try:
            settings = _scene_settings()
            folder = paths.local_path(target, "--output")
            if _SHARD.value is not None:
                inputs.shard_numbers(_SHARD.value)
            if not pretrained.is_name(model):
                model = str(paths.local_path(model, "--model").absolute())  # Workers are in folders of their own.
            load = functools.partial(inference.load_scenes, model, stage=STAGE.value)
            translator = load()
            translator.method(settings)  # What does not fit is said before any scene.
            translator.tiling(settings)
            found = inputs.find(source, translator.radar, output=folder)
            tasks = many.plan(inputs.shard(found.scenes, _SHARD.value), folder, settings)
            run = functools.partial(many.here, translator=translator, quiet=False)
            if _SCHEDULER.value is not None:
                client = stack.enter_context(cluster.connect(_SCHEDULER.value))
                on_worker = cluster.WorkerModel(f"{model} {STAGE.value or ''}", load, translator.model)
                run = functools.partial(cluster.there, client=client, model=on_worker, say=tqdm.write)
            done = many.translate(tasks, run, journal=many.journal_path(folder, _SHARD.value))
        except FAILURES as error:
            sys.exit(f"{type(error).__name__}: {error}")
    if found.skipped:
        print(_skipped(found.skipped, source, "no scenes, or of another polarisation"))
    print(
        f"Translated {done.counts['done']} of {len(tasks)} scenes ({done.megapixels:.3g} MP) in {done.seconds:.0f} s "
        f"to {target}; {done.counts['current']} were current. {done.journal} has a line for each."
    )
    if done.failures:
        lines = [f"  {name}: {reason}" for name, reason in [*done.failures.items()][:SHOWN_FAILURES]]
        more = ["  ..."] if len(done.failures) > SHOWN_FAILURES else []
        sys.exit("\n".join([f"{len(done.failures)} could not be translated:", *lines, *more]))


def plan(source: Path, target: Path) -> tuple[dict[Path, Path], list[Path]]:
    """Which files are read and where each translation goes; and what in a folder is skipped, hidden files aside.

    Raises:
      FileNotFoundError: without a source, or without images in it.
      ValueError: for a target that does not fit, that would overwrite a source, or that two sources share.
    """
    if not source.exists():
        raise FileNotFoundError(f"--input {source} does not exist.")
    skipped: list[Path] = []
    if source.is_dir():
        shown = sorted(path for path in source.iterdir() if not path.name.startswith("."))
        is_image = {path: path.is_file() and path.suffix.lower() in patch.SUFFIXES for path in shown}
        files = [path for path in shown if is_image[path]]
        skipped = [path for path in shown if not is_image[path]]
        if not files:
            raise FileNotFoundError(f"--input {source} is a folder without PNG, JPEG or TIFF files.")
        if target.exists() and not target.is_dir():
            raise ValueError(f"--input {source} is a folder, so --output must be one too; {target} is a file.")
        planned = {path: target / _png_name(path) for path in files}
    else:
        planned = {source: target / _png_name(source) if target.is_dir() else target}
        if planned[source].suffix.lower() != ".png":
            raise ValueError(
                f"Translations are PNG files, or GeoTIFF files of scenes; --output {planned[source]} must end in .png "
                "or .tif."
            )
    sources: dict[Path, Path] = {}
    for path, output in planned.items():
        if output.exists() and output.samefile(path):
            raise ValueError(f"--output {output} would overwrite the input; choose another one.")
        if (other := sources.setdefault(output, path)) != path:
            raise ValueError(f"{other} and {path} would both be translated to {output}; rename one of them.")
    return planned, skipped


def translate(
    translator: ImageTranslator,
    planned: Mapping[Path, Path],
    *,
    sampler: str | None,
    steps: int | None,
    seed: int,
    band_names: Sequence[str] | None = None,
    unit: str | None = None,
    sar_range: units.Limits | None = None,
) -> dict[Path, str]:
    """Translates files one by one; a bad one does not keep the others from being done.

    Args:
      translator: the network.
      planned: from source files to where their translations go.
      sampler: None for the one that suits the network.
      steps: None for the usual number.
      seed: of the noise.
      band_names: names or numbers of the bands of GeoTIFF files, in the network's order; None: by their names.
      unit: of the values, one of ``units.UNITS``; None: as they say themselves.
      sar_range: what becomes 0 and 255, in dB, for a network of 8-bit radar images.

    Returns:
      The files that could not be translated, and why.

    Raises:
      ValueError: for a method or a range that does not fit the network.
    """
    method, root = translator.method(sampler=sampler, steps=steps), make_key(seed)
    radar, failed = units.ranged(translator.description.radar, sar_range), {}
    for source, target in tqdm(planned.items(), unit="image", disable=None):
        try:
            # The noise depends on the file's name, not on its position in the folder.
            key = jax.random.fold_in(root, zlib.crc32(source.name.encode()))
            values = patch.read(source, radar, band_names=band_names)
            found = units.choose(values[~units.missing(values, radar)].compressed(), radar, given=unit)
            levels = units.as_levels(values[None], radar, unit=found.of_file)
            patch.write(target, translator.translate(levels, key[None], method=method)[0])
        except FAILURES as error:
            failed[source] = (str(error).strip() or type(error).__name__).splitlines()[0]
    return failed


def _skipped(names: Sequence[str], source: str, what: str) -> str:
    shown = ", ".join(names[:5]) + (", ..." if names[5:] else "")
    return f"Skipped {len(names)} in {source} that are {what}: {shown}."


def _png_name(path: Path) -> str:
    return path.name if path.suffix.lower() == ".png" else f"{path.stem}.png"


def run() -> None:
    """The entry point, of ``sar2opt translate``."""
    required = ("model", "input", "output")
    of_scenes = ("samples", "tile", "overlap", "bands", "units", "sar_range", "resample", "overwrite")
    of_many = ("format", "shard", "scheduler")
    shown = (*required, "steps", "sampler", "seed", "stage", *of_scenes, *of_many)
    start.run(main, start.Command(module="sar2opt_jax.translate", text=__doc__ or "", shown=shown, required=required))


if __name__ == "__main__":
    run()
