"""Anybody's own pairs: two folders, or a table. The configuration is made from the files and what is said of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import files, splits
from tfds_builders.bad_files import BadFile, BadFilesError, told_dropped
from tfds_builders.builder import PairsBuilder, PairsConfig
from tfds_builders.description import ImageDescription
from tfds_builders.pairs import metadata, places, ranges
from tfds_builders.pairs.cut import Cut, cut
from tfds_builders.pairs.find import EXPECTED, Found, find
from tfds_builders.pairs.names import without_time
from tfds_builders.pairs.raster import Raster
from tfds_builders.pairs.settings import Settings
from tfds_builders.pairs.survey import survey
from tfds_builders.values import Shares


@dataclasses.dataclass(eq=False)
class OwnConfig(PairsConfig):
    """One dataset of somebody's own, found and surveyed.

    Attributes:
        found: all of it, as far as names tell.
        cut: how scenes were cut into tiles, where they were.
        misfits: pairs whose images do not belong together, by their ids.
        images: how the images of each kind are read.
        nodata: the value that marks missing pixels, of each kind, where it is stated.
        ground_sampling_m: metres per pixel, where all files state the same.
        notes: what the survey has to say, in sentences.
        settings: what its owner stated.
    """

    # Not shown: TFDS logs the configuration as a whole, with every pair.
    found: Found = dataclasses.field(default_factory=lambda: Found(pairs=[], bad=[]), repr=False)
    cut: Cut | None = dataclasses.field(default=None, repr=False)
    misfits: Mapping[str, BadFile] = dataclasses.field(default_factory=dict, repr=False)
    images: dict[files.Kind, Raster] = dataclasses.field(default_factory=dict, repr=False)
    nodata: dict[files.Kind, float | None] = dataclasses.field(default_factory=dict, repr=False)
    ground_sampling_m: float | None = None
    notes: list[str] = dataclasses.field(default_factory=list, repr=False)
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
        processes: how many read headers, and decode files where a range is to be measured.

    Raises:
        ValueError: the files and the settings do not go together, or none can be used (``BadFilesError``).
        FileNotFoundError: there are no pairs.
    """
    found = find(root, scene_regex=settings.scene_regex)
    if not found.pairs:
        if found.bad:
            raise BadFilesError(found.bad, root=root)
        raise FileNotFoundError(f"No pairs under {root}: expected {EXPECTED}.")
    pieces, pairs = None, found.pairs
    if settings.tile is not None:
        pieces = cut(found, tile=settings.tile, stride=settings.stride, processes=processes)
        found, pairs = pieces.found, pieces.tiles
        if not pairs:
            raise BadFilesError([*found.bad, *pieces.misfits.values()], root=root)
    seen = survey(pairs, settings, root=root, processes=processes)
    return OwnConfig(
        name=name,
        description="Somebody's own pairs.",
        found=found,
        cut=pieces,
        misfits={**seen.misfits, **(pieces.misfits if pieces else {})},
        images=seen.images,
        nodata=seen.nodata,
        ground_sampling_m=seen.ground_sampling_m,
        notes=seen.notes,
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
        own = self.own
        return {kind: metadata.describe(form, kind, own.nodata[kind]) for kind, form in own.images.items()}

    @property
    def ground_sampling_m(self) -> float | None:
        """As surveyed."""
        return self.own.ground_sampling_m

    def find_pairs(self, root: Path) -> tuple[list[files.Pair], list[BadFile]]:
        """As found when the configuration was made."""
        return self.own.found.pairs, list(self.own.found.bad)

    @property
    def misfits(self) -> Mapping[str, BadFile]:
        """As surveyed."""
        return self.own.misfits

    @property
    def table(self) -> Path | None:
        """``pairs.csv``, where it names the files."""
        return self.own.found.table

    @property
    def scene_rule(self) -> str:
        """What made the scenes, in words."""
        return self.own.found.scene_rule

    @property
    def rules(self) -> dict[str, str]:
        """With what was cut."""
        pieces = self.own.cut
        return super().rules if pieces is None else {"tiles": pieces.rule, **super().rules}

    @property
    def max_missing(self) -> float:
        """As its owner says."""
        return self.own.settings.max_nodata or 0.0

    def divide(self, pairs: Sequence[files.Pair]) -> splits.Division:
        """As the owner says, else by scene, and a scene is a location; few scenes that were cut are divided."""
        found, pieces = self.own.found, self.own.cut
        if (given := found.splits) is None:
            if pieces is not None:
                return places.divide(pairs, pieces.georeferences)
            return splits.deal(pairs, numbered=lambda patch: without_time(patch.id.removeprefix(f"{patch.season}/")))
        return splits.Division(members=splits.by_split(pairs, lambda patch: given[patch.id]), rule=found.split_rule)

    def refusal(self, shares: Mapping[files.Kind, list[Shares]]) -> str | None:
        """With what the values look like, and what would fit them."""
        own = self.own
        for kind, form in own.images.items():
            if (why := metadata.refusal(kind, form, own.settings.reading(kind), shares[kind])) is not None:
                unstretched = dataclasses.replace(form, limits=None)
                seen = ranges.look(kind, unstretched, [pair.image(kind) for pair in own.pairs])
                return why if seen is None else f"{why}\n{seen}"
        return None

    def notes(self, checked: files.Checked, missing: Mapping[files.Kind, int]) -> list[str]:
        """What was surveyed and seen, and what the splits rest on."""
        lines = told_dropped(checked.dropped) + self.own.notes
        lines += metadata.notes(self.own.images, checked.facts, missing)
        if self.own.found.lone and self.own.found.splits is None:
            lines.append(
                "every pair counts as a scene of its own, so neighbouring crops may stand in different splits: sort "
                "them into subfolders, or name the scene by --scene_regex or in the table"
            )
        return lines

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        generators = super()._split_generators(dl_manager)
        own = self.own
        self.info.metadata.update(  # pyright: ignore[reportOptionalMemberAccess]
            settings=own.settings.as_json(),
            scaling={kind: metadata.scaling(own.images[kind], own.settings.reading(kind)) for kind in files.KINDS},
        )
        return generators
