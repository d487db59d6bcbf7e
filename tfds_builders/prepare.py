"""Turns downloaded pairs into a TFDS dataset that the pipeline reads.

python -m tfds_builders.prepare sen12 --manual_dir=DOWNLOADED --data_dir=PREPARED
python -m tfds_builders.prepare gf3/qxs_saropt --manual_dir=DOWNLOADED --data_dir=PREPARED
python -m tfds_builders.prepare simulated --data_dir=PREPARED

The command of TFDS itself, ``tfds build``, needs TensorFlow; this one does not.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

import tensorflow_datasets as tfds

BUILDERS = {
    "gf3": "tfds_builders.gf3",
    "sen12": "tfds_builders.sen12",
    "simulated": "tfds_builders.simulated",
}
"""The module of each dataset's ``Builder``, imported when it is asked for."""


def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
) -> tfds.core.DatasetBuilder:
    """Prepares a dataset where it is not prepared yet.

    The files are written into a folder ``incomplete.*`` that takes the dataset's name only when everything is written,
    so an interrupted preparation never passes for a dataset.

    Args:
        name: one of ``BUILDERS``, with a configuration where wanted: ``gf3/qxs_saropt``.
        data_dir: where prepared datasets stand; None is TFDS's default, ``~/tensorflow_datasets``.
        manual_dir: the downloaded files; may be None for a prepared dataset, or one that needs no files.

    Returns:
        The builder, whose ``info`` and ``as_data_source`` are ready.

    Raises:
        ValueError: no such dataset or configuration, or files of it are bad (``pairs.BadFilesError``).
        FileNotFoundError: ``manual_dir`` is missing, empty, or holds no pairs.
    """
    dataset, _, config = name.partition("/")
    if dataset not in BUILDERS:
        raise ValueError(f"Unknown dataset {dataset!r}; known are {', '.join(BUILDERS)}.")
    builder_class: type[tfds.core.GeneratorBasedBuilder] = importlib.import_module(BUILDERS[dataset]).Builder
    if config and config not in builder_class.builder_configs:
        known = ", ".join(builder_class.builder_configs) or "none"
        raise ValueError(f"{dataset} has no configuration {config!r}; known: {known}.")
    data_dir = None if data_dir is None else Path(data_dir).expanduser()
    builder = builder_class(config=config or None, data_dir=data_dir, file_format="array_record")
    if builder.is_prepared():
        return builder

    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        manual_dir = _checked_manual_dir(name, manual_dir, builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return builder


def summary(builder: tfds.core.DatasetBuilder) -> str:
    """A table of the splits: pairs, scenes where the builder counted them, size on the disk."""
    info = builder.info
    scenes = (info.metadata or {}).get("scenes", {})
    rows = [(name, split.num_examples, scenes.get(name, "")) for name, split in info.splits.items()]
    rows.append(("all", sum(row[1] for row in rows), sum(scenes.values()) if scenes else ""))
    lines = [f"{'split':<12}{'pairs':>10}{'scenes':>10}"]
    lines += [f"{name:<12}{pairs:>10}{scenes:>10}" for name, pairs, scenes in rows]
    return f"{info.full_name}: {info.dataset_size} in {builder.data_dir}\n" + "\n".join(lines)


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


def _leftovers(builder: tfds.core.DatasetBuilder) -> list[Path]:
    """Folders of preparations that were killed; or of one that is running now, which is why none is removed."""
    return sorted(Path(builder.data_dir).parent.glob("incomplete.*"))


def main(arguments: list[str] | None = None) -> None:
    """The command: prepares, then prints a summary; what is wrong with the input ends it with one message."""
    parser = argparse.ArgumentParser(prog="python -m tfds_builders.prepare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", help=f"one of {', '.join(BUILDERS)}, with a configuration where wanted: gf3/qxs_saropt")
    parser.add_argument("--manual_dir", help="folder of the downloaded files")
    parser.add_argument("--data_dir", help="where to write (default: ~/tensorflow_datasets)")
    flags = parser.parse_args(arguments)

    # Batch systems end a job by SIGTERM; as an exception it lets TFDS remove the incomplete folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        builder = prepare(flags.name, data_dir=flags.data_dir, manual_dir=flags.manual_dir)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"{error}")
    print(summary(builder))
    for folder in _leftovers(builder):
        print(f"Left over from a preparation that was killed, unless one is running: {folder}; delete it.")


if __name__ == "__main__":
    main()
