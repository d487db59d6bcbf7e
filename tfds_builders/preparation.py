"""Prepares a dataset: finds it, or makes it in a folder that takes the dataset's name when it is complete."""

import contextlib
import io
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants

from tfds_builders import imagery
from tfds_builders.bad_files import shown
from tfds_builders.builder import PairsBuilder, report_path
from tfds_builders.folders import local_folder
from tfds_builders.lock import locked, supported
from tfds_builders.registry import FILE_FORMATS, Request, make_builder, own_pairs
from tfds_builders.reuse import Prepared, reused

if TYPE_CHECKING:
    from tfds_builders.pairs import Settings

logger = logging.getLogger(__name__)

PREVIOUS = "previous_"
"""Stands before the version of a dataset that is being replaced, for the moment between two renames."""


def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    processes: int = 1,
    settings: "Settings | None" = None,
    file_format: str | None = None,
    overwrite: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> tfds.core.DatasetBuilder:
    """Prepares a dataset where it is not prepared yet.

    The files are written into a folder ``incomplete.*`` that takes the dataset's name only when everything is written,
    so an interrupted preparation never passes for a dataset; the next one removes what it left.

    Args:
        name: one of ``BUILDERS``, with a configuration where wanted: ``gf3/qxs_saropt``; ``pairs/NAME`` is for images
            of one's own, by any name.
        data_dir: where prepared datasets are stored; None is TFDS's default, ``~/tensorflow_datasets``.
        manual_dir: the downloaded files; may be None for a prepared dataset, or one that needs no files.
        skip_bad: leave out bad files and what the audit finds, and record them, instead of stopping.
        processes: how many decode files.
        settings: what is stated about one's own images; for ``pairs/NAME`` only.
        file_format: one of ``FILE_FORMATS``; None is the first, or that of the dataset which is there.
        overwrite: prepare again what is prepared; the dataset that is there stays until the new one is complete.
        waiting: called with a sentence where another process prepares the same dataset; then this one waits and takes
            its result. None raises.

    Returns:
        The builder, whose ``info`` and ``as_data_source`` are ready.

    Raises:
        ValueError: no such dataset or configuration, files of it are bad (``BadFilesError``), its splits leak
            (``audit.LeakError``), settings do not go with it, its file format asks for TensorFlow, or it was prepared
            from other files or with other settings.
        FileNotFoundError: ``manual_dir`` is missing, empty, or holds no pairs.
        OSError: the disk is too full, or the same dataset is being prepared by another process.
    """
    request = Request(
        name=name,
        data_dir=data_dir,
        manual_dir=manual_dir,
        skip_bad=skip_bad,
        processes=processes,
        settings=settings,
        file_format=file_format,
        overwrite=overwrite,
        waiting=waiting,
    )
    done = prepare_or_reuse(request)
    for remark in done.remarks:
        logger.warning("%s", remark)
    return done.builder


def prepare_or_reuse(request: Request) -> Prepared:
    """As ``prepare``, and says whether anything was done."""
    request.check()
    root = local_folder(constants.DATA_DIR if request.data_dir is None else request.data_dir, flag="--data_dir")
    target = request.version_folder(root)
    if target.exists() and not request.overwrite:
        return reused(request, target)

    supported()
    manual_dir = _checked_manual_dir(request, root)
    make = _maker(request, manual_dir)  # Surveys own files, once and before anything is locked.
    with alone(target.parent, name=request.name, waiting=request.waiting):
        if not target.exists():
            builder = make(root)
            _generate(builder, request, manual_dir)
            return Prepared(builder=builder, made=True)
        if not request.overwrite:  # Another process has made it meanwhile.
            return reused(request, target)
        aside = target.parent / "incomplete.overwrite"
        builder = make(aside)
        report = report_path(builder).name
        if isinstance(builder, PairsBuilder):
            builder.report = target.parent / f"new_{report}"
        _generate(builder, request, manual_dir)
        _replace(target, Path(builder.data_path), report=report)
        shutil.rmtree(aside)
    return Prepared(builder=tfds.builder_from_directory(target), made=True)


@contextlib.contextmanager
def alone(folder: Path, *, name: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keeps other preparations out of a dataset's folder, and clears up after ones that were killed.

    Args:
        folder: of all versions of a dataset; made where it is missing.
        name: of the dataset, for messages.
        waiting: called with a sentence where another process has the lock; then this one waits. None raises instead.

    Raises:
        OSError: another process has the lock, the folder cannot be written to, or this system has no file locks.
    """

    def busy(holder: str) -> None:
        sentence = f"{name} is being prepared in {shown(folder)} by another process{holder and f' ({holder})'}"
        if waiting is None:
            raise BlockingIOError(f"{sentence}.")
        waiting(f"{sentence}; waiting until it is done.")

    with locked(folder, work="preparation", busy=busy) as is_locked:
        if is_locked:
            _clear(folder)
        yield


def _clear(folder: Path) -> None:
    """Removes what killed preparations left; a dataset that was about to be replaced gets its name back."""
    for leftover in folder.glob("incomplete.*"):
        shutil.rmtree(leftover)
    for previous in folder.glob(f"{PREVIOUS}*"):
        version = folder / previous.name.removeprefix(PREVIOUS)
        if version.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(version)


def _maker(request: Request, manual_dir: Path | None) -> Callable[[Path], tfds.core.DatasetBuilder]:
    """What makes the builder in a ``data_dir``."""
    file_format = request.file_format or FILE_FORMATS[0]
    if not request.is_own:
        return lambda root: make_builder(request.name, data_dir=root, file_format=file_format)
    pairs = own_pairs()
    config = pairs.configure(request.own, manual_dir, request.settings or pairs.Settings(), processes=request.processes)
    return lambda root: pairs.Builder(config=config, data_dir=root, file_format=file_format)


def _generate(builder: tfds.core.DatasetBuilder, request: Request, manual_dir: Path | None) -> None:
    if isinstance(builder, PairsBuilder):
        builder.skip_bad, builder.processes = request.skip_bad, request.processes
    logger.info("Preparing %s in %s.", request.name, builder.data_path)
    # What TFDS prints speaks of a download, and its nested bars tear each other; the builders have bars of their own.
    with contextlib.redirect_stdout(io.StringIO()), _without_bars():
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
        finally:
            imagery.close_tiled()


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Turns the progress bars of TFDS off."""
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def _replace(target: Path, made: Path, *, report: str) -> None:
    """Puts a new dataset and its audit into the place of the one that is there, which is there until then."""
    previous = target.with_name(f"{PREVIOUS}{target.name}")
    target.rename(previous)
    made.rename(target)
    if (new := target.parent / f"new_{report}").exists():
        new.replace(target.parent / report)
    shutil.rmtree(previous)


def _checked_manual_dir(request: Request, root: Path) -> Path | None:
    """The folder of downloaded files, if there is anything in it; None where none is needed."""
    if request.is_own:
        instructions = own_pairs().Builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    else:
        instructions = make_builder(request.name, data_dir=root).MANUAL_DOWNLOAD_INSTRUCTIONS
    what_to_do = " ".join((instructions or "").split())
    if request.manual_dir is None:
        if not what_to_do:
            return None
        raise FileNotFoundError(f"{request.name} is made from downloaded files: give --manual_dir. {what_to_do}")
    manual_dir = local_folder(request.manual_dir, flag="--manual_dir")
    if not what_to_do:
        return None
    if not manual_dir.is_dir():
        raise FileNotFoundError(f"manual_dir {shown(manual_dir)} does not exist. {what_to_do}")
    if not any(manual_dir.iterdir()):
        raise FileNotFoundError(f"manual_dir {shown(manual_dir)} is empty. {what_to_do}")
    return manual_dir
