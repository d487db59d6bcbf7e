"""The structure around a network's folder: a pipeline of diffusers, or a checkpoint of a training script.

A pipeline has ``model_index.json``, which gives the class of each component, and a folder for each component. A
training script of diffusers writes one, and below it ``checkpoint-500`` and the like, with ``unet`` and, of an average,
``unet_ema``.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sar2opt_jax.interop import architecture, json_file, weight_files

INDEX = "model_index.json"
SCHEDULER = "scheduler_config.json"
LATENT = ("Autoencoder", "AsymmetricAutoencoder", "VQ", "ConsistencyDecoder")
"""How classes begin that make latents of images; a network beside one has never seen an image."""
AVERAGED = "ema"
"""What stands in the name of a folder of averaged weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What a ``model_index.json`` says.

    Attributes:
      index: the file.
      networks: names of the components that are networks of our family; most often ``unet``.
      schedulers: class of each component that is a scheduler, by name; most often one, ``scheduler``.
    """

    index: Path
    networks: tuple[str, ...]
    schedulers: Mapping[str, str]

    def scheduler_files(self) -> list[Path]:
        """Where the configs of its schedulers are, or would be."""
        return [self.index.parent / name / SCHEDULER for name in self.schedulers]


def read(folder: Path) -> Pipeline | None:
    """The pipeline in a folder; None where there is no ``model_index.json``.

    Raises:
      ValueError: for a file that is not one, or a pipeline whose network works on latents, not on images.
    """
    path = folder / INDEX
    if not path.is_file():
        return None
    classes: dict[str, str] = {}
    for name, value in json_file.read(path).items():
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
            classes[name] = value[1]
    for name, kind in classes.items():
        if kind.startswith(LATENT):
            raise ValueError(
                f"{path}: component {name} is {json_file.shown(kind)}, so that the network works on its latents; "
                "expected a pipeline whose network takes and gives images."
            )
    return Pipeline(
        index=path,
        networks=tuple(name for name, kind in classes.items() if kind in architecture.CLASSES),
        schedulers={name: kind for name, kind in classes.items() if kind.endswith("Scheduler")},
    )


def network_folder(folder: Path) -> Path | None:
    """The folder of the network in a pipeline, or in a checkpoint of a training script; None where there is none.

    Raises:
      ValueError: where more than one could be meant.
    """
    pipeline = read(folder)
    names = pipeline.networks if pipeline is not None and pipeline.networks else ("unet",)
    found = [folder / name for name in names if weight_files.has_any(folder / name)]
    if not found and folder.is_dir():
        found = [path for path in sorted(folder.iterdir()) if _is_network(path)]
    if len(found) > 1:
        raise ValueError(
            f"{folder} has {len(found)} networks; expected one: name its folder as --input: "
            f"{', '.join(map(str, found[:8]))}."
        )
    return found[0] if found else None


def around(home: Path) -> tuple[Pipeline | None, list[Path]]:
    """The pipeline that a network's folder is in, and the configs of schedulers that count for it, nearest first.

    Args:
      home: the folder, absolute. It counts as a component of what is around it; a lone file's folder does not.
    """
    # The folder of a checkpoint stands between a network and its pipeline.
    found = next((pipeline for folder in home.parents[:2] if (pipeline := read(folder)) is not None), None)
    files = [home.parent / "scheduler" / SCHEDULER, *(() if found is None else found.scheduler_files())]
    return found, [path for path in dict.fromkeys(files) if path.is_file()]


def siblings(home: Path) -> list[Path]:
    """Folders of other networks beside one, or in it: an average beside its ``unet``, or the other way round.

    Args:
      home: the folder of the network, absolute.
    """
    parent = home.parent
    in_pipeline = (parent / INDEX).is_file() or (parent / "scheduler").is_dir()
    beside = [
        path
        for path in (sorted(parent.iterdir()) if parent.is_dir() else ())
        if in_pipeline or path.name.startswith(f"{home.name}_") or home.name.startswith(f"{path.name}_")
    ]
    places = [*beside, *sorted(home.iterdir())]
    return [path for path in places if path.resolve() != home.resolve() and _is_network(path)]


def is_averaged(folder: Path) -> bool:
    """Whether a network's folder has averaged weights, by its name or by what ``EMAModel`` writes into its config."""
    return AVERAGED in folder.name.lower() or not set(architecture.AVERAGING).isdisjoint(_config(folder) or {})


def _is_network(folder: Path) -> bool:
    """Whether a folder has weights that may be of our family: its config does not name another class."""
    kind = (_config(folder) or {}).get("_class_name", architecture.CLASSES[0])
    return weight_files.has_any(folder) and kind in architecture.CLASSES


def _config(folder: Path) -> Mapping[str, Any] | None:
    """The config of a folder that nobody asked for; None where there is none, or it cannot be read."""
    try:
        return json_file.read(folder / architecture.FILE)
    except (OSError, ValueError):
        return None
