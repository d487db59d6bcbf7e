"""Folders of weights as ``save_pretrained`` of diffusers writes them and ``from_pretrained`` reads them."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sar2opt_jax import paths
from sar2opt_jax.interop import architecture, json_file, pipeline, tensors, weight_files
from sar2opt_jax.interop.pipeline import SCHEDULER, Pipeline
from sar2opt_jax.interop.weight_files import WEIGHTS

CONFIG = architecture.FILE
DISCRIMINATOR = f"discriminator{weight_files.SUFFIX}"
"""What diffusers knows nothing of, and leaves alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files:
    """Where the weights of a network are, and what describes it; None for what is missing.

    Attributes:
      weights: the file, or the index of its parts.
      config: of the network.
      scheduler: the nearest config of a scheduler.
      discriminator: beside the weights.
      other_schedulers: further configs of schedulers that count for the network; they should not differ.
      pipelines: which it is a component of.
      notes: what the user should know of the choice, a sentence each.
    """

    weights: Path
    config: Path | None
    scheduler: Path | None
    discriminator: Path | None
    other_schedulers: tuple[Path, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    notes: tuple[str, ...] = ()


def find(path: Path) -> Files | None:
    """Finds the files that belong to ``path``.

    Relative paths and symbolic links are followed: what describes a network may be beside the link, beside the folder
    that it points to, or beside the file.

    Args:
      path: a folder of one model, of a pipeline, or of a checkpoint with the model in ``unet`` or another folder; or a
        file of weights, which may be in such a folder or alone.

    Returns:
      None for a folder without weights by diffusers' name.

    Raises:
      ValueError: for JSON that is none, weights of which more than one could be meant, or a pipeline of latents.
    """
    path = Path(os.path.abspath(path))
    weights, others = (path, []) if not path.is_dir() else weight_files.choose(path)
    if weights is None:
        component = pipeline.network_folder(path)
        weights, others = (None, []) if component is None else weight_files.choose(component)
    if weights is None:
        return None
    homes = list(dict.fromkeys([weights.parent, weights.parent.resolve(), weights.resolve().parent]))
    notes = [f"{weights.parent} also has {', '.join(file.name for file in others)}; name it to take it."] * bool(others)
    config = _first(home / CONFIG for home in homes)
    if config is not None and not _describes_network(config):
        notes.append(f"{config} describes no network of diffusers, and was not used.")
        config = None
    schedulers = [home / place / SCHEDULER for home in homes for place in ("scheduler", "")]
    pipelines: dict[Path, Pipeline] = {}
    for home in homes:
        if not _is_component(home):
            continue
        around, files = pipeline.around(home)
        pipelines |= {} if around is None else {around.index: around}
        schedulers += files
        notes += _siblings(home, taken=homes)
    unique: dict[Path, Path] = {}
    for file in schedulers:
        if file.is_file():
            unique.setdefault(file.resolve(), file)
    existing = list(unique.values())
    return Files(
        weights=weights,
        config=config,
        scheduler=existing[0] if existing else None,
        discriminator=_first(home / DISCRIMINATOR for home in homes),
        other_schedulers=tuple(existing[1:]),
        pipelines=tuple(pipelines.values()),
        notes=tuple(notes),
    )


def refuse_others(folder: Path) -> None:
    """Raises ValueError for a folder that has weights under other names, or as pickles, with the way out."""
    weight_files.refuse_others((folder, folder / "unet"), where=folder)


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
    tensors.write(folder / f"{WEIGHTS}{weight_files.SUFFIX}", unet)
    if discriminator is not None:
        tensors.write(folder / DISCRIMINATOR, discriminator)


def _is_component(home: Path) -> bool:
    """Whether a folder is one of a network, which may be a part of a pipeline, and not just where a file lies."""
    return weight_files.has_any(home) or ((home / CONFIG).is_file() and _describes_network(home / CONFIG))


def _describes_network(config: Path) -> bool:
    return architecture.describes_network(json_file.read(config), where=str(config))


def _siblings(home: Path, *, taken: Sequence[Path]) -> list[str]:
    """Sentences on other networks beside the one that is taken; whoever takes an average knows of what it is one."""
    averaged = any(map(pipeline.is_averaged, taken))
    beside = [sibling for sibling in pipeline.siblings(home) if sibling.resolve() not in taken]
    return [
        f"{sibling} has {'averaged ' * pipeline.is_averaged(sibling)}weights too, which were not taken; to take them: "
        f"--input={sibling}."
        for sibling in beside
        if not averaged or pipeline.is_averaged(sibling)
    ]


def _first(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)
