"""Folders of weights as ``save_pretrained`` of diffusers writes them and ``from_pretrained`` reads them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sar2opt_jax import paths
from sar2opt_jax.interop import tensors

WEIGHTS = "diffusion_pytorch_model"
CONFIG = "config.json"
SCHEDULER = "scheduler_config.json"
DISCRIMINATOR = f"discriminator{tensors.SUFFIX}"
"""What diffusers knows nothing of, and leaves alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files:
    """Where the weights of a network lie, and what describes it; None for what is not there."""

    weights: Path
    config: Path | None
    scheduler: Path | None
    discriminator: Path | None


def find(path: Path) -> Files | None:
    """Finds the files that belong to ``path``.

    Args:
      path: a folder of one model, or of a pipeline with the model in ``unet``; or a file of weights, which may lie in
        such a folder or alone.

    Returns:
      None for a folder without weights by diffusers' name.

    Raises:
      ValueError: for a ``config.json`` that is not JSON.
    """
    if path.is_dir():
        weights = next(filter(None, map(_weights_in, (path, path / "unet"))), None)
        if weights is None:
            return None
    else:
        weights = path
    folder = weights.parent
    schedulers = [folder / "scheduler" / SCHEDULER, folder / SCHEDULER]
    if folder.name == "unet":  # Of a pipeline, whose scheduler is beside it.
        schedulers.append(folder.parent / "scheduler" / SCHEDULER)
    config = _existing(folder / CONFIG)
    return Files(
        weights=weights,
        config=config if config is not None and _describes_network(config) else None,
        scheduler=next(filter(None, map(_existing, schedulers)), None),
        discriminator=_existing(folder / DISCRIMINATOR),
    )


def refuse_others(folder: Path) -> None:
    """Raises ValueError for a folder that has weights under other names, or as pickles, with the way out."""
    files = sorted(entry for parent in (folder, folder / "unet") if parent.is_dir() for entry in parent.iterdir())
    others = [path for path in files if path.suffix == tensors.SUFFIX]
    if others:
        raise ValueError(
            f"{folder} has no {WEIGHTS}{tensors.SUFFIX}; "
            f"to take one of these files, name it itself: {', '.join(map(str, others))}."
        )
    for path in files:
        tensors.refuse_pickle(path)


def write(
    folder: Path,
    *,
    config: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    unet: Mapping[str, np.ndarray],
    discriminator: Mapping[str, np.ndarray] | None,
) -> None:
    """Writes ``config.json``, ``scheduler/`` and the weights into an empty folder.

    Args:
      folder: is there.
      config: of the network.
      scheduler: of its scheduler.
      unet: tensors by diffusers' name.
      discriminator: tensors by the names of the authors'; None where there is none.
    """
    paths.write_json(folder / CONFIG, config, sort_keys=True)
    paths.write_json(folder / "scheduler" / SCHEDULER, scheduler, sort_keys=True)
    tensors.write(folder / f"{WEIGHTS}{tensors.SUFFIX}", unet)
    if discriminator is not None:
        tensors.write(folder / DISCRIMINATOR, discriminator)


def _weights_in(folder: Path) -> Path | None:
    names = (f"{WEIGHTS}{suffix}" for suffix in (tensors.SUFFIX, tensors.INDEX_SUFFIX))
    return next(filter(None, (_existing(folder / name) for name in names)), None)


def _describes_network(path: Path) -> bool:
    """Whether a ``config.json`` is diffusers': training runs of this package, and others, have files of that name."""
    return not {"_class_name", "block_out_channels"}.isdisjoint(tensors.read_json(path))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
