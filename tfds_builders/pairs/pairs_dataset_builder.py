"""Anybody's own pairs: two folders, or a table. The configuration is made from the files and what is said of them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import files
from tfds_builders.builder import PairsBuilder, PairsConfig
from tfds_builders.description import ImageDescription
from tfds_builders.pairs.find import EXPECTED, find
from tfds_builders.pairs.raster import Raster
from tfds_builders.pairs.settings import Settings
from tfds_builders.pairs.survey import description, ground_sampling, images, survey


@dataclasses.dataclass(eq=False)
class OwnConfig(PairsConfig):
    """One dataset of somebody's own, found and surveyed.

    Attributes:
        pairs: all of it.
        bad: files that cannot be used, as far as names tell.
        given_splits: the split of each pair by its id, where the owner states them.
        lone: whether every pair counts as a scene of its own.
        images: how the images of each kind are read.
        ground_sampling_m: metres per pixel, where all files state the same.
        settings: what its owner stated.
    """

    # Not shown: TFDS logs the configuration as a whole, with every pair.
    pairs: list[files.Pair] = dataclasses.field(default_factory=list, repr=False)
    bad: list[files.BadFile] = dataclasses.field(default_factory=list, repr=False)
    given_splits: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)
    lone: bool = False
    images: dict[files.Kind, Raster] = dataclasses.field(default_factory=dict, repr=False)
    ground_sampling_m: float | None = None
    settings: Settings = Settings()  # noqa: RUF009  frozen


def configure(name: str, root: Path, settings: Settings, *, processes: int = 1) -> OwnConfig:
    """Finds the pairs below a folder and surveys them.

    Args:
        name: of the dataset, which becomes the configuration's.
        root: the folder with ``sar`` and ``optical``, or with ``pairs.csv``.
        settings: what its owner states.
        processes: how many decode files, where a range is to be measured.

    Raises:
        ValueError: the files and the settings do not go together, or none can be used (``files.BadFilesError``).
        FileNotFoundError: there are no pairs.
    """
    found = find(root, scene_regex=settings.scene_regex)
    if not found.pairs:
        if found.bad:
            raise files.BadFilesError(found.bad, root=root)
        raise FileNotFoundError(f"No pairs under {root}: expected {EXPECTED}.")
    return OwnConfig(
        name=name,
        description="Somebody's own pairs.",
        pairs=found.pairs,
        bad=found.bad,
        given_splits=found.splits,
        lone=found.lone,
        images=survey(found.pairs, settings, root=root, processes=processes),
        ground_sampling_m=ground_sampling(found.pairs, processes=processes),
        settings=settings,
    )


class Builder(PairsBuilder):
    """Stores somebody's own pairs with 8 bits a channel, split by scene or as their owner says."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release: two folders, or a table."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"manual_dir is to hold {EXPECTED}."

    @property
    def own(self) -> OwnConfig:
        """The configuration, with its type."""
        if not isinstance(self.builder_config, OwnConfig):
            raise ValueError(
                "pairs are somebody's own images, with a name of their own: prepare them by python -m "
                "tfds_builders.prepare pairs/NAME, then read them as pairs/NAME."
            )
        return self.builder_config

    @property
    def homepage(self) -> str:
        """None: the files are their owner's."""
        return ""

    @property
    def expected(self) -> str:
        """Both layouts."""
        return EXPECTED

    @property
    def formats(self) -> dict[files.Kind, files.Format]:
        """As surveyed."""
        return {**self.own.images}

    @property
    def descriptions(self) -> dict[files.Kind, ImageDescription]:
        """As surveyed and stated."""
        return {kind: images(form, kind) for kind, form in self.own.images.items()}

    @property
    def ground_sampling_m(self) -> float | None:
        """As surveyed."""
        return self.own.ground_sampling_m

    def find_pairs(self, root: Path) -> tuple[list[files.Pair], list[files.BadFile]]:
        """As found when the configuration was made."""
        return self.own.pairs, list(self.own.bad)

    def split_of(self, patch: files.Patch) -> str | None:
        """As the owner says, else by scene."""
        given = self.own.given_splits
        return super().split_of(patch) if given is None else given[patch.id]

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        generators = super()._split_generators(dl_manager)
        own, metadata = self.own, self.info.metadata
        scaling = {kind: description(own.images[kind], own.settings.reading(kind)) for kind in files.KINDS}
        metadata.update(  # pyright: ignore[reportOptionalMemberAccess]
            settings=own.settings.as_json(), scaling=scaling, notes=self._notes(metadata, scaling)
        )
        return generators

    def _notes(self, metadata: Any, scaling: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What the owner is to know, in sentences."""
        notes = []
        for kind, said in scaling.items():
            if (limits := said["limits"]) is not None:
                unit = "" if said["scale"] == "file" else " dB"
                spans = ", ".join(
                    f"band {band} {low:g} .. {high:g}{unit}"
                    for band, (low, high) in zip(said["bands"], limits, strict=True)
                )
                notes.append(f"{kind}: 0 .. 255 is {spans}")
            if missing := metadata["statistics"][kind]["missing"]:
                notes.append(f"{kind}: {missing:,} pixels have no value in their file and are stored as 0")
        if self.own.lone and self.own.given_splits is None:
            notes.append(
                "every pair counts as a scene of its own, so neighbouring crops may stand in different splits: sort "
                "them into subfolders, or name the scene by --scene_regex or in the table"
            )
        return notes
