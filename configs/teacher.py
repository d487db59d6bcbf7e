"""The conditional diffusion model alone, for a teacher that several distillations share.

    sar2opt train --config=teacher
    sar2opt train --config=acd --config.teacher.export=runs/teacher-simulated

The same presets as configs/acd.py.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="teacher", stages=("teacher",), preset=preset)
