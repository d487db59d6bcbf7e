"""Prepared TFDS datasets: what they say about themselves, and random access to their pairs. Without TensorFlow."""

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants

from sar2opt_jax import paths
from sar2opt_jax.data.encoded import EncodedImage

_VERSION = re.compile(r"\d+\.\d+\.\d+")

Example = Mapping[str, Any]
"""One stored pair: ``sar`` [h, w, channel] and ``optical`` [h, w, 3], both uint8, and ``id``."""


class Source(Protocol):
    """Random access to stored pairs: a TFDS data source, or a list."""

    def __len__(self) -> int:
        """How many pairs."""
        ...

    def __getitem__(self, index: int, /) -> Example:
        """The pair at ``index``."""
        ...


class StoredPairs:
    """The pairs of a prepared split: random access, decoded as they are read."""

    def __init__(self, stored: Source, features: Mapping[str, Any]):
        """Takes a data source that leaves the images of ``features`` encoded."""
        self._stored = stored
        self._shapes = {name: feature.shape for name, feature in features.items() if _is_image(feature)}

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int, /) -> Example:
        example = self.encoded(index)
        return {**example, **{name: example[name].decoded() for name in self._shapes}}

    def encoded(self, index: int, /) -> Example:
        """The pair with each image an ``EncodedImage``, of which a crop is decoded at less cost than the whole."""
        if not 0 <= index < len(self):  # Also what ends a ``for`` over the pairs.
            raise IndexError(f"There are {len(self)} pairs; got index {index}.")
        example = self._stored[index]
        return {**example, **{name: EncodedImage(example[name], shape) for name, shape in self._shapes.items()}}


class Prepared:
    """A prepared dataset: the newest version, if there are several.

    Attributes:
        name: with its configuration where it is not the default one: ``sen12``, ``simulated/tiny``.
        directory: of the version.
    """

    def __init__(self, name: str, *, data_dir: str | os.PathLike[str] | None = None):
        """Finds the dataset; no image is read.

        Args:
            name: dataset, with its configuration where it is not the default one.
            data_dir: where prepared datasets are stored; None is TFDS's default, ``~/tensorflow_datasets``.

        Raises:
            FileNotFoundError: there is no ``data_dir``, or the dataset was not prepared in it.
            ValueError: ``data_dir`` is no path on this machine.
        """
        root = paths.local_path(constants.DATA_DIR if data_dir is None else data_dir, "data_dir")
        self.name = name
        self.directory = _newest_version(name, root)
        self._builder = tfds.builder_from_directory(self.directory)
        self._features = cast(Mapping[str, Any], self._builder.info.features)
        self._metadata = dict(self._builder.info.metadata or {})

    @property
    def version(self) -> str:
        """Of the prepared files, such as ``1.0.0``."""
        return self.directory.name

    @property
    def sizes(self) -> dict[str, int]:
        """The number of pairs in each split."""
        return {key: info.num_examples for key, info in self._builder.info.splits.items()}

    @property
    def image_size(self) -> tuple[int | None, int | None]:
        """Height and width in pixels of all images; None where they differ."""
        return self._features["optical"].shape[:2]

    @property
    def ground_sampling_m(self) -> float | None:
        """Metres per pixel, where they are known."""
        return self._metadata.get("ground_sampling_m")

    def image_format(self, kind: str) -> dict[str, Any]:
        """How the images of one kind, ``sar`` or ``optical``, were scaled to 0 .. 255, as plain JSON.

        The fields are ``bands``, ``quantity``, ``scale``, ``limits``, ``dtype``, ``nodata`` and ``masked_value``; of a
        dataset prepared by an earlier version those that it states.
        """
        if (images := self._metadata.get("images")) is not None:
            return dict(images[kind])
        channels = self._features[kind].shape[-1]
        bands = ["red", "green", "blue"] if kind == "optical" else [f"band {i + 1}" for i in range(channels)]
        stated = self._metadata.get("scaling", {}).get(kind, {})  # Of ``pairs`` before 0.2.
        if stated.get("limits") is None:
            return {"bands": bands}
        return {"bands": bands, "quantity": "unknown", "scale": stated["scale"], "limits": stated["limits"]}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of the content and its scaling, wherever the files are and however they are compressed.

        Of a dataset prepared before digests of its content were stored, a digest of its splits' sizes and statistics.
        """
        splits = self._builder.info.splits
        content = self._metadata.get("content") or {
            "bytes": {name: [info.num_bytes, list(info.shard_lengths)] for name, info in splits.items()},
            "statistics": self._metadata.get("statistics"),
        }
        said = {
            "version": self.version,
            "sizes": self.sizes,
            "content": content,
            "images": {kind: self.image_format(kind) for kind in ("sar", "optical")},
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def split(self, split: str) -> Source:
        """The pairs of one split, dicts with ``sar``, ``optical`` and ``id``, decoded as they are read.

        Args:
            split: ``train``, ``validation``, ``test`` or a part of one in TFDS's notation, ``train[:100]``.

        Raises:
            ValueError: there is no such split, or it has no examples.
        """
        splits, known = self._builder.info.splits, self.sizes
        if re.split(r"[\[+]", split)[0] not in known:
            raise ValueError(
                f"{self.name} has no split {split!r}; its splits and their sizes are {known}. Prepare it from more "
                "scenes, or with a column split in pairs.csv; an evaluation takes another split by "
                "--config.evaluation.split."
            )
        if splits[split].num_examples == 0:
            raise ValueError(
                f"The split {split!r} of {self.name} has no examples; its splits and their sizes are {known}."
            )
        skip = {key: tfds.decode.SkipDecoding() for key, feature in self._features.items() if _is_image(feature)}
        stored = self._builder.as_data_source(split, decoders=skip)  # pyright: ignore[reportCallIssue]
        return StoredPairs(cast(Source, stored), self._features)


def open_split(name: str, *, split: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """The pairs of one split of a prepared dataset; see ``Prepared`` and its ``split`` for arguments and errors."""
    return Prepared(name, data_dir=data_dir).split(split)


def sar_channels(source: Source) -> int:
    """How many channels the radar images have: 1 for VV, 2 for VV and VH."""
    return int(source[0]["sar"].shape[-1])


def text(value: bytes | str) -> str:
    """A text as TFDS stores it, or as a list has it."""
    return value.decode() if isinstance(value, bytes) else value


def _is_image(feature: Any) -> bool:
    """Whether TFDS stores this feature as the file of an 8-bit image."""
    return isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8


def _newest_version(name: str, root: Path) -> Path:
    """The folder of the highest version: ROOT/NAME/1.0.0, or ROOT/NAME/CONFIGURATION/1.0.0."""
    if not root.is_dir():
        raise FileNotFoundError(f"data_dir {root} does not exist. {_how_to_prepare(name, root)}")
    folder = root / name
    # TFDS notes there which configuration is meant by the name alone.
    default = folder / ".config" / "metadata.json"
    if default.exists():
        folder /= json.loads(default.read_text())["default_config_name"]
    # A preparation under way, or one that was killed, has another name: incomplete.XXXXXX_1.0.0.
    versions = [path for path in folder.glob("*/") if _VERSION.fullmatch(path.name)]
    if not versions:
        nested = sorted(
            path.parent.relative_to(root).as_posix() for path in (root / name).glob("*/*.*.*/dataset_info.json")
        )
        hint = f" Prepared there: {', '.join(nested)}." if nested else ""
        raise FileNotFoundError(f"{name} is not prepared: no {folder}/VERSION.{hint} {_how_to_prepare(name, root)}")
    return max(versions, key=lambda path: tuple(int(number) for number in path.name.split(".")))


def _how_to_prepare(name: str, root: Path) -> str:
    return f"Prepare it by: python -m tfds_builders.prepare {name} --manual_dir=DOWNLOADED --data_dir={root}"
