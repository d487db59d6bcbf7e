"""Translates whole scenes: georeferenced radar in, a georeferenced optical image out."""

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sar2opt_jax import __version__, paths
from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.description import ImageFormat, digest
from sar2opt_jax.export import Export, parameters_digest
from sar2opt_jax.scene import cog, raster
from sar2opt_jax.scene.network import Tile, TileNetwork
from sar2opt_jax.scene.streaming import ReadAhead, WriteBehind
from sar2opt_jax.scene.sweep import Sweep
from sar2opt_jax.scene.tiling import Tiling
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Array, make_key

SUFFIXES = (".tif", ".tiff")
"""Of outputs that are georeferenced."""
SYNTHETIC = "Synthetic: generated from radar; its detail is invented."
OVERLAP = 4
"""Neighbouring tiles share this part of a tile's side, unless stated otherwise."""

logger = logging.getLogger(__name__)


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
    resample: bool = False
    overwrite: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslatedScene:
    """What was done.

    Attributes:
      output: the translation.
      uncertainty: its standard deviation; None where it was not asked for.
      height: in pixels.
      width: in pixels.
      seconds: that it took, without rows of an interrupted run.
      notes: what was assumed, converted or is worth to know, a sentence each.
    """

    output: Path
    uncertainty: Path | None
    height: int
    width: int
    seconds: float
    notes: tuple[str, ...]


class SceneTranslator:
    """A trained network that translates scenes of any size."""

    def __init__(self, trained: Export, *, batch: int | None = None, devices: Sequence[Any] | None = None):
        """Computes nothing yet.

        Args:
          trained: the network.
          batch: tiles at once on each device; None is what suits it.
          devices: of JAX; None takes all of this process.
        """
        self._trained, self._batch, self._devices = trained, batch, devices
        self._networks: dict[tuple[Method, int], TileNetwork] = {}
        self._digest: str | None = None

    def __call__(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        settings: SceneSettings,
        *,
        quiet: bool = False,
        say: Callable[[str], Any] = logger.info,
    ) -> TranslatedScene:
        """Translates a scene to a cloud-optimised GeoTIFF; a run that was interrupted is resumed.

        Args:
          source: path or address of any raster that GDAL opens.
          target: the output, ``.tif`` or ``.tiff``.
          settings: how.
          quiet: without a progress bar.
          say: is told the notes before the translation begins.

        Raises:
          OSError: where the scene cannot be read, or the output cannot be written.
          ValueError: for settings or a scene that do not fit, and why.
        """
        source, output, began = os.fspath(source), paths.local_path(target, "--output"), time.monotonic()
        check_paths(source, output, overwrite=settings.overwrite)
        method, notes = self.method(settings)
        tiling = self.tiling(settings)
        layers = [cog.optical(output)]
        if settings.samples > 1:
            layers.append(cog.uncertainty(uncertainty_path(output), settings.samples))
        about = self._trained.description
        with raster.opened(
            source, about, band_names=settings.bands, unit=settings.unit, resample=settings.resample
        ) as scene:
            identity = self.identity(source, settings)
            _check_space(output, layers, height=scene.height, width=scene.width)
            partial = cog.PartialScene(tuple(layers), identity=identity, height=scene.height, width=scene.width)
            notes += scene.notes
            if partial.resumed:
                notes.append(f"Resumed at row {partial.rows} of {scene.height}.")
            for note in notes:
                say(note)
            try:
                self._stream(scene, partial, method=method, tiling=tiling, settings=settings, quiet=quiet)
                partial.finish(scene.georeference, _tags(source, identity, method=method, settings=settings))
            except BaseException as error:
                # What a local file is corrupt for, or a network diverges for, will not be otherwise next time.
                is_final = isinstance(error, raster.UnreadableRowsError) and os.path.exists(source)
                if is_final or isinstance(error, ValueError) or not partial.rows:
                    partial.remove()
                else:
                    _keep(partial)
                raise
        return TranslatedScene(
            output=output,
            uncertainty=layers[1].path if len(layers) > 1 else None,
            height=scene.height,
            width=scene.width,
            seconds=time.monotonic() - began,
            notes=tuple(notes),
        )

    def method(self, settings: SceneSettings) -> tuple[Method, list[str]]:
        """How the network is sampled, and what there is to say of it.

        Raises:
          ValueError: for a method that the network does not have, or uncertainty of a network without noise.
        """
        translator = self._trained.translator
        method = translator.method(sampler=settings.sampler, num_steps=settings.steps)
        if settings.samples < 1:
            raise ValueError(f"--samples is 1 or more; got {settings.samples}.")
        if settings.samples == 1:
            return method, []
        if translator.is_generator:
            raise ValueError("--samples needs a network that is given noise; a generator's translations are all alike.")
        if method.num_steps == 1 and not self._sees_noise(method, tile=self.tiling(settings).tile):
            method = translator.method(sampler=settings.sampler, num_steps=2)
            return method, ["One step of this network ignores the noise, so all samples would be alike; it takes two."]
        return method, []

    def tiling(self, settings: SceneSettings) -> Tiling:
        """How scenes are cut.

        Raises:
          ValueError: for a tile that the network does not take, or an overlap that does not fit.
        """
        multiple = self._trained.size_multiple
        if settings.tile is not None and (settings.tile < multiple or settings.tile % multiple):
            raise ValueError(f"--tile={settings.tile} must be a multiple of {multiple} for this network.")
        tile = settings.tile or -(-self._trained.description.image_size // multiple) * multiple
        return Tiling(tile=tile, overlap=tile // OVERLAP if settings.overlap is None else settings.overlap)

    @property
    def radar(self) -> ImageFormat:
        """The network's radar images."""
        return self._trained.description.radar

    @property
    def model(self) -> dict[str, str]:
        """What tells the network from others: the fingerprint of its description, and the digest of its parameters."""
        if self._digest is None:
            self._digest = parameters_digest(self._trained.params)
        return {"model": self._trained.description.fingerprint, "parameters": self._digest}

    def identity(self, source: str | os.PathLike[str], settings: SceneSettings) -> dict[str, Any]:
        """All that an output depends on, plain JSON."""
        shaped = {**dataclasses.asdict(settings), **dataclasses.asdict(self.method(settings)[0])}
        shaped |= dataclasses.asdict(self.tiling(settings))
        for name in ("steps", "overwrite"):  # The number of steps is that of the method.
            del shaped[name]
        return {
            **self.model,
            "version": __version__,
            "input": _input(os.fspath(source)),
            **{name: list(value) if isinstance(value, tuple) else value for name, value in shaped.items()},
        }

    def is_current(
        self, source: str | os.PathLike[str], target: str | os.PathLike[str], settings: SceneSettings
    ) -> bool:
        """Whether an output is what translating the scene again would give."""
        output = Path(target)
        beside = settings.samples == 1 or uncertainty_path(output).is_file()
        return beside and cog.identity_of(output) == digest(self.identity(source, settings))

    def image(self, levels: np.ndarray, key: Array, *, method: Method, tiling: Tiling) -> np.ndarray:
        """Translates an image in memory tile by tile.

        Args:
          levels: [height, width, bands] uint8.
          key: of the noise.
          method: how to sample.
          tiling: how it is cut.

        Returns:
          [height, width, 3] uint8.
        """
        radar = ImageRadar(levels, np.zeros(levels.shape[:2], bool))
        rows = Sweep(radar, self.network(method, tiling.tile), tiling=tiling, key=key)
        return np.concatenate([to_uint8(each.images[0]) for each in rows])

    def network(self, method: Method, tile: int) -> TileNetwork:
        """The network as a compiled program, which all scenes share."""
        if (method, tile) not in self._networks:
            trained = self._trained
            self._networks[method, tile] = TileNetwork(
                trained.translator,
                trained.params,
                method=method,
                tile=tile,
                batch=self._batch,
                devices=self._devices,
            )
        return self._networks[method, tile]

    def _stream(
        self,
        scene: raster.SceneRadar,
        partial: cog.PartialScene,
        *,
        method: Method,
        tiling: Tiling,
        settings: SceneSettings,
        quiet: bool,
    ) -> None:
        megapixels = scene.height * scene.width / 1e6
        done = partial.rows * scene.width / 1e6
        bar = tqdm(total=megapixels, initial=done, unit=" MP", unit_scale=False, disable=quiet or None, smoothing=0.1)
        with bar, ReadAhead(scene) as radar, WriteBehind(partial.write) as write:
            rows = Sweep(
                radar,
                self.network(method, tiling.tile),
                tiling=tiling,
                key=make_key(settings.seed),
                samples=settings.samples,
                first_row=partial.rows,
                spill=partial.directory,
                progress=lambda share: bar.update(share * (megapixels - done)),
            )
            first = partial.rows
            for finished in rows:
                skipped = max(0, first - finished.start)
                images, missing = finished.images[:, skipped:], finished.missing[skipped:]
                if missing.size:
                    write(_outputs(images), missing)

    def _sees_noise(self, method: Method, *, tile: int) -> bool:
        """Whether two noises give two images, of a radar image that is noise itself."""
        rng = np.random.default_rng(0)
        radar = rng.integers(0, 256, (tile, tile, len(self._trained.description.radar.bands)), np.uint8)
        tiles = [Tile(rng.standard_normal((tile, tile, 3), np.float32), radar) for _ in range(2)]
        one, other = (to_uint8(image).astype(int) for image in self.network(method, tile).denoise(tiles, step=0))
        return bool(np.abs(one - other).max() > 1)


class ImageRadar:
    """A radar image in memory; see ``sweep.Radar``."""

    def __init__(self, levels: np.ndarray, missing: np.ndarray):
        """Of [height, width, bands] uint8 and [height, width] bool."""
        self._levels, self._missing = levels, missing
        self.height, self.width, self.bands = levels.shape

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``sweep.Radar``."""
        return self._levels[start:stop], self._missing[start:stop]


def uncertainty_path(output: Path) -> Path:
    """Where the standard deviation of an output goes: ``optical.uncertainty.tif`` for ``optical.tif``."""
    return output.with_name(f"{output.stem}.uncertainty{output.suffix}")


def check_paths(source: str, output: Path, *, overwrite: bool) -> None:
    """Checks where an output goes.

    Raises:
      ValueError: for another format, a folder, or the input itself.
      FileExistsError: for one that exists.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(f"A georeferenced output ends in {' or '.join(SUFFIXES)}; got {output}.")
    if output.is_dir():
        raise ValueError(f"--output {output} is a folder; expected a file.")
    if output.exists() and os.path.exists(source) and output.samefile(source):
        raise ValueError(f"--output {output} would overwrite the input; choose another one.")
    if output.exists() and not overwrite:
        raise FileExistsError(f"--output {output} exists; --overwrite replaces it.")


def _check_space(output: Path, layers: Sequence[cog.Layer], *, height: int, width: int) -> None:
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


def _outputs(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Samples, [samples, rows, width, 3], as what is stored: the first, and the deviation of all."""
    optical = to_uint8(images[0])
    if len(images) == 1:
        return (optical,)
    levels = (images.clip(-1, 1) + 1) * np.float32(127.5)
    deviation = np.sqrt(levels.var(axis=0, ddof=1).mean(axis=-1, keepdims=True))
    return optical, deviation.astype(np.float32)


def _input(source: str) -> dict[str, Any]:
    """What tells one scene, and one version of it, from another."""
    try:
        found = os.stat(source)
    except OSError:
        return {"address": source}
    return {"path": str(Path(source).resolve()), "size": found.st_size, "modified_ns": found.st_mtime_ns}


def _tags(source: str, identity: dict[str, Any], *, method: Method, settings: SceneSettings) -> dict[str, str]:
    return {
        "TIFFTAG_SOFTWARE": f"sar2opt_jax {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": SYNTHETIC,
        "SAR2OPT_MODEL": identity["model"],
        "SAR2OPT_INPUT": Path(source).name,
        "SAR2OPT_SAMPLER": method.sampler,
        "SAR2OPT_STEPS": str(method.num_steps),
        "SAR2OPT_SEED": str(settings.seed),
        "SAR2OPT_SAMPLES": str(settings.samples),
        cog.IDENTITY_TAG: digest(identity),
    }


def _keep(partial: cog.PartialScene) -> None:
    """Records what is complete of an interrupted run."""
    try:
        if partial.directory.exists():
            partial.save()
    except (OSError, ValueError):
        logger.debug("The state of %s could not be saved; an older one counts.", partial.directory)
    partial.close()
