"""Gaofen-3 spotlight images with optical images of the same ground; the configuration names the collection."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import pairs

PATCH_SIZE = 256
_FOLDERS = {"sar_256_oc_0.2": "sar", "opt_256_oc_0.2": "optical"}

BLOCK = 1000
"""Crops in a block; blocks, not crops, are dealt to the splits."""
MARGIN = 200
"""Crops left out where one split ends and another begins.

20,000 crops come from three areas: were an area square, its rows would be some 80 crops long. 200 is more than two such
rows, which covers the neighbour in the next row, and leaves room for areas that are longer than wide.
"""


def layout(path: Path) -> pairs.Patch | None:
    """Reads ``sar_256_oc_0.2/N.png`` and ``opt_256_oc_0.2/N.png``; the scene is the block of ``N``."""
    kind = _FOLDERS.get(path.parent.name)
    if kind is None or not path.stem.isdecimal():
        return None
    number = int(path.stem)
    return pairs.Patch(kind=kind, id=f"{number:05d}", scene=str((number - 1) // BLOCK))  # pyright: ignore[reportArgumentType]


def split_of(number: int) -> str | None:
    """The split of crop ``number`` (from 1), or None where it is left out.

    QXS-SAROPT does not say where its crops come from. They were cut with 20 % overlap (the folders' 0.2), one after
    the other, so near numbers share ground and a split by random numbers would test on what was trained on. Hence
    runs of ``BLOCK`` numbers go to one split: of every ten blocks eight to train, one to validation, one to test. Where
    the split changes, the first ``MARGIN`` numbers of the new block are left out: 5 % of the data. Crops of the same
    ground in two different source images, if there are any, cannot be told from the numbers.
    """
    block, offset = divmod(number - 1, BLOCK)
    split = _split_of_block(block)
    if offset < MARGIN and block > 0 and _split_of_block(block - 1) != split:
        return None
    return split


def _split_of_block(block: int) -> str:
    return {8: "validation", 9: "test"}.get(block % 10, "train")


class Builder(tfds.core.GeneratorBasedBuilder):
    """Reads 256 x 256 PNG pairs and stores them, split by blocks of consecutive crops."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release: QXS-SAROPT."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name="qxs_saropt", description="QXS-SAROPT: 20,000 crops of three port cities, 1 m."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download QXS-SAROPT (links at https://github.com/yaoxu008/QXS-SAROPT) and unpack it, so that below manual_dir stand
    the folders sar_256_oc_0.2 and opt_256_oc_0.2.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=pairs.features(PATCH_SIZE),
            homepage="https://github.com/yaoxu008/QXS-SAROPT",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        found = pairs.read_pairs(
            os.fspath(dl_manager.manual_dir), layout, expected="sar_256_oc_0.2/1.png", size=PATCH_SIZE
        )
        splits = pairs.by_split(found, lambda patch: split_of(int(patch.id)))
        self.info.metadata.update(scenes=pairs.count_scenes(splits))  # pyright: ignore[reportOptionalMemberAccess]
        return {name: self._generate_examples(members) for name, members in splits.items()}

    def _generate_examples(self, members: list[pairs.Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
        for pair in members:
            yield pair.patch.id, pairs.example(pair)
