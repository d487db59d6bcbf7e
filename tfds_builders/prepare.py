"""Turns downloaded pairs into a TFDS dataset that the pipeline reads:

    sar2opt prepare sen12 --manual_dir=DOWNLOADED --data_dir=PREPARED
    sar2opt prepare gf3/qxs_saropt --manual_dir=DOWNLOADED --data_dir=PREPARED
    sar2opt prepare simulated --data_dir=PREPARED
    sar2opt prepare pairs/NAME --manual_dir=YOUR_OWN --data_dir=PREPARED --sar_range=-25,0

The command of TFDS itself, `tfds build`, needs TensorFlow; this one does not. From a checkout,
`python -m tfds_builders.prepare` does the same.
"""

import argparse
import contextlib
import fcntl
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants

from tfds_builders import BUILDERS
from tfds_builders.builder import PairsBuilder, report_path

if TYPE_CHECKING:
    from tfds_builders.pairs import Settings

FILE_FORMATS = ("array_record", "tfrecord")
"""What ``tfds.data_source`` and this package read, without TensorFlow; and what ``tfds.load`` reads, with it."""


def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    processes: int = 1,
    settings: "Settings | None" = None,
    file_format: str = "array_record",
) -> tfds.core.DatasetBuilder:
    """Prepares a dataset where it is not prepared yet.

    The files are written into a folder ``incomplete.*`` that takes the dataset's name only when everything is written,
    so an interrupted preparation never passes for a dataset; the next one removes what it left.

    Args:
        name: one of ``BUILDERS``, with a configuration where wanted: ``gf3/qxs_saropt``; ``pairs/NAME`` is for images
            of one's own, by any name.
        data_dir: where prepared datasets stand; None is TFDS's default, ``~/tensorflow_datasets``.
        manual_dir: the downloaded files; may be None for a prepared dataset, or one that needs no files.
        skip_bad: leave out bad files and what the audit finds, and record them, instead of stopping.
        processes: how many decode files.
        settings: what is stated about one's own images; for ``pairs/NAME`` only.
        file_format: one of ``FILE_FORMATS``.

    Returns:
        The builder, whose ``info`` and ``as_data_source`` are ready.

    Raises:
        ValueError: no such dataset or configuration, files of it are bad (``files.BadFilesError``), its splits leak
            (``audit.LeakError``), settings do not go with it, or its file format asks for TensorFlow.
        FileNotFoundError: ``manual_dir`` is missing, empty, or holds no pairs.
        OSError: the disk is too full, or the same dataset is being prepared by another process.
    """
    if file_format not in FILE_FORMATS:
        raise ValueError(f"Unknown file format {file_format!r}; known are {', '.join(FILE_FORMATS)}.")
    if file_format == "tfrecord" and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            "The file format tfrecord is written by TensorFlow: pip install tensorflow, or take array_record."
        )
    if name.partition("/")[0] == "pairs":
        builder = _own_builder(
            name,
            data_dir=data_dir,
            manual_dir=manual_dir,
            processes=processes,
            settings=settings,
            file_format=file_format,
        )
    elif settings is None:
        builder = make_builder(name, data_dir=data_dir, file_format=file_format)
    else:
        raise ValueError(f"{name} has its own ranges, bands and scenes: these are stated for pairs/NAME only.")
    if builder.is_prepared():
        return builder

    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual_dir = _checked_manual_dir(name, manual_dir, builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
    if isinstance(builder, PairsBuilder):
        builder.skip_bad, builder.processes = skip_bad, processes
    with _alone(builder):
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return builder


def make_builder(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, file_format: str = "array_record"
) -> tfds.core.DatasetBuilder:
    """The builder of a dataset other than ``pairs``, prepared or not. See ``prepare`` for arguments and errors."""
    dataset, _, config = name.partition("/")
    if dataset not in BUILDERS:
        raise ValueError(f"Unknown dataset {dataset!r}; known are {', '.join(BUILDERS)}.")
    builder_class: type[tfds.core.GeneratorBasedBuilder] = importlib.import_module(BUILDERS[dataset]).Builder
    if config and config not in builder_class.builder_configs:
        known = ", ".join(builder_class.builder_configs) or "none"
        raise ValueError(f"{dataset} has no configuration {config!r}; known: {known}.")
    data_dir = None if data_dir is None else Path(data_dir).expanduser()
    return builder_class(config=config or None, data_dir=data_dir, file_format=file_format)


def _own_builder(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    manual_dir: str | os.PathLike[str] | None,
    processes: int,
    settings: "Settings | None",
    file_format: str,
) -> tfds.core.DatasetBuilder:
    """The builder of somebody's own dataset: made from its files, or, once it is prepared, without them."""
    pairs = importlib.import_module(BUILDERS["pairs"])
    own = name.partition("/")[2]
    if not re.fullmatch(r"\w[\w-]*", own, re.ASCII):
        raise ValueError(
            f"{name}: your own dataset needs a name of letters, digits, - and _ after a slash: pairs/NAME. Several "
            "stand side by side by their names."
        )
    root = Path(constants.DATA_DIR if data_dir is None else data_dir).expanduser()
    prepared = root / "pairs" / own / str(pairs.Builder.VERSION)
    if prepared.exists():
        builder = tfds.builder_from_directory(prepared)
        stated = (builder.info.metadata or {}).get("settings")
        if settings is not None and settings.as_json() != stated:
            raise ValueError(
                f"{name} is prepared in {prepared} already, with other settings: {json.dumps(stated)}. Choose another "
                "name, or remove that folder."
            )
        return builder
    folder = _checked_manual_dir(name, manual_dir, pairs.Builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
    config = pairs.configure(own, folder, settings or pairs.Settings(), processes=processes)
    return pairs.Builder(config=config, data_dir=root, file_format=file_format)


def summary(builder: tfds.core.DatasetBuilder) -> str:
    """A table of the splits, with scenes, audit and statistics where the builder has them."""
    info = builder.info
    metadata = info.metadata or {}
    scenes = metadata.get("scenes", {})
    pairs = {name: split.num_examples for name, split in info.splits.items()}
    total = sum(pairs.values())
    lines = [
        f"{info.full_name}: {info.dataset_size} in {builder.data_dir}",
        f"{'split':<12}{'pairs':>10}{'share':>9}{'scenes':>10}",
    ]
    for name in dict.fromkeys(("train", "validation", "test", *pairs)):
        count = pairs.get(name, 0)
        empty = "" if count else "   empty: too few scenes, or none of this split"
        lines.append(f"{name:<12}{count:>10}{count / total:>9.1%}{scenes.get(name, '' if count else 0):>10}{empty}")
    lines.append(f"{'all':<12}{total:>10}{'':>9}{sum(scenes.values()) if scenes else '':>10}")
    for kind, values in metadata.get("statistics", {}).items():
        mean, deviation = (" ".join(f"{value:.1f}" for value in values[name]) for name in ("mean", "std"))
        lines.append(f"{kind} of 0 .. 255: mean {mean}, standard deviation {deviation}")
    lines += metadata.get("notes", [])
    if (report := report_path(builder)).exists():
        lines.append(_audit_line(report))
    return "\n".join(lines)


def _audit_line(path: Path) -> str:
    report = json.loads(path.read_text())
    found = "clean" if report["clean"] else "NOT CLEAN"
    left_out = f"; {len(report['left_out'])} files or pairs left out" if report["left_out"] else ""
    return (
        f"audit: {found}, {len(report['shared_scenes'])} scenes and {len(report['near_duplicates'])} images in several "
        f"splits, by {report['compared']:,} comparisons{left_out}; see {path}"
    )


def _checked_manual_dir(name: str, manual_dir: str | os.PathLike[str] | None, instructions: str) -> Path:
    """The folder of downloaded files, if there is anything in it."""
    what_to_do = " ".join(instructions.split())
    if manual_dir is None:
        raise FileNotFoundError(f"{name} is made from downloaded files: give --manual_dir. {what_to_do}")
    manual_dir = Path(manual_dir).expanduser()
    if not manual_dir.is_dir():
        raise FileNotFoundError(f"manual_dir {manual_dir} does not exist. {what_to_do}")
    if not any(manual_dir.iterdir()):
        raise FileNotFoundError(f"manual_dir {manual_dir} is empty. {what_to_do}")
    return manual_dir


@contextlib.contextmanager
def _alone(builder: tfds.core.DatasetBuilder) -> Iterator[None]:
    """Holds the dataset's lock, which a killed process gives back, and removes what killed preparations left."""
    folder = Path(builder.data_dir).parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"{builder.info.full_name} is being prepared in {folder} by another process.") from None
        for leftover in folder.glob("incomplete.*"):
            shutil.rmtree(leftover)
        yield


def _bands(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _settings(flags: argparse.Namespace) -> "Settings | None":
    """What the flags state about one's own images; None where they state nothing."""

    def stated(prefix: str, names: Sequence[str]) -> dict[str, Any]:
        values = {name: getattr(flags, f"{prefix}{name}", None) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    sar, optical = (stated(prefix, ("range", "scale", "bands")) for prefix in ("sar_", "optical_"))
    rest = stated("", ("scene_regex",))
    if not (sar or optical or rest):
        return None
    pairs = importlib.import_module(BUILDERS["pairs"])
    return pairs.Settings(sar=pairs.Reading(**sar), optical=pairs.Reading(**optical), **rest)


def main(arguments: list[str] | None = None) -> None:
    """The command: prepares, then prints a summary; what is wrong with the input ends it with one message."""
    typed = sys.argv[0] if sys.argv[0].startswith("sar2opt ") else "python -m tfds_builders.prepare"
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=typed, description=__doc__, formatter_class=as_written)
    parser.add_argument("name", help=f"one of {', '.join(BUILDERS)}, with a configuration where wanted: gf3/qxs_saropt")
    parser.add_argument("--manual_dir", help="folder of the downloaded files")
    parser.add_argument("--data_dir", help="where to write (default: ~/tensorflow_datasets)")
    parser.add_argument("--skip_bad", action="store_true", help="leave out and record bad files instead of stopping")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="how many decode files (default: one a core)"
    )
    own = parser.add_argument_group("images of your own, pairs/NAME", "see tfds_builders/pairs/README.md")
    own.add_argument("--sar_range", help="what becomes 0 and 255: -25,0 or, a band, '-25,0;-32.5,0' or p2,p98")
    own.add_argument("--sar_scale", help="linear or amplitude values are brought to dB, for which the range then holds")
    own.add_argument("--sar_bands", type=_bands, help="1,2: the bands that become channels (default: all)")
    own.add_argument("--optical_range", help="the same for the optical images: 0,3500")
    own.add_argument("--optical_bands", type=_bands, help="4,3,2: those of red, green and blue")
    own.add_argument("--scene_regex", help=r"'^(\w+)_\d+': finds the scene in a file's name")
    parser.add_argument(
        "--file_format", default=FILE_FORMATS[0], help=f"{' or '.join(FILE_FORMATS)}, which tfds.load asks for"
    )
    flags = parser.parse_args(arguments)

    # Batch systems end a job by SIGTERM; as an exception it lets TFDS remove the incomplete folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        builder = prepare(
            flags.name,
            data_dir=flags.data_dir,
            manual_dir=flags.manual_dir,
            skip_bad=flags.skip_bad,
            processes=flags.processes,
            settings=_settings(flags),
            file_format=flags.file_format,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")
    print(summary(builder))


def run() -> None:
    """The entry point, of ``sar2opt prepare``."""
    main()


if __name__ == "__main__":
    run()
