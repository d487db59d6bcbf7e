"""Trained networks as they are handed on: an export describes itself, no config is needed to use it."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, cast

import jax.numpy as jnp

from sar2opt_jax.diffusion.input_gain import InputGain, make_input_gain, with_input_gain
from sar2opt_jax.diffusion.schedule import Schedule, make_schedule
from sar2opt_jax.engine import checkpoint
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.translator import KINDS, Translator
from sar2opt_jax.types import Array, Model, Params

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def unet(config: Mapping[str, Any], *, dtype: str, out_channels: int = 3) -> UNet:
    """The U-Net of a config's ``model`` group, or of an export's description."""
    return UNet(
        widths=tuple(config["widths"]),
        blocks_per_level=config["blocks_per_level"],
        attention=tuple(config["attention"]),
        head_width=config["head_width"],
        norm_groups=config["norm_groups"],
        out_channels=out_channels,
        dtype=DTYPES[dtype],
    )


def input_gain(config: Mapping[str, Any]) -> InputGain:
    """What the network is shown in place of x_t; from a config, or an export's description.

    Raises:
      ValueError: for an unknown gain.
    """
    # An export from before there were gains does not say that it has none.
    return make_input_gain(config["model"].get("input_gain", "none"), schedule(config["schedule"]))


def as_model(network: UNet, config: Mapping[str, Any]) -> Model:
    """The U-Net of a config, or of an export's description, as a pure function of parameters and inputs."""
    return with_input_gain(
        lambda params, x_t, t, sar: cast(Array, network.apply({"params": params}, x_t, t, sar)), input_gain(config)
    )


def schedule(config: Mapping[str, Any]) -> Schedule:
    """The noise schedule of a config's ``schedule`` group, or of an export's description."""
    return make_schedule(config["name"], num_steps=config["num_steps"], rescale_zero_snr=config["rescale_zero_snr"])


def kind(meta: Mapping[str, Any]) -> str:
    """Which of ``translation.KINDS`` an export is; one from before there were generators does not say it by name.

    Raises:
      ValueError: for a kind of a later version.
    """
    found = meta.get("kind", "teacher" if meta["consistency"] is None else "student")
    if found not in KINDS:
        raise ValueError(f"Unknown kind of network {found!r}; known: {', '.join(KINDS)}. It is of a later version.")
    return found


def translator(meta: Mapping[str, Any], network: UNet) -> Translator:
    """How to sample an export of this description, whose network is ``network``.

    Raises:
      ValueError: for a kind of a later version.
    """
    return Translator(
        model=as_model(network, meta),
        schedule=schedule(meta["schedule"]),
        prediction=meta["model"]["prediction"],
        is_generator=kind(meta) == "generator",
        **(meta["consistency"] or {}),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A trained U-Net, ready to translate.

    Attributes:
      translator: how to sample it.
      params: its parameters.
      meta: its description (``build.description``), and ``step``.
      size_multiple: what image sides must be divisible by.
    """

    translator: Translator
    params: Params
    meta: dict[str, Any]
    size_multiple: int


def load_model(path: str | os.PathLike[str], *, stage: str | None = None) -> LoadedModel:
    """Loads the newest export below ``path``: a workdir, a stage's directory in it, or one checkpoint.

    Args:
      path: where to look.
      stage: which stage of a workdir; None takes the last one that has a checkpoint.

    Raises:
      FileNotFoundError: where there is no checkpoint.
      ValueError: where it is damaged, of another stage, or of a later version.
    """
    export, meta, step = checkpoint.load_export(path, stage=stage)
    network = unet(meta["model"], dtype="float32")
    return LoadedModel(
        translator=translator(meta, network),
        params=export["unet"],
        meta=meta | {"step": step},
        size_multiple=network.size_multiple,
    )
