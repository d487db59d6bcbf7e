"""A teacher, then consistency distillation without an adversary: what the discriminator adds is measured against it.

    sar2opt train --config=distill

The same presets as configs/acd.py.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="distill", stages=("teacher", "distill"), preset=preset)
