"""Translates radar arrays in the units that a network was trained on: what ``sar2opt_jax.load`` returns."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from sar2opt_jax.data.scaling import to_float, to_uint8
from sar2opt_jax.description import Description
from sar2opt_jax.export import Export
from sar2opt_jax.interop import anywhere
from sar2opt_jax.scene import labelled, units
from sar2opt_jax.scene.translate import SceneSettings, SceneTranslator, TranslatedScene
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Array, Params, make_key


class ImageTranslator:
    """A trained network that translates radar images given as NumPy arrays.

    Attributes:
      description: what the network is, and the units, bands and limits of its radar images.
      scenes: translates whole scenes and images larger than a tile.
    """

    def __init__(self, trained: Export):
        """Puts no parameters on a device yet."""
        self.description: Description = trained.description
        self._multiple = trained.size_multiple
        self._translator = trained.translator
        self._trained = trained
        self._compiled: dict[Method, Callable[..., Array]] = {}
        self.scenes = SceneTranslator(trained)

    @functools.cached_property
    def _params(self) -> Params:
        """On the default device, from the first image on that is translated at once."""
        return jax.device_put(self._trained.params)

    def __call__(
        self,
        sar: Any,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        sar_range: tuple[float, float] | units.Limits | None = None,
    ) -> Any:
        """Translates one radar image, or a batch of them.

        Args:
          sar: [height, width] for one band, [height, width, bands] or [batch, height, width, bands], of any size.
            Values are those of files: in ``description.radar.quantity``, such as dB; NaN or a mask where a pixel is
            missing. 8-bit values given to a network of other files are taken as already scaled to 0 .. 255.
            Or an ``xarray.DataArray`` of one image, whose dimensions may come in any order.
          steps: network evaluations; None for what the model states, else 4 for a student, 50 for a teacher, 1 for a
            generator.
          sampler: None for the usual one.
          seed: of the noise; another seed gives another plausible translation.
          sar_range: for a network of 8-bit images, the dB that become 0 and 255, ``(-25, 0)`` or such a pair for each
            band: ``sar`` is in dB then.

        Returns:
          Optical images, [height, width, 3] or [batch, height, width, 3] uint8; for a ``DataArray`` one of the
          dimensions band, rows and columns, with its coordinates.

        Raises:
          ValueError: for another number of axes or bands, values in another type than the network's files, or a
            method that the network does not have.
        """
        if labelled.is_labelled(sar):
            values = labelled.to_array(sar, self.description.radar.bands)
            return labelled.like(sar, self(values, steps=steps, sampler=sampler, seed=seed, sar_range=sar_range))
        method = self.method(steps=steps, sampler=sampler)
        levels, is_batch = self.levels(sar, sar_range=sar_range)
        key = make_key(seed)
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(np.arange(len(levels)))
        optical = self.translate(levels, keys, method=method)
        return optical if is_batch else optical[0]

    def scene(self, source: str | os.PathLike[str], target: str | os.PathLike[str], **settings: Any) -> TranslatedScene:
        """Translates a georeferenced radar scene of any size to a cloud-optimised GeoTIFF.

        Args:
          source: path or address of any raster that GDAL opens.
          target: the output, ``.tif`` or ``.tiff``.
          **settings: those of ``SceneSettings``: ``steps``, ``sampler``, ``seed``, ``samples``, ``bands`` and more.

        Raises:
          OSError: where the scene cannot be read, or the output cannot be written.
          ValueError: for settings or a scene that do not fit, and why.
        """
        return self.scenes(source, target, SceneSettings(**settings), quiet=True)

    def method(self, *, steps: int | None = None, sampler: str | None = None) -> Method:
        """How the network is sampled, what is not given being the usual; raises ValueError where it does not fit."""
        return self._translator.method(sampler=sampler, num_steps=steps)

    def levels(
        self,
        sar: npt.ArrayLike,
        *,
        sar_range: tuple[float, float] | units.Limits | None = None,
    ) -> tuple[np.ndarray, bool]:
        """Radar values as the network's training data were stored.

        Args:
          sar, sar_range: as of ``__call__``.

        Returns:
          [batch, height, width, bands] uint8, and whether a batch was given.
        """
        values = np.ma.asarray(sar)
        bands = self.description.radar.bands
        if values.ndim == 2:
            values = values[..., None]
        if values.ndim not in (3, 4) or values.shape[-1] != len(bands) or not values.size:
            raise ValueError(
                f"The radar image has shape {np.shape(sar)}; expected [height, width, {len(bands)}], or a batch of "
                f"these, with the bands {', '.join(bands)}."
            )
        is_batch = values.ndim == 4
        if sar_range is not None and np.ndim(sar_range) == 1:
            sar_range = (sar_range,)  # pyright: ignore[reportAssignmentType]
        radar = units.ranged(self.description.radar, sar_range)  # pyright: ignore[reportArgumentType]
        levels = units.as_levels(values if is_batch else values[None], radar)
        return levels, is_batch

    def translate(self, levels: np.ndarray, keys: Array, *, method: Method) -> np.ndarray:
        """Translates a batch: images no larger than a tile at once, continued by reflection to a size that the network
        takes; larger ones tile by tile.

        Args:
          levels: [batch, height, width, bands] uint8, from ``levels``.
          keys: of the noise of each image, [batch].
          method: how to sample.

        Returns:
          [batch, height, width, 3] uint8.
        """
        height, width = levels.shape[1:3]
        tiling = self.scenes.tiling(SceneSettings())
        if max(height, width) > tiling.tile:
            images = zip(levels, keys, strict=True)
            return np.stack([self.scenes.image(image, key, method=method, tiling=tiling) for image, key in images])
        margins = ((0, 0), (0, -height % self._multiple), (0, -width % self._multiple), (0, 0))
        padded = np.pad(to_float(levels), margins, mode="reflect")
        if method not in self._compiled:
            self._compiled[method] = jax.jit(functools.partial(self._translator, method=method))
        optical = np.asarray(self._compiled[method](self._params, padded, keys))
        return to_uint8(optical[:, :height, :width])


def load(path: str | os.PathLike[str], *, stage: str | None = None) -> ImageTranslator:
    """Loads a trained network, ready to translate; arguments and errors as of ``interop.anywhere.read``."""
    return ImageTranslator(anywhere.read(path, stage=stage))


def load_scenes(path: str | os.PathLike[str], *, stage: str | None = None) -> SceneTranslator:
    """What translates scenes of ``load``; arguments and errors as there."""
    return load(path, stage=stage).scenes
