"""SEN1-2: Sentinel-1 and Sentinel-2 patches, in the original folders or in the subset sorted by terrain."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders import pairs

PATCH_SIZE = 256
_FILE_NAME = re.compile(r"(?P<season>ROIs\d+_[a-z]+)_s(?P<sensor>[12])_(?P<scene>\d+)_p(?P<patch>\d+)\.png")


def layout(path: Path) -> pairs.Patch | None:
    """Reads ``SEASON/s1_SCENE/SEASON_s1_SCENE_pPATCH.png`` and ``TERRAIN/s1/SEASON_s1_SCENE_pPATCH.png`` alike.

    The file names are the same in both; only the second has a folder named ``s1`` or ``s2``, below one named after a
    terrain.
    """
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        return None
    return pairs.Patch(
        kind="sar" if name["sensor"] == "1" else "optical",
        id=f"{name['season']}_{name['scene']}_p{name['patch']}",
        scene=name["scene"],
        season=name["season"],
        terrain=path.parent.parent.name if path.parent.name in ("s1", "s2") else "",
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Reads the PNG files of SEN1-2 and stores them unchanged, split by scene."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release: splits by scene."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download SEN1-2 (https://mediatum.ub.tum.de/1436631) and unpack it, whole or in part, so that below manual_dir
    stand folders such as ROIs1158_spring/s1_0 and ROIs1158_spring/s2_0; or unpack the subset sorted by terrain, with
    v_2/agri/s1 and v_2/agri/s2.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=pairs.features(PATCH_SIZE),
            homepage="https://mediatum.ub.tum.de/1436631",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        found = pairs.read_pairs(
            os.fspath(dl_manager.manual_dir),
            layout,
            expected="ROIs1158_spring/s1_0/ROIs1158_spring_s1_0_p1.png or agri/s1/ROIs1970_fall_s1_13_p265.png",
            size=PATCH_SIZE,
        )
        splits = pairs.by_split(found, lambda patch: pairs.split_of(patch.season, patch.scene))
        self.info.metadata.update(scenes=pairs.count_scenes(splits))  # pyright: ignore[reportOptionalMemberAccess]
        return {name: self._generate_examples(members) for name, members in splits.items()}

    def _generate_examples(self, members: list[pairs.Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
        for pair in members:
            yield pair.patch.id, pairs.example(pair)
