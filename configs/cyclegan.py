"""A baseline: two U-Nets, there and back, that learn from radar and optical images without their pairing (CycleGAN).

    sar2opt train --config=cyclegan         # embedded data, on a CPU
    sar2opt train --config=cyclegan:sen12   # SEN1-2 at 256 x 256, the network of the teacher

As many optimiser steps as teacher and student of configs/acd.py take together, with the same presets.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="cyclegan", stages=("cyclegan",), preset=preset)
