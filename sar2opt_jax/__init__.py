"""SAR-to-optical image translation by adversarial consistency distillation (arXiv 2407.06095), in JAX.

>>> import sar2opt_jax
>>> translator = sar2opt_jax.load("runs/acd-simulated")    # a workdir, an export, a folder of diffusers
>>> optical = translator(sar, steps=4, seed=0)             # [h, w] or [h, w, bands] to uint8 [h, w, 3]
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sar2opt_jax.inference import ImageTranslator

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(path: "str | os.PathLike[str]", *, stage: str | None = None) -> "ImageTranslator":
    """Loads a trained network, ready to translate NumPy arrays; see ``inference.load`` and ``ImageTranslator``."""
    from sar2opt_jax import inference  # Late: importing the package must not import JAX.

    return inference.load(path, stage=stage)
