"""What all builders of files share: a TFDS builder that finds, checks, splits, audits and then writes pairs."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from tfds_builders import audit, files, finding, shuffling, splits
from tfds_builders.bad_files import BadFile, BadFilesError, counted, shown, told_dropped
from tfds_builders.description import ImageDescription, content_digest
from tfds_builders.sources import SourceFiles
from tfds_builders.values import MAX_SHARE, Shares


@dataclasses.dataclass(eq=False)
class PairsConfig(tfds.core.BuilderConfig):
    """A configuration, whole or a subset.

    Attributes:
        season: only pairs of this season; None is all.
        share: only this share of the pairs, drawn by a hash of their ids.
    """

    season: str | None = None
    share: float = 1.0


class PairsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Turns folders of image files into a TFDS dataset; a dataset's own class says only what differs.

    Attributes:
        skip_bad: leave bad files, their partners and near-duplicates out and record them, instead of stopping.
        processes: how many decode files. More than one asks for a main module that can be imported again, as all
            multiprocessing does; hence the default for builders that are made inside of somebody's script.
        report: where the audit is written, where not beside the folder of the version.
    """

    skip_bad: bool = False
    processes: int = 1
    report: Path | None = None

    @property
    def config(self) -> PairsConfig:
        """The configuration, with its type."""
        assert isinstance(self.builder_config, PairsConfig)
        return self.builder_config

    @property
    def homepage(self) -> str:
        """Where the dataset comes from."""
        raise NotImplementedError

    @property
    def expected(self) -> str:
        """An example of a file's place below ``manual_dir``, for the message when there is none."""
        raise NotImplementedError

    @property
    def formats(self) -> dict[files.Kind, files.Format]:
        """How the files of each kind are read."""
        raise NotImplementedError

    @property
    def descriptions(self) -> dict[files.Kind, ImageDescription]:
        """What the values of each kind of image mean."""
        raise NotImplementedError

    @property
    def ground_sampling_m(self) -> float | None:
        """Metres per pixel; None where that is unknown."""
        return None

    def layout(self, path: Path) -> files.Patch | None:
        """The patch in a file, or None for a file that is none of the dataset's."""
        raise NotImplementedError

    def find_pairs(self, root: Path) -> tuple[list[files.Pair], list[BadFile]]:
        """All pairs below a folder, and the files that cannot be used; see ``finding.find_pairs``."""
        return finding.find_pairs(root, self.layout)

    def source_files(self, root: Path) -> SourceFiles:
        """The files of this configuration below a folder, by their names alone."""
        pairs, bad = self.find_pairs(root)
        return SourceFiles.of(filter(self._wanted_pair, pairs), bad, root=root, table=self.table)

    @property
    def misfits(self) -> Mapping[str, BadFile]:
        """Pairs whose images do not belong together, by their ids, each with the file that is named as bad."""
        return {}

    @property
    def table(self) -> Path | None:
        """The table that names the files, where there is one."""
        return None

    @property
    def scene_rule(self) -> str:
        """What made the scenes, in words."""
        raise NotImplementedError

    def scene_key(self, patch: files.Patch) -> tuple[str, str]:
        """What makes two patches belong to one scene: (season or nothing, scene)."""
        return splits.by_location(patch)

    @property
    def max_missing(self) -> float:
        """Share of a tile's pixels that may have no value in one of its images."""
        return 0.0

    def refusal(self, shares: Mapping[files.Kind, list[Shares]]) -> str | None:
        """Why images with such values are not to be stored, for each kind and band; None if they may be."""
        for kind, bands in shares.items():
            for band, share in enumerate(bands, start=1):
                if share.equal > MAX_SHARE:
                    return (
                        f"{kind}: {share.equal:.1%} of the values of band {band} are {share.value}, expected less than "
                        f"half of {self.info.full_name}. Nothing was written."
                    )
        return None

    @property
    def rules(self) -> dict[str, str]:
        """What made the examples and their scenes, in words."""
        return {"scenes": self.scene_rule}

    def notes(self, checked: files.Checked, missing: Mapping[files.Kind, int]) -> list[str]:
        """What its owner is to know, in sentences; ``missing`` counts pixels without a value in their file."""
        del checked
        return [f"{kind}: {count:,} pixels have no value in their file" for kind, count in missing.items() if count]

    def split_of(self, patch: files.Patch) -> str | None:
        """The split of a patch; None leaves it out."""
        return splits.split_of(patch.season, patch.scene)

    def divide(self, pairs: Sequence[files.Pair]) -> splits.Division:
        """The pairs sorted into splits."""
        return splits.Division(members=splits.by_split(pairs, self.split_of), rule="by a hash of the scene")

    @property
    def report_path(self) -> Path:
        """See the function ``report_path``."""
        return self.report or report_path(self)

    def download_and_prepare(self, **settings: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See ``tfds.core.DatasetBuilder``; splits of any size need no TensorFlow."""
        with shuffling.without_tensorflow():
            super().download_and_prepare(**settings)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features(self.formats), homepage=self.homepage, metadata=tfds.core.MetadataDict()
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        root = Path(os.fspath(dl_manager.manual_dir))
        pairs, bad = self.find_pairs(root)
        if not pairs and not bad:
            raise FileNotFoundError(f"No pairs under {root}: expected files such as {self.expected}.")
        pairs = list(filter(self._wanted_pair, pairs))
        source = SourceFiles.of(pairs, bad, root=root, table=self.table)
        self._check_disk(source.bytes)
        bad += self.misfits.values()
        pairs = [pair for pair in pairs if pair.patch.id not in self.misfits]
        checked = files.check_pairs(pairs, self.formats, processes=self.processes, max_missing=self.max_missing)
        facts = checked.facts
        shares: dict[files.Kind, list[Shares]] = {kind: tally.shares() for kind, tally in checked.tallies.items()}
        if (why := self.refusal(shares)) is not None:
            raise ValueError(why)
        bad += checked.bad
        if bad and not self.skip_bad:
            raise BadFilesError(bad, root=root)

        good = [pair for pair in pairs if pair.patch.id in facts]
        division = self.divide(good)
        if not division.members:
            reasons = [f"{counted(len(bad), 'file is', 'files are')} bad", *told_dropped(checked.dropped)]
            raise ValueError(f"No pairs are left of {root} for {self.info.full_name}: {'; '.join(reasons)}.")
        left_out = [{"path": shown(path), "reason": reason} for path, reason in sorted(bad)]
        left_out += [{"pair": name, "reason": reason} for name, reason in checked.dropped.items()]
        members = self._audited(division.members, facts, left_out)
        largest = max(map(len, members.values())) * source.bytes // len(good)
        self._check_disk(source.bytes + shuffling.copied(largest))
        found = statistics(members, facts)
        for kind, values in found.items():
            values["values"] = [share.as_json() for share in shares[kind]]
        self.info.metadata.update(  # pyright: ignore[reportOptionalMemberAccess]
            scenes=splits.count_scenes(members, self.scene_key),
            rules={**self.rules, "splits": division.rule},
            source=source.as_json(),
            skip_bad=self.skip_bad,
            statistics=found,
            notes=self.notes(checked, {kind: values["missing"] for kind, values in found.items()}),
            left_out=len(left_out),
            images={kind: found.as_json() for kind, found in self.descriptions.items()},
            ground_sampling_m=self.ground_sampling_m,
            content={name: content(pairs, facts) for name, pairs in members.items()},
        )
        return {name: self._generate_examples(pairs, split=name) for name, pairs in members.items()}

    def _generate_examples(self, pairs: Sequence[files.Pair], *, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        stored = files.stored_pairs(pairs, self.formats, processes=self.processes)
        for pair, images in tqdm(stored, total=len(pairs), desc=f"Writing {split}", unit=" pairs", disable=None):
            patch = pair.patch
            yield (
                patch.id,
                {**images, "id": patch.id, "season": patch.season, "scene": patch.scene, "terrain": patch.terrain},
            )

    def _wanted_pair(self, pair: files.Pair) -> bool:
        config, patch = self.config, pair.patch
        return (config.season is None or patch.season.endswith(config.season)) and (
            config.share >= 1 or splits.in_share(patch.id, config.share)
        )

    def _check_disk(self, needed: int) -> None:
        """Raises OSError where so many bytes, for a dataset about as large as its files, are not free."""
        place = Path(self.data_path)
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise OSError(
                f"{self.info.full_name} needs about {needed / 1e9:,.3f} GB, "
                f"but only {free / 1e9:,.3f} GB are free in {place}."
            )

    def _audited(
        self, members: dict[str, list[files.Pair]], facts: Mapping[str, files.Facts], left_out: list[dict[str, str]]
    ) -> dict[str, list[files.Pair]]:
        """The splits if they do not leak, and the report on disk either way."""
        found = audit.audit(members, facts, self.formats, processes=self.processes, scene_key=self.scene_key)
        if self.skip_bad and found.near_duplicates:
            members, dropped = audit.without_duplicates(members, found)
            for name, why in sorted(dropped.items()):
                reason = f"its {why.kind} image is that of {why.second} in the split {why.second_split}"
                left_out.append({"pair": name, "reason": reason})
            found = dataclasses.replace(
                found,
                near_duplicates=[],
                pairs={name: len(pairs) for name, pairs in members.items()},
                scenes=splits.count_scenes(members, self.scene_key),
            )
        self.report_path.parent.mkdir(parents=True, exist_ok=True)
        report = {"dataset": self.info.full_name, **found.as_json(), "left_out": left_out}
        temporary = self.report_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(report, indent=2) + "\n")
        temporary.replace(self.report_path)
        if not found.clean:
            raise audit.LeakError(
                f"{found.table()}\nThe splits of {self.info.full_name} share ground; everything found is listed in "
                f"{self.report_path}. Nothing was written. --skip_bad leaves near-duplicates out of the earlier split."
            )
        return members


def report_path(builder: tfds.core.DatasetBuilder) -> Path:
    """Where the audit and what was left out are written, beside the folder of the version."""
    return Path(builder.data_path).parent / f"audit_{builder.version}.json"


def features(formats: Mapping[files.Kind, files.Format]) -> tfds.features.FeaturesDict:
    """What is stored of a pair: the two images, and where they come from."""
    images = {
        kind: tfds.features.Tensor(shape=form.shape, dtype=np.uint8, encoding="zlib")
        if form.encoding == "zlib"
        else tfds.features.Image(shape=form.shape, encoding_format=form.encoding)
        for kind, form in formats.items()
    }
    texts = {name: tfds.features.Text() for name in ("id", "season", "scene", "terrain")}
    return tfds.features.FeaturesDict({**images, **texts})


def content(pairs: Sequence[files.Pair], facts: Mapping[str, files.Facts]) -> str:
    """The digest of the images of some pairs; see ``description.content_digest``."""
    found = ((pair.patch.id, facts[pair.patch.id]) for pair in pairs)
    return content_digest((name, images.sar.digest, images.optical.digest) for name, images in found)


def statistics(
    members: Mapping[str, Sequence[files.Pair]], facts: Mapping[str, files.Facts]
) -> dict[files.Kind, dict[str, Any]]:
    """Mean and standard deviation of each channel over all splits, of the values 0 .. 255.

    With them ``missing``: how many pixels have no value in their file, and are counted with what is stored instead.
    """
    result = {}
    for kind in files.KINDS:
        found = [getattr(facts[pair.patch.id], kind) for pairs in members.values() for pair in pairs]
        pixels = sum(image.pixels for image in found)
        mean = np.sum([image.total for image in found], axis=0) / pixels
        mean_square = np.sum([image.total_square for image in found], axis=0) / pixels
        deviation = np.sqrt(np.maximum(mean_square - mean**2, 0))
        result[kind] = {"mean": mean.round(3).tolist(), "std": deviation.round(3).tolist()}
        result[kind]["missing"] = sum(image.missing for image in found)
    return result


def share_line(kind: str, band: int, share: Mapping[str, Any]) -> str:
    """How much of a band is clipped and how much is one value, for people; ``share`` as in the statistics."""
    return (
        f"{kind} band {band}: {share['below']:.1%} of the values clipped to 0, {share['above']:.1%} to 255; the most "
        f"frequent stored value is {share['value']}, {share['equal']:.1%} of all"
    )
