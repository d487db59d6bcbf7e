"""SEN1-2: Sentinel-1 and Sentinel-2 patches, in the original folders or in the subset sorted by terrain."""

import re
from pathlib import Path

import tensorflow_datasets as tfds

from tfds_builders import files, splits
from tfds_builders.builder import PairsBuilder, PairsConfig
from tfds_builders.description import RGB, ImageDescription

PATCH_SIZE = 256
SEASONS = ("spring", "summer", "fall", "winter")
TERRAINS = ("agri", "barrenland", "grassland", "urban")
"""Folders of the subset that is sorted by terrain."""
_FILE_NAME = re.compile(r"(?P<season>ROIs\d+_[a-z]+)_s(?P<sensor>[12])_(?P<scene>\d+)_p(?P<patch>\d+)\.png")


def layout(path: Path) -> files.Patch | None:
    """Reads ``SEASON/s1_SCENE/SEASON_s1_SCENE_pPATCH.png`` and ``TERRAIN/s1/SEASON_s1_SCENE_pPATCH.png`` alike.

    The file names are the same in both; only the second has a folder named ``s1`` or ``s2``, below one of ``TERRAINS``.
    """
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        return None
    terrain = path.parent.parent.name
    return files.Patch(
        kind="sar" if name["sensor"] == "1" else "optical",
        id=f"{name['season']}_{name['scene']}_p{name['patch']}",
        scene=name["scene"],
        season=name["season"],
        terrain=terrain if path.parent.name in ("s1", "s2") and terrain in TERRAINS else "",
    )


class Builder(PairsBuilder):
    """Reads the PNG files of SEN1-2 and stores them unchanged, split by scene."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release: splits by scene."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        PairsConfig(name="all", description="All pairs that are there."),
        *(PairsConfig(name=name, description=f"The pairs of {name} only.", season=f"_{name}") for name in SEASONS),
        PairsConfig(name="10pct", description="A tenth of the pairs, for quick work.", share=0.1),
        PairsConfig(name="1pct", description="A hundredth of the pairs, for quick work.", share=0.01),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download SEN1-2 (https://mediatum.ub.tum.de/1436631, CC-BY 4.0: free for any use that names its authors, Schmitt,
    Hughes and Zhu 2018) and unpack it, whole or in part, so that below manual_dir stand folders such as
    ROIs1158_spring/s1_0 and ROIs1158_spring/s2_0; or unpack the subset sorted by terrain, with v_2/agri/s1 and
    v_2/agri/s2.
    """

    @property
    def homepage(self) -> str:
        """The archive of the authors' university."""
        return "https://mediatum.ub.tum.de/1436631"

    @property
    def expected(self) -> str:
        """One place in each of the two layouts."""
        return "ROIs1158_spring/s1_0/ROIs1158_spring_s1_0_p1.png or agri/s1/ROIs1970_fall_s1_13_p265.png"

    @property
    def formats(self) -> dict[files.Kind, files.Format]:
        """8-bit PNG, VV and RGB."""
        return {
            "sar": files.EightBit(size=PATCH_SIZE, mode="L"),
            "optical": files.EightBit(size=PATCH_SIZE, mode="RGB"),
        }

    @property
    def descriptions(self) -> dict[files.Kind, ImageDescription]:
        """VV and the colours; the collection does not state which dB became which grey level."""
        return {"sar": ImageDescription(bands=("VV",)), "optical": ImageDescription(bands=RGB)}

    @property
    def ground_sampling_m(self) -> float:
        """That of both satellites' products."""
        return 10.0

    @property
    def scene_rule(self) -> str:
        """See ``PairsBuilder``."""
        return "the season and the number in a file's name, as numbers start anew in each season"

    def scene_key(self, patch: files.Patch) -> tuple[str, str]:
        """With the season."""
        return splits.by_season_and_number(patch)

    def layout(self, path: Path) -> files.Patch | None:
        """See the function ``layout``."""
        return layout(path)
