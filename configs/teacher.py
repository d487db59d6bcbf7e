"""The conditional diffusion model alone, for a teacher that several distillations share.

    python -m sar2opt_jax.main --config=configs/teacher.py
    python -m sar2opt_jax.main --config=configs/acd.py --config.teacher.export=runs/teacher-simulated

The same presets as configs/acd.py.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="teacher", stages=("teacher",), preset=preset)
