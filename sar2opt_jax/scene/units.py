"""From the values of radar files to the 0 .. 255 that a network was trained on.

A file that states its unit, or whose values can only be of one, is converted to the unit of the training data, and
that is said. Nothing is guessed: power and amplitude look alike, and digital numbers without calibration mean nothing.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sar2opt_jax.data.scaling import to_levels
from sar2opt_jax.description import ImageFormat
from sar2opt_jax.types import check_known

CALIBRATE = "calibrate it first, for example with SNAP, pyroSAR or ASF HyP3"
_TO_POWER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dB": lambda values: 10 ** (values / 10),
    "linear": lambda values: values,
    "amplitude": lambda values: values**2,
}
_FROM_POWER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dB": lambda values: 10 * np.log10(values),
    "linear": lambda values: values,
    "amplitude": np.sqrt,
}
UNITS = tuple(_TO_POWER)
"""Of radar files: decibels, linear power, and its root, the amplitude."""
_WORDS = (
    ("dB", {"db", "decibel", "decibels"}),
    ("amplitude", {"amplitude", "amp"}),
    ("linear", {"linear", "power", "intensity", "sigma0", "gamma0", "beta0", "sigma", "gamma", "beta"}),
)
"""In the unit or the name of a band; SNAP writes ``Sigma0_VV_db`` in decibels and ``Sigma0_VV`` in linear power."""


LOWEST_DB, HIGHEST_DB = -100.0, 60.0
"""Backscatter lies well between these."""


Limits = tuple[tuple[float, float], ...]
"""For each band, or once for all bands, what becomes 0 and 255, in dB."""


def parse_limits(text: str) -> Limits:
    """``-25,0`` or, for each band, ``-25,0;-32.5,0``.

    Raises:
      ValueError: for another text.
    """
    try:
        limits = tuple((float(low), float(high)) for low, high in (part.split(",") for part in text.split(";")))
    except ValueError:
        limits = ()
    if not limits or not all(map(math.isfinite, sum(limits, ()))) or any(low >= high for low, high in limits):
        raise ValueError(
            f"--sar_range={text}: expected the dB that become 0 and 255, the lower first, such as -25,0, or such a "
            "pair for each band, -25,0;-32.5,0."
        )
    return limits


def ranged(radar: ImageFormat, limits: Limits | None) -> ImageFormat:
    """The radar images of a network of 8-bit files as those of files in dB, of which ``limits`` become 0 and 255.

    Args:
      radar: what the network was trained on.
      limits: as ``parse_limits`` returns them; None leaves ``radar`` as it is.

    Raises:
      ValueError: for limits of another number of bands, or of a network that states its own.
    """
    if limits is None:
        return radar
    if radar.limits is not None:
        own = ";".join(f"{low:g},{high:g}" for low, high in radar.limits)
        raise ValueError(
            "--sar_range is for networks of 8-bit radar images; this one states limits of its own, "
            f"{own} ({radar.quantity}). Leave it out."
        )
    if len(limits) not in (1, len(radar.bands)):
        raise ValueError(f"--sar_range has {len(limits)} pairs of dB; the network takes {len(radar.bands)} band(s).")
    limits = limits * len(radar.bands) if len(limits) == 1 else limits
    return dataclasses.replace(radar, quantity="dB", limits=limits, dtype="float32")


class Units(NamedTuple):
    """How the values of a file are understood.

    Attributes:
      of_file: one of ``UNITS``; None: as the network's files are.
      note: what is assumed or converted, as a sentence; None where there is nothing to say.
    """

    of_file: str | None
    note: str | None = None


def stated(texts: Sequence[str]) -> str | None:
    """The unit that the names or units of bands state, one of ``UNITS``; None where they state none."""
    words = {word for text in texts for word in re.split(r"[^a-z0-9]+", text.casefold())}
    return next((unit for unit, known in _WORDS if words & known), None)


def choose(values: np.ndarray, radar: ImageFormat, *, given: str | None = None, described: str | None = None) -> Units:
    """How to understand a file's values.

    Args:
      values: some that are not missing, in the file's type, [n].
      radar: what the network was trained on.
      given: one of ``UNITS``, as the user states it; None: not stated.
      described: as the file states it; None: not stated.

    Raises:
      ValueError: for values whose unit is not certain, or that cannot be converted.
    """
    dtype, wanted = values.dtype, radar.quantity
    if given is not None:
        check_known("unit", given, UNITS)
    if is_scaled(dtype, radar):
        note = "The file is 8-bit; its values are taken as scaled to 0 .. 255 as the training data were."
        return Units(None, note if radar.limits is not None else None)
    if radar.limits is None:
        raise ValueError(f"it has {dtype} values; {_ranges_wanted(values)}")
    if dtype.kind not in "uif":
        raise ValueError(f"it has {dtype} values; expected real numbers ({wanted}).")
    if wanted not in UNITS:
        if given is not None:
            raise ValueError(f"--units={given} does not help: the network's own radar images are in unit {wanted!r}.")
        if (dtype.kind == "f") != (np.dtype(radar.dtype).kind == "f"):
            raise ValueError(f"it has {dtype} values; the network takes {radar.dtype} ({wanted}).")
        return Units(None)
    unit = given or described
    if unit is None:
        unit = _by_values(values, radar)
    if unit == "dB":
        _check_decibels(values)
    if unit == wanted:
        return Units(None)
    if unit is None:
        return Units(None, f"The file does not state its unit; its values are taken as {wanted}, as in training.")
    return Units(unit, f"The values are {unit}; converted to {wanted}, the unit of the training data.")


def _ranges_wanted(values: np.ndarray) -> str:
    """What a network of 8-bit images needs to take others, with an example from values that are not missing, [n]."""
    said = "expected 8-bit grey levels. To scale it to these, state the dB that become 0 and 255: --sar_range=LOW,HIGH"
    if values.size and values.dtype.kind in "uif" and values.min() < 0:
        low, high = np.percentile(values, (1, 99))
        if LOWEST_DB <= low < high <= HIGHEST_DB:
            return f"{said}, such as {low:.3g},{high:.3g}, the 1st and the 99th percentile here."
    return f"{said}, such as -25,0."


def is_scaled(dtype: np.dtype, radar: ImageFormat) -> bool:
    """Whether values of this type are levels already: 8-bit ones, for a network of other files."""
    return dtype == np.uint8 and (radar.limits is None or radar.dtype != "uint8")


def _check_decibels(values: np.ndarray) -> None:
    low, high = np.percentile(values, (2, 98)) if values.size else (0, 0)
    if low < LOWEST_DB or high > HIGHEST_DB:
        raise ValueError(
            f"its values lie between {low:g} and {high:g}, which are no decibels: they may be stored with a factor, or "
            "a value may mark missing pixels; state it in the file with gdal_translate -a_scale or -a_nodata."
        )


def _by_values(values: np.ndarray, radar: ImageFormat) -> str | None:
    """The unit that values cannot but have; None where they may be of the network's."""
    wanted = radar.quantity
    if values.size and values.min() < 0:
        return "dB"  # Neither power nor amplitude is negative.
    if values.dtype.kind != "f":
        if values.dtype == radar.dtype:
            return None
        raise ValueError(
            f"it has {values.dtype} values without a unit; they look like digital numbers, and the network takes "
            f"{wanted}: {CALIBRATE}, or state what they are with --units={'|'.join(UNITS)}."
        )
    if wanted == "dB" and values.size:
        raise ValueError(
            "it has no negative values, so it is not in dB, and it does not say whether it is linear power or "
            "amplitude: state that with --units=linear or --units=amplitude."
        )
    return None


def as_levels(values: np.ma.MaskedArray, radar: ImageFormat, *, unit: str | None = None) -> np.ndarray:
    """Values of radar files as a prepared dataset stores them.

    Args:
      values: [..., bands], real numbers.
      radar: what the network was trained on.
      unit: of the values, one of ``UNITS``; None: that of ``radar``.

    Returns:
      The same shape, uint8; missing pixels are ``radar.masked_value``.

    Raises:
      ValueError: for values of another type than the files of ``radar`` have.
    """
    if is_scaled(values.dtype, radar):
        return np.ma.filled(values, radar.masked_value)
    if radar.limits is None:
        known = np.ma.masked_invalid(values).compressed() if values.dtype.kind == "f" else values.compressed()
        raise ValueError(f"The radar image has {values.dtype} values; {_ranges_wanted(known)}")
    if values.dtype.kind not in "uif":
        raise ValueError(f"The radar image has {values.dtype} values; expected real numbers ({radar.quantity}).")
    floats = np.ma.getdata(values).astype(np.result_type(values.dtype, np.float32))
    floats[missing(values, radar, unit=unit)] = np.nan
    if unit is not None and unit != radar.quantity:
        with np.errstate(divide="ignore", invalid="ignore"):  # No echo is minus infinity in dB.
            floats = _FROM_POWER[radar.quantity](_TO_POWER[unit](floats))
    return to_levels(floats, scale=radar.scale, limits=radar.limits, masked_value=radar.masked_value)


def missing(values: np.ma.MaskedArray, radar: ImageFormat, *, unit: str | None = None) -> np.ndarray:
    """Where values are missing: masked, the nodata of the training data, NaN, or no power at all, as at the border of a
    product; arguments as of ``as_levels``, shaped like ``values``, bool."""
    absent = np.ma.getmaskarray(values)
    if is_scaled(values.dtype, radar):
        return absent
    data = np.ma.getdata(values)
    if radar.nodata is not None:
        absent = absent | (data == radar.nodata)
    if data.dtype.kind == "f":
        absent = absent | np.isnan(data)
    return absent | (data <= 0) if (unit or radar.quantity) in ("linear", "amplitude") else absent
