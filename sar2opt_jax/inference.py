"""Translates radar arrays in the units that a network was trained on: what ``sar2opt_jax.load`` returns."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import numpy.typing as npt

from sar2opt_jax import export, paths
from sar2opt_jax.data.scaling import to_float, to_levels, to_uint8
from sar2opt_jax.description import Description, ImageFormat
from sar2opt_jax.export import Export
from sar2opt_jax.interop import exports, folder, model_folder, pretrained, settings
from sar2opt_jax.translator import Method
from sar2opt_jax.types import Array, make_key


class ImageTranslator:
    """A trained network that translates radar images given as NumPy arrays.

    Attributes:
      description: what the network is, and the units, bands and limits of its radar images.
    """

    def __init__(self, trained: Export):
        """Puts the parameters on the default device."""
        self.description: Description = trained.description
        self._multiple = trained.size_multiple
        self._translator = trained.translator
        self._params = jax.device_put(trained.params)
        self._compiled: dict[Method, Callable[..., Array]] = {}

    def __call__(
        self, sar: npt.ArrayLike, *, steps: int | None = None, sampler: str | None = None, seed: int = 0
    ) -> np.ndarray:
        """Translates one radar image, or a batch of them.

        Args:
          sar: [height, width] for one band, [height, width, bands] or [batch, height, width, bands], of any size.
            Values are those of files: in ``description.radar.quantity``, such as dB; NaN or a mask where a pixel is
            missing. 8-bit values given to a network of other files are taken as already scaled to 0 .. 255.
          steps: network evaluations; None for what is usual: 4 for a student, 50 for a teacher, 1 for a generator.
          sampler: None for the usual one.
          seed: of the noise; another seed gives another plausible translation.

        Returns:
          Optical images, [height, width, 3] or [batch, height, width, 3] uint8.

        Raises:
          ValueError: for another number of axes or bands, values in another type than the network's files, or a
            method that the network does not have.
        """
        method = self.method(steps=steps, sampler=sampler)
        levels, is_batch = self.levels(sar)
        key = make_key(seed)
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(np.arange(len(levels)))
        optical = self.translate(levels, keys, method=method)
        return optical if is_batch else optical[0]

    def method(self, *, steps: int | None = None, sampler: str | None = None) -> Method:
        """How the network is sampled, what is not given being the usual; raises ValueError where it does not fit."""
        return self._translator.method(sampler=sampler, num_steps=steps)

    def levels(self, sar: npt.ArrayLike) -> tuple[np.ndarray, bool]:
        """Radar values as the network's training data were stored.

        Args:
          sar: as of ``__call__``.

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
        levels = as_levels(values if is_batch else values[None], self.description.radar)
        return levels, is_batch

    def translate(self, levels: np.ndarray, keys: Array, *, method: Method) -> np.ndarray:
        """Translates a batch, continued by reflection to a size that the network takes.

        Args:
          levels: [batch, height, width, bands] uint8, from ``levels``.
          keys: of the noise of each image, [batch].
          method: how to sample.

        Returns:
          [batch, height, width, 3] uint8.
        """
        height, width = levels.shape[1:3]
        margins = ((0, 0), (0, -height % self._multiple), (0, -width % self._multiple), (0, 0))
        padded = np.pad(to_float(levels), margins, mode="reflect")
        if method not in self._compiled:
            self._compiled[method] = jax.jit(functools.partial(self._translator, method=method))
        optical = np.asarray(self._compiled[method](self._params, padded, keys))
        return to_uint8(optical[:, :height, :width])


def load(path: str | os.PathLike[str], *, stage: str | None = None) -> ImageTranslator:
    """Loads a trained network.

    Args:
      path: a workdir, a stage's directory in it, one checkpoint, a folder that ``sar2opt export`` or diffusers wrote,
        the name of a model that comes with the package, or ``hf://USER/NAME`` on the Hugging Face hub.
      stage: which stage of a workdir; None takes the last one that has a checkpoint.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: where it is corrupt, of another stage, of a later version, or no network of this kind.
    """
    return ImageTranslator(read(path, stage=stage))


def read(path: str | os.PathLike[str], *, stage: str | None = None) -> Export:
    """The networks that ``load`` takes, as numpy arrays; arguments and errors as there."""
    source = pretrained.locate(path) or paths.local_path(path, "the path of a network")
    if model_folder.is_one(source):
        return _of_stage(model_folder.read(source), stage, where=source)
    files = folder.find(source) if source.exists() else None
    if files is None:
        return _load(source, stage=stage)
    flags = {**dict.fromkeys(settings.DEFAULTS), "discriminator": None, "stage": stage}
    return exports.read(files, flags=flags)[0]


def _of_stage(trained: Export, stage: str | None, *, where: Path) -> Export:
    if stage not in (None, its := trained.description.stage):
        raise ValueError(f"{where} is a network of stage {its!r}; expected one of stage {stage!r}.")
    return trained


def _load(source: Path, *, stage: str | None) -> Export:
    try:
        return export.load(source, stage=stage)
    except FileNotFoundError as error:
        names = ", ".join(pretrained.shipped())
        raise FileNotFoundError(f"{error} Models that come with the package: {names}." if names else error) from None


def as_levels(values: np.ma.MaskedArray, radar: ImageFormat) -> np.ndarray:
    """Values of radar files as a prepared dataset stores them.

    Args:
      values: [..., bands], real numbers.
      radar: what the network was trained on.

    Returns:
      The same shape, uint8.

    Raises:
      ValueError: for values of another type than the files of ``radar`` have.
    """
    is_scaled = values.dtype == np.uint8 and (radar.limits is None or radar.dtype != "uint8")
    if is_scaled:
        return np.ma.filled(values, radar.masked_value)
    if radar.limits is None:
        raise ValueError(
            f"The radar image has {values.dtype} values; expected 8-bit grey levels, scaled as the network's "
            "training data were."
        )
    if values.dtype.kind not in "uif":
        raise ValueError(f"The radar image has {values.dtype} values; expected real numbers ({radar.quantity}).")
    missing = np.ma.getmaskarray(values)
    if radar.nodata is not None:
        missing = missing | (np.ma.getdata(values) == radar.nodata)
    floats = np.ma.getdata(values).astype(np.result_type(values.dtype, np.float32))
    floats[missing] = np.nan
    return to_levels(floats, scale=radar.scale, limits=radar.limits, masked_value=radar.masked_value)
