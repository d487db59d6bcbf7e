"""Translates a radar image with the network in this folder, without sar2opt_jax:

    python run.py RADAR.npy OPTICAL.png [SEED]

RADAR.npy holds [height, width] or [height, width, bands] values with the bands and in the quantity that "radar" in
description.json names, NaN where a pixel is missing; or uint8 values that are scaled to 0 .. 255 already.
Needs jax, flatbuffers, numpy, pillow and safetensors.
"""

import json
import sys
from pathlib import Path

import jax.export
import numpy as np
from PIL import Image
from safetensors.numpy import load_file

PROGRAM, PARAMETERS, DESCRIPTION = "translator.stablehlo", "parameters.safetensors", "description.json"
TO_DB = {"file": lambda values: values, "linear": lambda v: 10 * np.log10(v), "amplitude": lambda v: 20 * np.log10(v)}


def main(source: str, target: str, seed: str = "0") -> None:
    """Reads ``source``, writes ``target``."""
    here = Path(__file__).parent
    about = json.loads((here / DESCRIPTION).read_text())
    radar = about["description"]["radar"]
    sar = np.load(source)
    sar = sar[..., None] if sar.ndim == 2 else sar
    if sar.ndim != 3 or sar.shape[2] != len(radar["bands"]):
        sys.exit(f"{source} has shape {sar.shape}; expected [height, width, bands], with the bands {radar['bands']}.")
    is_scaled = sar.dtype == np.uint8 and (radar["limits"] is None or radar["dtype"] != "uint8")
    levels = sar if is_scaled else as_levels(sar, radar)
    height, width = sar.shape[:2]
    multiple = about["size_multiple"]
    padded = np.pad(levels, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    translate = jax.export.deserialize(bytearray((here / PROGRAM).read_bytes())).call
    optical = np.asarray(translate(load_file(here / PARAMETERS), padded[None], np.uint32(int(seed))))
    Image.fromarray(optical[0, :height, :width]).save(target)


def as_levels(sar: np.ndarray, radar: dict) -> np.ndarray:
    """Values of files as the 0 .. 255 that the network was trained on."""
    if radar["limits"] is None:
        sys.exit(f"The radar image has {sar.dtype} values; expected uint8, scaled as the network's training data were.")
    low, high = np.array(radar["limits"], np.float64).T
    missing = np.isnan(sar) if radar["nodata"] is None else np.isnan(sar) | (sar == radar["nodata"])
    with np.errstate(divide="ignore", invalid="ignore"):  # No echo is minus infinity in dB, and clipped.
        share = ((TO_DB[radar["scale"]](sar).astype(np.float64) - low) / (high - low)).clip(0, 1)
    missing = missing | np.isnan(share)  # Negative power has no decibels.
    return np.where(missing, radar["masked_value"], np.round(255 * np.nan_to_num(share))).astype(np.uint8)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
