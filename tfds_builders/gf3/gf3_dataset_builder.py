"""Gaofen-3 images with optical images of the same ground; the configuration names the collection.

None of these collections says where a crop was cut, so all are split by blocks of running numbers.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import tensorflow_datasets as tfds

from tfds_builders import files, splits
from tfds_builders.bad_files import counted
from tfds_builders.builder import PairsBuilder, PairsConfig
from tfds_builders.description import RGB, ImageDescription


class Crop(NamedTuple):
    """One file of a collection of numbered crops."""

    kind: files.Kind
    number: int  # from 1, in the order in which the crops were cut
    prefix: str = ""  # of the id, where numbers start anew
    terrain: str = ""

    @property
    def id(self) -> str:
        """The id of its pair."""
        return f"{self.prefix}{self.number:05d}"


@dataclasses.dataclass(eq=False)
class CollectionConfig(PairsConfig):
    """One public collection.

    Attributes:
        crop: reads a file's path, None for a file that is none of the collection's.
        size: height and width of its images in pixels.
        ground_sampling_m: metres per pixel.
        encoding: of its files.
        blocks: how its crops are dealt to the splits.
        homepage: where it comes from.
        expected: the place of one of its files.
        how_to_get: what to do when it is missing.
    """

    crop: Callable[[Path], Crop | None] = lambda path: None
    size: int = 256
    ground_sampling_m: float = 1.0
    encoding: Literal["png", "jpeg"] = "png"
    blocks: splits.Blocks = splits.Blocks()  # noqa: RUF009  frozen
    homepage: str = ""
    expected: str = ""
    how_to_get: str = ""


def qxs_saropt(path: Path) -> Crop | None:
    """Reads ``sar_256_oc_0.2/N.png`` and ``opt_256_oc_0.2/N.png``."""
    folders: dict[str, files.Kind] = {"sar_256_oc_0.2": "sar", "opt_256_oc_0.2": "optical"}
    kind = folders.get(path.parent.name)
    if kind is None or path.suffix != ".png" or not path.stem.isdecimal():
        return None
    return Crop(kind, int(path.stem))


def osdataset(path: Path, *, size: int) -> Crop | None:
    """Reads ``train/sarN.png`` with ``train/optN.png``, and the same in ``val`` and ``test``.

    The folder becomes part of the id, as numbers may start anew in each, but has no say in the split. Both sizes of the
    collection may stand in one folder, below ``512`` and ``256``.
    """
    name = re.fullmatch(r"(sar|opt)_?(\d+)\.png", path.name)
    if name is None or path.parent.name not in ("train", "val", "test"):
        return None
    if path.parent.parent.name in ("256", "512") and path.parent.parent.name != str(size):
        return None
    return Crop("sar" if name[1] == "sar" else "optical", int(name[2]), prefix=f"{path.parent.name}_")


def three_mos(path: Path) -> Crop | None:
    """Reads ``GF3/sar/sar_ID.jpg`` with ``GF3/opt/TERRAIN/opt_ID.jpg``; other satellites' folders are passed over."""
    name = re.fullmatch(r"(sar|opt)_(\d+)\.jpg", path.name)
    if name is None or "GF3" not in path.parts:
        return None
    if name[1] == "sar":
        return Crop("sar", int(name[2]))
    folder = path.parent.name
    return Crop("optical", int(name[2]), terrain="" if folder == "opt" else folder)


def _osdataset_512(path: Path) -> Crop | None:
    return osdataset(path, size=512)


def _osdataset_256(path: Path) -> Crop | None:
    return osdataset(path, size=256)


_QXS = CollectionConfig(
    name="qxs_saropt",
    description="QXS-SAROPT: 20,000 crops of three port cities, 1 m a pixel.",
    crop=qxs_saropt,
    homepage="https://github.com/yaoxu008/QXS-SAROPT",
    expected="sar_256_oc_0.2/1.png",
    how_to_get="""
    Download QXS-SAROPT (links at https://github.com/yaoxu008/QXS-SAROPT; Huang et al. 2021, to be cited in research;
    the optical images are from Google Earth, whose terms hold for other uses) and unpack it, so that below manual_dir
    stand the folders sar_256_oc_0.2 and opt_256_oc_0.2.
    """,
)
_OSDATASET = CollectionConfig(
    name="osdataset",
    description="OSdataset: crops of 512 x 512 pixels of cities, 1 m a pixel.",
    crop=_osdataset_512,
    size=512,
    blocks=splits.Blocks(size=100, margin=40),
    homepage="https://doi.org/10.1109/JSTARS.2020.3026162",
    expected="train/sar1.png",
    how_to_get="""
    Ask the authors of OSdataset for it (Xiang et al. 2020, https://doi.org/10.1109/JSTARS.2020.3026162, to be cited in
    research; the optical images are from Google Earth, whose terms hold for other uses) and unpack it, so that below
    manual_dir stand the folders train, val and test, in each of them sarN.png beside optN.png.
    """,
)
_THREE_MOS = CollectionConfig(
    name="three_mos",
    description="The Gaofen-3 part of 3MOS: crops of 256 x 256 pixels with their terrain, 3.5 m a pixel.",
    crop=three_mos,
    ground_sampling_m=3.5,
    encoding="jpeg",
    homepage="https://github.com/3M-OS/3MOS",
    expected="GF3/sar/sar_1.jpg",
    how_to_get="""
    Download 3MOS (links at https://github.com/3M-OS/3MOS; Ye et al. 2024, to be cited in research) and unpack it, so
    that below manual_dir stand the folders GF3/sar and GF3/opt/TERRAIN.
    """,
)


def _tenth(config: CollectionConfig) -> CollectionConfig:
    """A tenth of a collection."""
    return dataclasses.replace(
        config,
        name=f"{config.name}_10pct",
        description="A tenth, for quick work. " + str(config.description),
        share=0.1,
    )


_OSDATASET_256 = dataclasses.replace(
    _OSDATASET,
    name="osdataset_256",
    description="OSdataset: crops of 256 x 256 pixels of cities, 1 m a pixel.",
    crop=_osdataset_256,
    size=256,
    blocks=splits.Blocks(size=400, margin=160),
)
_COLLECTIONS = (_QXS, _OSDATASET, _OSDATASET_256, _THREE_MOS)


class Builder(PairsBuilder):
    """Stores the files of one collection unchanged, split by blocks of consecutive crops."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release: splits by blocks of crops."}  # noqa: RUF012
    BUILDER_CONFIGS = [*_COLLECTIONS, *map(_tenth, _COLLECTIONS)]  # noqa: RUF012

    @property
    def collection(self) -> CollectionConfig:
        """The configuration, with its type."""
        assert isinstance(self.builder_config, CollectionConfig)
        return self.builder_config

    @property
    def MANUAL_DOWNLOAD_INSTRUCTIONS(self) -> str:
        """How to get the collection."""
        return self.collection.how_to_get

    @property
    def homepage(self) -> str:
        """Where the collection comes from."""
        return self.collection.homepage

    @property
    def expected(self) -> str:
        """The place of one of its files."""
        return self.collection.expected

    @property
    def formats(self) -> dict[files.Kind, files.Format]:
        """8-bit images of one size."""
        size, encoding = self.collection.size, self.collection.encoding
        return {
            "sar": files.EightBit(size=size, mode="L", encoding=encoding),
            "optical": files.EightBit(size=size, mode="RGB", encoding=encoding),
        }

    @property
    def descriptions(self) -> dict[files.Kind, ImageDescription]:
        """Grey levels of one polarisation, which the collections do not state, and colours."""
        return {"sar": ImageDescription(bands=("band 1",)), "optical": ImageDescription(bands=RGB)}

    @property
    def ground_sampling_m(self) -> float:
        """See ``CollectionConfig``."""
        return self.collection.ground_sampling_m

    @property
    def scene_rule(self) -> str:
        """See ``PairsBuilder``."""
        return "blocks of consecutive numbers, as no crop says where it comes from"

    def layout(self, path: Path) -> files.Patch | None:
        """The crop in a file; the block of its number stands in for its scene."""
        if (crop := self.collection.crop(path)) is None:
            return None
        block = self.collection.blocks.block_of(crop.number)
        return files.Patch(crop.kind, crop.id, scene=str(block), terrain=crop.terrain)

    def split_of(self, patch: files.Patch) -> str | None:
        """By the number, with which every id ends."""
        return self.collection.blocks.split_of(int(patch.id.rpartition("_")[2]))

    def divide(self, pairs: Sequence[files.Pair]) -> splits.Division:
        """The pairs sorted into splits, without the margins of the blocks."""
        found = super().divide(pairs)
        left_out = len(pairs) - sum(map(len, found.members.values()))
        return dataclasses.replace(
            found, rule=f"eight, one and one of every ten blocks; {counted(left_out, 'crop')} between them left out"
        )
