"""The whole paper: a teacher, then adversarial consistency distillation, then the report.

    sar2opt train --config=acd              # embedded data, on a CPU
    sar2opt train --config=acd:sen12        # SEN1-2 at 256 x 256, the paper's network

Presets: simulated (default), simulated_long, sen12, gf3, sen12_small, real_small, smoke; see configs/base.py.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="acd", stages=("teacher", "adversarial"), preset=preset)
