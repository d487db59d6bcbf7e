"""Translates whole scenes: georeferenced radar in, a georeferenced optical image out."""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sar2opt_jax import paths
from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.description import Description, ImageFormat, digest
from sar2opt_jax.export import Export, parameters_digest
from sar2opt_jax.scene import addresses, bands, cog, outputs, raster, units
from sar2opt_jax.scene.addresses import Source
from sar2opt_jax.scene.network import Tile, TileNetwork
from sar2opt_jax.scene.outputs import SUFFIXES as SUFFIXES
from sar2opt_jax.scene.outputs import SceneSettings, check_paths, check_space, uncertainty_path
from sar2opt_jax.scene.streaming import ReadAhead, WriteBehind
from sar2opt_jax.scene.sweep import Sweep
from sar2opt_jax.scene.tiling import Tiling
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, make_key

OVERLAP = 4
"""Neighbouring tiles share this part of a tile's side, unless stated otherwise."""

logger = logging.getLogger(__name__)


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
        self._seen: dict[tuple[Method, int], bool] = {}
        self._digest: str | None = None

    def __call__(
        self,
        source: Source,
        target: str | os.PathLike[str],
        settings: SceneSettings,
        *,
        quiet: bool = False,
        say: Callable[[str], Any] = logger.info,
    ) -> TranslatedScene:
        """Translates a scene to a cloud-optimised GeoTIFF; a run that was interrupted is resumed.

        Args:
          source: path or address of any raster that GDAL opens; or one for each band in the network's order.
          target: the output, ``.tif`` or ``.tiff``.
          settings: how.
          quiet: without a progress bar.
          say: is told the notes before the translation begins.

        Raises:
          OSError: where the scene cannot be read, or the output cannot be written.
          ValueError: for settings or a scene that do not fit, and why.
        """
        files, output, began = addresses.files(source), paths.local_path(target, "--output"), time.monotonic()
        check_paths(files, output, overwrite=settings.overwrite)
        method, notes = self.method(settings)
        tiling = self.tiling(settings)
        layers = [cog.optical(output)]
        if settings.samples > 1:
            layers.append(cog.uncertainty(uncertainty_path(output), settings.samples))
        with raster.opened(
            files, self.described(settings), band_names=settings.bands, unit=settings.unit, resample=settings.resample
        ) as scene:
            identity = self.identity(files, settings)
            check_space(output, layers, height=scene.height, width=scene.width)
            partial = cog.PartialScene(tuple(layers), identity=identity, height=scene.height, width=scene.width)
            notes += scene.notes
            if partial.resumed:
                notes.append(f"Resumed at row {partial.rows} of {scene.height}.")
            for note in notes:
                say(note)
            try:
                self._stream(scene, partial, method=method, tiling=tiling, settings=settings, quiet=quiet)
                partial.finish(scene.georeference, outputs.tags(files, identity))
            except BaseException as error:
                # What a local file is corrupt for, or a network diverges for, will not be otherwise next time.
                is_final = isinstance(error, raster.UnreadableRowsError) and all(map(os.path.exists, files))
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

    def described(self, settings: SceneSettings) -> Description:
        """What the network is, with the radar images that the settings make of its own.

        Raises:
          ValueError: for a range that does not fit the network.
        """
        about = self._trained.description
        if settings.sar_range is None:
            return about
        return dataclasses.replace(about, radar=units.ranged(about.radar, settings.sar_range))

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

    def identity(self, source: Source, settings: SceneSettings) -> dict[str, Any]:
        """All that an output depends on, plain JSON."""
        method, tiling = self.method(settings)[0], self.tiling(settings)
        files = addresses.files(source)
        if len(files) == 1 and settings.bands is None:
            files = tuple(map(str, bands.beside(Path(files[0]), self.radar) or files))
        return outputs.identity(files, settings, **self.model, method=method, tiling=tiling)

    def is_current(self, source: Source, target: str | os.PathLike[str], settings: SceneSettings) -> bool:
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
            exact = self._made(self._trained.translator, method, tile)
            self._networks[method, tile] = exact if exact.is_on_cpu else self._narrowed(exact)
        return self._networks[method, tile]

    def _made(self, translator: Translator, method: Method, tile: int) -> TileNetwork:
        placed = [network.params for network in self._networks.values()]
        return TileNetwork(
            translator,
            placed[0] if placed else self._trained.params,
            method=method,
            tile=tile,
            batch=self._batch,
            devices=self._devices,
        )

    def _narrowed(self, exact: TileNetwork) -> TileNetwork:
        """The same in bfloat16, where a tile then differs by no more than one grey level; else as it is."""
        translator = self._trained.description.translator(dtype="bfloat16")
        narrow = self._made(translator, exact.method, exact.tile)
        tile, tiling = self._noisy_tile(exact.tile), Tiling(tile=exact.tile, overlap=0)
        radar = ImageRadar(tile, np.zeros(tile.shape[:2], bool))
        one, other = (
            [to_uint8(each.images).astype(int) for each in Sweep(radar, network, tiling=tiling, key=make_key(0))]
            for network in (exact, narrow)
        )
        return narrow if max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) <= 1 else exact

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
        bar = tqdm(total=megapixels, initial=done, unit=" MP", disable=quiet or None, smoothing=0.1, leave=None)
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
        """Whether two noises give two images."""
        if (method, tile) not in self._seen:
            rng, radar = np.random.default_rng(1), self._noisy_tile(tile)
            tiles = [Tile(rng.standard_normal((tile, tile, 3), np.float32), radar) for _ in range(2)]
            one, other = (to_uint8(image).astype(int) for image in self.network(method, tile).denoise(tiles, step=0))
            self._seen[method, tile] = bool(np.abs(one - other).max() > 1)
        return self._seen[method, tile]

    def _noisy_tile(self, tile: int) -> np.ndarray:
        """A radar image to try a network with, [tile, tile, bands] uint8."""
        shape = (tile, tile, len(self._trained.description.radar.bands))
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


class ImageRadar:
    """A radar image in memory; see ``sweep.Radar``."""

    def __init__(self, levels: np.ndarray, missing: np.ndarray):
        """Of [height, width, bands] uint8 and [height, width] bool."""
        self._levels, self._missing = levels, missing
        self.height, self.width, self.bands = levels.shape

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``sweep.Radar``."""
        return self._levels[start:stop], self._missing[start:stop]


def _outputs(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Samples, [samples, rows, width, 3], as what is stored: the first, and the deviation of all."""
    optical = to_uint8(images[0])
    if len(images) == 1:
        return (optical,)
    levels = (images.clip(-1, 1) + 1) * np.float32(127.5)
    deviation = np.sqrt(levels.var(axis=0, ddof=1).mean(axis=-1, keepdims=True))
    return optical, deviation.astype(np.float32)


def _keep(partial: cog.PartialScene) -> None:
    """Records what is complete of an interrupted run."""
    try:
        if partial.directory.exists():
            partial.save()
    except (OSError, ValueError):
        logger.debug("The state of %s could not be saved; an older one counts.", partial.directory)
    partial.close()
