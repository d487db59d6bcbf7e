"""What an export is: the one schema that is stored beside trained networks and read wherever they are used.

An export's fingerprint is a digest of the settings that shaped it, of its data and of its parent's fingerprint, with
the number of steps behind it. Two exports of one fingerprint were trained alike; nothing about where files are stored
enters it.
"""

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, cast

import jax.numpy as jnp

from sar2opt_jax import __version__
from sar2opt_jax.diffusion.input_gain import make_input_gain, with_input_gain
from sar2opt_jax.diffusion.schedule import Schedule, make_schedule
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.translator import KINDS, Translator
from sar2opt_jax.types import Array, Model, check_known, look_up

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
QUANTITIES = ("dB", "linear", "amplitude", "reflectance", "8-bit", "unknown")
"""What the values of image files are; ``8-bit`` are grey levels or colours whose physical scale is not known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetSettings:
    """A U-Net, see ``models.unet.UNet`` for each value."""

    widths: tuple[int, ...]
    blocks_per_level: int
    attention: tuple[bool, ...]
    head_width: int
    norm_groups: int

    def make(self, *, dtype: str = "float32", out_channels: int = 3, remat: str = "none") -> UNet:
        """The network; ``dtype`` is one of ``DTYPES``, ``remat`` one of ``models.unet.REMATERIALISED``."""
        return UNet(
            widths=self.widths,
            blocks_per_level=self.blocks_per_level,
            attention=self.attention,
            head_width=self.head_width,
            norm_groups=self.norm_groups,
            out_channels=out_channels,
            remat=remat,
            dtype=look_up("dtype", dtype, DTYPES),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """A noise schedule, see ``diffusion.schedule.make_schedule`` for each value."""

    name: str
    num_steps: int
    rescale_zero_snr: bool

    def make(self) -> Schedule:
        """The schedule."""
        return make_schedule(self.name, num_steps=self.num_steps, rescale_zero_snr=self.rescale_zero_snr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consistency:
    """What makes a network a consistency function.

    Attributes:
      solver_steps: k, the steps of the grid that it was distilled at.
      sigma_data: d in c_skip and c_out.
    """

    solver_steps: int
    sigma_data: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What the values of one kind of image mean, and how they become the 0 .. 255 that a network is trained on.

    Attributes:
      bands: their names, in the order of the channels.
      quantity: one of ``QUANTITIES``, of the values in files.
      scale: ``file``; ``linear`` or ``amplitude`` values are brought to dB (10 or 20 log10) before the limits.
      limits: for each band what becomes 0 and 255, after ``scale``; None for 8-bit values as they are.
      dtype: of the values in files.
      nodata: the value of a missing pixel in files, or None.
      masked_value: what a missing pixel becomes, 0 .. 255.

    Raises:
      ValueError: at construction, for an unknown quantity, or limits that do not fit the bands.
    """

    bands: tuple[str, ...]
    quantity: str = "8-bit"
    scale: str = "file"
    limits: tuple[tuple[float, float], ...] | None = None
    dtype: str = "uint8"
    nodata: float | None = None
    masked_value: int = 0

    def __post_init__(self) -> None:
        check_known("quantity", self.quantity, QUANTITIES)
        if self.limits is not None and len(self.limits) != len(self.bands):
            raise ValueError(f"{len(self.bands)} bands have {len(self.limits)} pairs of limits; expected one a band.")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ImageFormat":
        """From plain JSON, such as ``data.prepared`` reads from a dataset. Raises ValueError for unknown fields."""
        return _typed(cls, values, where="image format")

    def difference(self, other: "ImageFormat") -> tuple[str, str, str] | None:
        """Name, own and other value of the first field that makes networks of the two not interchangeable; or None."""
        for name in ("bands", "quantity", "scale", "limits"):
            mine, its = getattr(self, name), getattr(other, name)
            if name == "bands" and len(mine) == len(its) and any(map(_is_unnamed, (*mine, *its))):
                continue  # Converted weights do not name their bands.
            if "unknown" in (self.quantity, other.quantity) and name in ("quantity", "scale", "limits"):
                continue
            if mine != its:
                return name, _shown(mine), _shown(its)
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a network was trained on.

    Attributes:
      name: with its configuration, such as ``sen12/all``.
      version: of the prepared dataset; None where it is unknown.
      fingerprint: of its content, wherever it is stored; None where it is unknown.
    """

    name: str
    version: str | None = None
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """All that is known of an export, as plain values: the only schema of what an export is.

    Attributes:
      stage: that trained it; the name of its directory in a workdir.
      kind: one of ``translator.KINDS``.
      rank: of the exports of one workdir the highest stands for it.
      unet: its architecture.
      input_gain: what it is shown in place of x_t, a name of ``diffusion.input_gain.INPUT_GAINS``.
      prediction: what it puts out: ``eps``, ``v`` or ``x_0``; nothing to a generator.
      schedule: the noise schedule that it was trained with; nothing to a generator.
      consistency: the grid of a student; None for all others.
      radar: of its input.
      optical: of its output, so that values can be mapped back.
      image_size: side of the training images in pixels.
      ground_sampling_m: metres per pixel of the training images; None where it is unknown.
      dataset: that it was trained on.
      settings: those that shaped it, as plain JSON.
      parent: fingerprint of the export that it was started from; None for fresh parameters.
      preset: the config's name and preset, or what it was converted from.
      step: optimiser steps it was trained for.
      usual_steps: network evaluations that it is best sampled with; None is what is usual for its kind.
      software: version of sar2opt_jax.

    Raises:
      ValueError: at construction, for an unknown kind.
    """

    stage: str
    kind: str
    rank: int
    unet: UNetSettings
    prediction: str
    schedule: ScheduleSettings
    consistency: Consistency | None
    radar: ImageFormat
    optical: ImageFormat
    image_size: int
    dataset: Dataset
    settings: Mapping[str, Any]
    preset: str
    input_gain: str = "none"
    ground_sampling_m: float | None = None
    parent: str | None = None
    step: int = 0
    usual_steps: int | None = None
    software: str = __version__

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"Unknown kind of network {self.kind!r}; known: {', '.join(KINDS)}. It is of a later version."
            )

    @functools.cached_property
    def recipe(self) -> str:
        """Digest of all that shaped the export but the number of its steps: equal for all checkpoints of one run."""
        shaped = self.to_json()
        for name in ("step", "usual_steps", "rank", "software", "preset"):
            del shaped[name]
        if self.dataset.fingerprint is not None:  # The content counts, not what the dataset is called.
            shaped["dataset"] = self.dataset.fingerprint
        return digest(shaped)

    @property
    def fingerprint(self) -> str:
        """``recipe`` and number of steps: what a child is started from, and what an evaluation measured."""
        return f"{self.recipe}@{self.step}"

    def translator(self, *, dtype: str = "float32") -> Translator:
        """How to sample the network."""
        consistency = dataclasses.asdict(self.consistency) if self.consistency else {}
        schedule = self.schedule.make()
        gain = make_input_gain(self.input_gain, schedule)
        return Translator(
            model=with_input_gain(as_model(self.unet.make(dtype=dtype)), gain),
            schedule=schedule,
            prediction=self.prediction,
            is_generator=self.kind == "generator",
            usual_steps=self.usual_steps,
            **consistency,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON: tuples are lists."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Description":
        """The inverse of ``to_json``.

        Raises:
          ValueError: for fields of a later version, or missing ones.
        """
        return _typed(cls, values, where="description")


def as_model(network: UNet) -> Model:
    """The U-Net as a pure function of parameters and inputs."""
    return lambda params, x_t, t, sar: cast(Array, network.apply({"params": params}, x_t, t, sar))


def digest(content: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of plain JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def unnamed_bands(count: int) -> tuple[str, ...]:
    """Names of bands of which only the number is known."""
    return tuple(f"band {i + 1}" for i in range(count))


def _is_unnamed(band: str) -> bool:
    return band.startswith("band ")


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, tuple) else repr(value)


def _typed(kind: Any, value: Any, *, where: str) -> Any:
    """Plain JSON as a field's type: dataclasses from mappings, tuples from lists."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (option for option in typing.get_args(kind) if option is not types.NoneType)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if unknown := sorted(value.keys() - hints.keys()):
            raise ValueError(f"unknown {where} {', '.join(unknown)}: it is of a later version of sar2opt_jax.")
        return cast(Any, kind)(**{name: _typed(hints[name], item, where=name) for name, item in value.items()})
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_typed(inner, item, where=where) for item in value)
    return value
