"""Trained networks wherever they are: in a workdir, in folders of other forms, in the package, on the hub."""

import os
from pathlib import Path

from sar2opt_jax import export, paths
from sar2opt_jax.export import Export
from sar2opt_jax.interop import exports, folder, model_folder, pretrained, settings


def read(path: str | os.PathLike[str], *, stage: str | None = None) -> Export:
    """A trained network, its parameters as numpy arrays.

    Args:
      path: a workdir, a stage's directory in it, one checkpoint, a folder that ``sar2opt export`` or diffusers wrote,
        the name of a model that comes with the package, or ``hf://USER/NAME`` on the Hugging Face hub.
      stage: which stage of a workdir; None takes the last one that has a checkpoint.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: where it is corrupt, of another stage, of a later version, or no network of this kind.
    """
    source = pretrained.locate(path) or paths.local_path(path, "the path of a network")
    if model_folder.is_one(source):
        return _of_stage(model_folder.read(source), stage, where=source)
    files = folder.find(source) if source.exists() else None
    if files is None:
        return _load(source, stage=stage)
    flags = {**dict.fromkeys(settings.DEFAULTS), "discriminator": None, "stage": stage}
    return exports.read(files, flags=flags)[0]


def _of_stage(trained: Export, stage: str | None, *, where: Path) -> Export:
    if stage not in (None, its := trained.description.stage):
        raise ValueError(f"{where} is a network of stage {its!r}; expected one of stage {stage!r}.")
    return trained


def _load(source: Path, *, stage: str | None) -> Export:
    try:
        return export.load(source, stage=stage)
    except FileNotFoundError as error:
        names = ", ".join(pretrained.shipped())
        raise FileNotFoundError(f"{error} Models that come with the package: {names}." if names else error) from None
