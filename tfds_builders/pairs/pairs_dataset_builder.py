"""Anybody's own pairs: two folders, or a table. The configuration is made from the files and what is said of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import files, splits
from tfds_builders.bad_files import BadFile, BadFilesError
from tfds_builders.builder import PairsBuilder, PairsConfig
from tfds_builders.pairs.find import EXPECTED, Found, find
from tfds_builders.pairs.names import without_time
from tfds_builders.pairs.raster import Raster
from tfds_builders.pairs.settings import Settings
from tfds_builders.pairs.survey import description, survey


@dataclasses.dataclass(eq=False)
class OwnConfig(PairsConfig):
    """One dataset of somebody's own, found and surveyed.

    Attributes:
        found: all of it, as far as names tell.
        images: how the images of each kind are read.
        settings: what its owner stated.
    """

    # Not shown: TFDS logs the configuration as a whole, with every pair.
    found: Found = dataclasses.field(default_factory=lambda: Found(pairs=[], bad=[]), repr=False)
    images: dict[files.Kind, Raster] = dataclasses.field(default_factory=dict, repr=False)
    settings: Settings = Settings()  # noqa: RUF009  frozen

    @property
    def pairs(self) -> list[files.Pair]:
        """All that were found, sorted by id."""
        return self.found.pairs


def configure(name: str, root: Path, settings: Settings, *, processes: int = 1) -> OwnConfig:
    """Finds the pairs below a folder and surveys them.

    Args:
        name: of the dataset, which becomes the configuration's.
        root: the folder with ``sar`` and ``optical``, or with ``pairs.csv``.
        settings: what its owner states.
        processes: how many decode files, where a range is to be measured.

    Raises:
        ValueError: the files and the settings do not go together, or none can be used (``BadFilesError``).
        FileNotFoundError: there are no pairs.
    """
    found = find(root, scene_regex=settings.scene_regex)
    if not found.pairs:
        if found.bad:
            raise BadFilesError(found.bad, root=root)
        raise FileNotFoundError(f"No pairs under {root}: expected {EXPECTED}.")
    return OwnConfig(
        name=name,
        description="Somebody's own pairs.",
        found=found,
        images=survey(found.pairs, settings, root=root, processes=processes),
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

    def find_pairs(self, root: Path) -> tuple[list[files.Pair], list[BadFile]]:
        """As found when the configuration was made."""
        return self.own.found.pairs, list(self.own.found.bad)

    @property
    def table(self) -> Path | None:
        """``pairs.csv``, where it names the files."""
        return self.own.found.table

    @property
    def scene_rule(self) -> str:
        """What made the scenes, in words."""
        return self.own.found.scene_rule

    def divide(self, pairs: Sequence[files.Pair]) -> splits.Division:
        """As the owner says, else by scene, and a scene is a location."""
        found = self.own.found
        if (given := found.splits) is None:
            return splits.deal(pairs, numbered=lambda patch: without_time(patch.id.removeprefix(f"{patch.season}/")))
        return splits.Division(members=splits.by_split(pairs, lambda patch: given[patch.id]), rule=found.split_rule)

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
        if self.own.found.lone and self.own.found.splits is None:
            notes.append(
                "every pair counts as a scene of its own, so neighbouring crops may stand in different splits: sort "
                "them into subfolders, or name the scene by --scene_regex or in the table"
            )
        return notes
