"""A dataset that is prepared already: whether it is complete, and what is asked for now."""

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders.bad_files import shown
from tfds_builders.builder import PairsBuilder
from tfds_builders.folders import local_folder
from tfds_builders.registry import BUILDERS, Request, make_builder
from tfds_builders.sources import SourceFiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A dataset that can be read.

    Attributes:
        builder: its ``info`` and ``as_data_source`` are ready.
        made: whether it was prepared now; otherwise it was there already and no file was read.
        remarks: what could not be compared with the dataset that was there, in sentences.
    """

    builder: tfds.core.DatasetBuilder
    made: bool
    remarks: tuple[str, ...] = ()


def reused(request: Request, target: Path) -> Prepared:
    """The dataset that is there, if it is complete and what is asked for now agrees with it.

    Raises:
        ValueError: it is not complete, or was prepared from other files, with other settings or in another format.
    """
    try:
        builder = tfds.builder_from_directory(target)
        missing = [
            path for split in builder.info.splits.values() for path in split.filepaths if not Path(path).exists()
        ]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{target} is no complete dataset ({error}): --overwrite prepares it again.") from None
    if missing:
        raise ValueError(f"{target} is no complete dataset, {missing[0]} is missing: --overwrite prepares it again.")

    metadata = builder.info.metadata or {}
    there, again = f"{request.name} is prepared in {target} already", "prepare it again with --overwrite"
    if request.settings is not None and _stated(request.settings.as_json()) != _stated(metadata.get("settings")):
        stated = json.dumps(metadata.get("settings"))
        raise ValueError(f"{there}, with other settings: {stated}. Choose another name, or {again}.")
    file_format = builder.info.file_format
    if request.file_format is not None and file_format and request.file_format != file_format.value:
        raise ValueError(f"{there}, as {file_format.value}: choose another --data_dir, or {again}.")
    remarks = []
    if metadata.get("skip_bad") and not request.skip_bad and metadata.get("left_out"):
        remarks.append(f"It was prepared with --skip_bad, which left {metadata['left_out']:,} of files and pairs out.")
    if request.manual_dir is not None:
        remarks += _compared(request, metadata, target, refusal=f"{there}, from other files than")
    return Prepared(builder=builder, made=False, remarks=tuple(remarks))


def _stated(settings: Any) -> Any:
    """Settings without what was not stated, so that a dataset from before a flag existed is no other one."""
    if not isinstance(settings, Mapping):
        return settings
    return {name: _stated(value) for name, value in settings.items() if value is not None}


def _compared(request: Request, metadata: Mapping[str, Any], target: Path, *, refusal: str) -> list[str]:
    """What cannot be told of the files; raises ValueError where they are others than the dataset was prepared from."""
    manual_dir = local_folder(request.manual_dir or "", flag="--manual_dir")
    if request.dataset == "simulated":
        return []
    if not manual_dir.is_dir():
        return [f"--manual_dir={shown(manual_dir)} does not exist, so nothing was compared with it."]
    kept = metadata.get("source")
    if kept is None:
        return ["Whether it was prepared from these files is not known: it is from before that was recorded."]
    now = _source_files(request, manual_dir, target)
    if (difference := now.difference(kept)) is not None:
        raise ValueError(
            f"{refusal} lie in {shown(manual_dir)} ({difference}): prepare it again with --overwrite, or choose "
            "another --data_dir or name."
        )
    if now.newest > (target / "dataset_info.json").stat().st_mtime:
        return [
            f"Files in {shown(manual_dir)} are newer than the dataset: if their content has changed, --overwrite it."
        ]
    return []


def _source_files(request: Request, manual_dir: Path, target: Path) -> SourceFiles:
    if request.is_own:
        found = importlib.import_module(f"{BUILDERS['pairs']}.find").find(manual_dir)
        return SourceFiles.of(found.pairs, found.bad, root=manual_dir, table=found.table)
    builder = make_builder(request.name, data_dir=target.parents[2])
    assert isinstance(builder, PairsBuilder)
    return builder.source_files(manual_dir)
