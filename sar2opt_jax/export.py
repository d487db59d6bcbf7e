"""Exports: trained networks with the description that makes them usable without a config."""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from sar2opt_jax.description import Description, unnamed_bands
from sar2opt_jax.engine import networks
from sar2opt_jax.translator import Translator
from sar2opt_jax.types import Networks, Params

FORMAT = 2
"""Of a description in a checkpoint; sar2opt_jax 0.1 wrote none."""
RANKS_0_1 = {"cyclegan": 0, "pix2pix": 1, "teacher": 2, "distill": 3, "adversarial": 4}
"""Of the stages of 0.1, see ``Description.rank``."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # Arrays have no truth value of equality.
class Export:
    """Trained networks and what they are.

    Attributes:
      networks: parameters by network: ``unet``, which translates, and what else the stage trained.
      description: what they are.
    """

    networks: Networks
    description: Description

    @property
    def params(self) -> Params:
        """Of the network that translates."""
        return self.networks["unet"]

    @functools.cached_property
    def translator(self) -> Translator:
        """How to sample it, in float32."""
        return self.description.translator()

    @property
    def size_multiple(self) -> int:
        """What image sides must be divisible by."""
        return self.description.unet.make().size_multiple


def parameters_digest(params: Params) -> str:
    """The SHA-256 of parameters, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def metadata(description: Description) -> dict[str, Any]:
    """What is stored in a checkpoint beside networks: their description without the step, which the checkpoint has."""
    described = description.to_json()
    del described["step"]
    return {"format": FORMAT, "stage": description.stage, "description": described}


def save(directory: str | os.PathLike[str], export: Export) -> None:
    """Writes an export that is handed on but not resumed, as ``DIRECTORY/STEP``; ``DIRECTORY`` is new or empty."""
    description = export.description
    networks.save(directory, export.networks, meta=metadata(description), step=description.step)


def load(path: str | os.PathLike[str], *, stage: str | None = None) -> Export:
    """Loads the newest export below ``path``, with networks as numpy arrays.

    Any process may do so by itself: none waits for another.

    Args:
      path: a workdir, a stage's directory in it, its ``checkpoints``, or one checkpoint.
      stage: which stage of a workdir; None takes the one with the highest rank.

    Raises:
      FileNotFoundError: where there is no checkpoint.
      ValueError: where it is corrupt, of another stage, or of a later version.
    """
    directory = find(path, stage=stage)
    trained, meta = networks.read(directory)
    return Export(networks=trained, description=_description(meta, where=directory))


def find(path: str | os.PathLike[str], *, stage: str | None = None) -> epath.Path:
    """The checkpoint that ``load`` loads; arguments and errors as there."""
    root = networks.as_directory(path)
    # From the most particular reading of the path to the most general.
    candidates = itertools.chain(
        [root, networks.newest(root), networks.newest(root / "checkpoints")],
        _by_rank(root) if stage is None else [networks.newest(root / stage / "checkpoints")],
    )
    chosen = next((entry for entry in candidates if entry is not None and networks.is_checkpoint(entry)), None)
    if chosen is None:
        content = sorted(entry.name for entry in root.iterdir())[:10] if root.is_dir() else []
        what = f"It contains: {', '.join(content) or 'nothing'}." if root.exists() else "It does not exist."
        raise FileNotFoundError(
            f"No checkpoint in {root}: expected {stage or 'STAGE'}/checkpoints/STEP below it. {what}"
        )
    if stage is not None and (its := describe(chosen).stage) != stage:
        raise ValueError(f"{chosen} is a checkpoint of stage {its!r}; expected one of stage {stage!r}.")
    return chosen


def _by_rank(workdir: epath.Path) -> Iterator[epath.Path]:
    """The newest checkpoint of each stage in a workdir, the highest rank first."""
    newest = (
        {entry.name: networks.newest(entry / "checkpoints") for entry in workdir.iterdir()} if workdir.is_dir() else {}
    )
    described = [(describe(entry), name, entry) for name, entry in newest.items() if entry is not None]
    # The directory of a stale stage has another name than its stage.
    own = {about.rank: entry for about, name, entry in described if about.stage == name}
    yield from (own[rank] for rank in sorted(own, reverse=True))


def describe(directory: epath.Path) -> Description:
    """The description in a checkpoint, without loading its arrays.

    Raises:
      OSError: where it cannot be read.
      ValueError: where it is corrupt, or of a later version.
    """
    return _description(networks.read_meta(directory), where=directory)


def _description(meta: Mapping[str, Any], *, where: epath.Path) -> Description:
    try:
        version = meta.get("format", 1)
        if version == 1:
            return _of_version_0_1(meta)
        if version != FORMAT:
            raise ValueError(f"format {version} is of a later version of sar2opt_jax; this one reads 1 and {FORMAT}")
        return Description.from_json({**meta["description"], "step": meta["step"]})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} has no valid description: {type(error).__name__} {error}.") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _of_version_0_1(meta: Mapping[str, Any]) -> Description:
    """The description in a checkpoint of 0.1, which stated no units, data fingerprint, settings or parent."""
    model = dict(meta["model"])
    consistency = meta["consistency"]
    # Before there were generators, the kind was not stated.
    kind = meta.get("kind", "teacher" if consistency is None else "student")
    prediction = model.pop("prediction")
    channels = meta.get("sar", {}).get("channels", 1)
    return Description.from_json(
        {
            "stage": meta["stage"],
            "kind": kind,
            "rank": RANKS_0_1.get(meta["stage"], 0),
            "unet": model,
            "prediction": prediction,
            "schedule": meta["schedule"],
            "consistency": consistency,
            "radar": {"bands": unnamed_bands(channels)},
            "optical": {"bands": ["red", "green", "blue"]},
            "image_size": meta.get("image_size", 256),
            "dataset": {"name": meta.get("data", "unknown")},
            "settings": {},
            "preset": meta.get("preset", "unknown"),
            "step": meta.get("step", 0),
            "software": "0.1",
        }
    )
