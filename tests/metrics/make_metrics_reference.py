"""Writes metrics_reference.npz, what scikit-image, torch-fidelity and lpips answer; tests compare with it.

Run it where ``make parity`` has made its environment, and only if what is recorded changes:

  PYTHONPATH=tests/parity .venv-parity/bin/python tests/evaluation/make_metrics_reference.py
"""

import importlib.metadata
import os
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import our_metrics
import torch_metrics


def main() -> None:
    """Writes the file beside this one."""
    pair = our_metrics.pairs(40, 56)
    lab = [torch_metrics.lab(image) for image in pair]
    sets = our_metrics.feature_sets(counts=(150, 130), width=64)
    arrays = {
        f"version/{name}": importlib.metadata.version(name) for name in ("scikit-image", "torch-fidelity", "lpips")
    }
    arrays |= {
        "lab": lab[0][0, 0],
        "ciede2000": torch_metrics.ciede2000(*lab).mean(axis=(1, 2)),
        "fid": torch_metrics.fid(*sets),
        "kid": torch_metrics.kid(*sets, subset_size=100, num_subsets=20),
        "lpips/alexnet": torch_metrics.lpips_distance("alexnet", *pair),
        "lpips/vgg16": torch_metrics.lpips_distance("vgg16", *pair),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch_metrics.save_inception(our_metrics.inception_tensors(seed=0), path)
        images = our_metrics.images(40, 56, batch=2, seed=5)
        arrays["inception"] = torch_metrics.inception_features(path, images)
    np.savez_compressed(Path(__file__).with_name("metrics_reference.npz"), **arrays)


if __name__ == "__main__":
    main()
