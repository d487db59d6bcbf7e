"""The whole paper: a teacher, then adversarial consistency distillation, then the report.

    python -m sar2opt_jax.main --config=configs/acd.py              # embedded data, on a CPU
    python -m sar2opt_jax.main --config=configs/acd.py:sen12        # SEN1-2 at 256 x 256, the paper's network

Presets: simulated (default), simulated_long, sen12, gf3, sen12_small, smoke; see configs/base.py.
"""

from configs.base import get_base


def get_config(preset: str = "simulated"):
    return get_base(name="acd", stages=("teacher", "adversarial"), preset=preset)
