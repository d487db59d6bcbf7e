"""What a scene's output depends on, what it says of that, and where it may be written."""

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sar2opt_jax import __version__
from sar2opt_jax.description import digest
from sar2opt_jax.scene import addresses, cog, units
from sar2opt_jax.scene.addresses import Source
from sar2opt_jax.scene.tiling import Tiling
from sar2opt_jax.translator import Method

SUFFIXES = (".tif", ".tiff")
"""Of outputs that are georeferenced."""
SYNTHETIC = "Synthetic: generated from radar; its detail is invented."


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """How a scene is translated.

    Attributes:
      steps: network evaluations of each pixel; None is what is usual for the network.
      sampler: None is the usual one.
      seed: of the noise; another seed gives another plausible translation.
      samples: translations that the uncertainty is measured over; 1 measures none.
      tile: side of a tile in pixels; None is that of the training images.
      overlap: pixels that neighbouring tiles share; None is a quarter of a tile.
      bands: names or numbers of the bands of the file, in the network's order; None: by their names.
      unit: of the values in the file, one of ``units.UNITS``; None: as the file and its values say.
      sar_range: what becomes 0 and 255, in dB, for a network of 8-bit radar images; see ``units.ranged``.
      resample: whether the scene is resampled to the ground sampling distance of the training data.
      overwrite: whether an existing output is replaced.
    """

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    samples: int = 1
    tile: int | None = None
    overlap: int | None = None
    bands: tuple[str, ...] | None = None
    unit: str | None = None
    sar_range: units.Limits | None = None
    resample: bool = False
    overwrite: bool = False


def identity(
    source: Source, settings: SceneSettings, *, model: str, parameters: str, method: Method, tiling: Tiling
) -> dict[str, Any]:
    """All that an output depends on, plain JSON.

    Args:
      source: path or address of the scene, or one for each band.
      settings: as they were given.
      model: fingerprint of the network's description.
      parameters: digest of the network's parameters.
      method: what became of the settings.
      tiling: see ``method``.
    """
    shaped = {**dataclasses.asdict(settings), **dataclasses.asdict(method), **dataclasses.asdict(tiling)}
    for name in ("steps", "overwrite"):  # The number of steps is that of the method.
        del shaped[name]
    found = [_input(file) for file in addresses.files(source)]
    return {
        "model": model,
        "parameters": parameters,
        "version": __version__,
        "input": found[0] if len(found) == 1 else found,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in shaped.items()},
    }


def _input(source: str) -> dict[str, Any]:
    """What tells one scene, and one version of it, from another."""
    try:
        found = os.stat(source)
    except OSError:
        return {"address": addresses.unsigned(source)}
    return {"path": str(Path(source).resolve()), "size": found.st_size, "modified_ns": found.st_mtime_ns}


def tags(source: Source, made: Mapping[str, Any]) -> dict[str, str]:
    """Of an output; ``made`` is from ``identity``."""
    return {
        "TIFFTAG_SOFTWARE": f"sar2opt_jax {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": SYNTHETIC,
        "SAR2OPT_INPUT": ", ".join(Path(addresses.unsigned(file)).name for file in addresses.files(source)),
        "SAR2OPT_MODEL": made["model"],
        "SAR2OPT_STEPS": str(made["num_steps"]),
        **{f"SAR2OPT_{name.upper()}": str(made[name]) for name in ("sampler", "seed", "samples")},
        cog.IDENTITY_TAG: digest(made),
    }


def uncertainty_path(output: Path) -> Path:
    """Where the standard deviation of an output goes: ``optical.uncertainty.tif`` for ``optical.tif``."""
    return output.with_name(f"{output.stem}.uncertainty{output.suffix}")


def check_paths(source: Source, output: Path, *, overwrite: bool) -> None:
    """Checks where an output goes.

    Raises:
      ValueError: for another format, a folder, or the input itself.
      FileExistsError: for one that exists.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(f"A georeferenced output ends in {' or '.join(SUFFIXES)}; got {output}.")
    if output.is_dir():
        raise ValueError(f"--output {output} is a folder; expected a file.")
    if output.exists() and any(os.path.exists(file) and output.samefile(file) for file in addresses.files(source)):
        raise ValueError(f"--output {output} would overwrite the input; choose another one.")
    if output.exists() and not overwrite:
        raise FileExistsError(f"--output {output} exists; --overwrite replaces it.")


def check_space(output: Path, layers: Sequence[cog.Layer], *, height: int, width: int) -> None:
    """Raises OSError where the rows cannot be stored, before anything is computed."""
    parent = next(parent for parent in output.absolute().parents if parent.exists())
    needed = sum(cog.rows_bytes(layer, height=height, width=width) for layer in layers)
    there = cog.directory(output)
    held = sum(path.stat().st_size for path in there.iterdir()) if there.is_dir() else 0
    free = shutil.disk_usage(parent).free + held
    if needed > free:
        raise OSError(
            f"a scene of {height} x {width} pixels needs {needed / 2**30:,.1f} GiB beside its output; {parent} has "
            f"{free / 2**30:,.1f} GiB free."
        )
