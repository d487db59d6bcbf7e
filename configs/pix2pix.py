"""A baseline: the U-Net as a one-step generator with a discriminator of patches, trained on pairs (pix2pix).

    sar2opt train --config=pix2pix          # embedded data, on a CPU
    sar2opt train --config=pix2pix:sen12    # SEN1-2 at 256 x 256, the network of the teacher

As many optimiser steps as teacher and student of configs/acd.py take together, with the same presets.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="pix2pix", stages=("pix2pix",), preset=preset)
