"""What both sides of a comparison of metrics are given. Needs neither torch nor what it is compared with."""

import numpy as np

from sar2opt_jax.metrics.weights import inception

CLASSES = 1008
"""Outputs of the classifier on top of the published Inception-v3, which nothing here uses."""


def inception_tensors(*, seed: int) -> dict[str, np.ndarray]:
    """Tensors of the FID Inception-v3 by their published names, made up, with activations about one in all layers."""
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in inception.shapes().items():
        values = generator.standard_normal(shape, np.float32)
        if name.endswith("conv.weight"):
            values *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif name.endswith(("bn.weight", "bn.running_var")):
            values = np.float32(0.5) + generator.random(shape, np.float32)
        else:
            values *= np.float32(0.1)
        tensors[name] = values
    return tensors


def images(height: int, width: int, *, batch: int, seed: int) -> np.ndarray:
    """Images of fields and edges with some noise, uint8."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 32
    waves = []
    for _ in range(batch * 3):
        a, b, c, d = generator.uniform(-2, 2, 4)
        waves.append(np.sin(a * x + b * y + c) + 0.5 * np.sign(np.sin(b * x - a * y + d)))
    smooth = np.stack(waves).reshape(batch, 3, height, width).transpose(0, 2, 3, 1)
    noisy = 127 + 70 * smooth + generator.normal(0, 8, smooth.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def pairs(height: int, width: int, *, batch: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Images in [0, 1], and others that resemble them, float32."""
    image, other = (images(height, width, batch=batch, seed=seed) / np.float32(255) for seed in (0, 1))
    return image, (np.float32(0.7) * image + np.float32(0.3) * other).astype(np.float32)


def feature_sets(*, counts: tuple[int, int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features with correlated columns, float64, at least 0."""
    generator = np.random.default_rng(3)
    mixing = generator.standard_normal((width, width)) / np.sqrt(width)
    x, y = (generator.standard_normal((count, width)) @ mixing for count in counts)
    return np.maximum(x, 0), np.maximum(1.2 * y + 0.1, 0)
