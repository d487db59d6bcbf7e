"""Which scenes an input names, and what their outputs are called."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sar2opt_jax.description import ImageFormat
from sar2opt_jax.scene import addresses, bands, stac

SUFFIXES = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".png", ".jpg", ".jpeg", ".safe")
"""Of what is a scene in a folder; their case does not matter."""
LIST = ".txt"
POLARISATIONS = ("VV", "VH", "HH", "HV")


class SceneInput(NamedTuple):
    """A scene that is to be translated.

    Attributes:
      name: of the output, a path below the output folder without suffix.
      source: one file, or one for each band of the network.
      bands: of the file, as ``SceneSettings.bands``; None where the file says itself.
      problem: why it cannot be translated; None where nothing is known against it.
    """

    name: str
    source: tuple[str, ...]
    bands: tuple[str, ...] | None = None
    problem: str | None = None


class Found(NamedTuple):
    """Scenes, and what of a folder is none."""

    scenes: list[SceneInput]
    skipped: list[str]


def find(given: str, radar: ImageFormat, *, output: Path) -> Found:
    """The scenes that an input names, in an order that depends on nothing else.

    Args:
      given: a folder; a list, ``.txt``, with a path or address a line; STAC items, ``.json``; a pattern such as
        ``scenes/*/*.tif`` or ``scenes/**/*.tif``; or one scene. Relative paths in a file start from its folder.
      radar: the network's radar images.
      output: the folder of the outputs, of which nothing is an input.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: for a file that names no scenes, and for scenes whose outputs would have one name.
    """
    given = given if addresses.is_remote(given) else os.path.expanduser(given)
    path, skipped = Path(given), []
    if path.is_dir() and path.suffix.lower() not in SUFFIXES:
        if output.exists() and output.samefile(path):
            raise ValueError(f"--output {output} is the folder of the input; choose another one.")
        shown = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        files = [entry for entry in shown if entry.suffix.lower() in SUFFIXES]
        skipped = [entry.name for entry in shown if entry.suffix.lower() not in SUFFIXES]
        scenes = [SceneInput(addresses.stem(file.name), (str(file),)) for file in files]
        scenes, other = _of_network(scenes, radar)
        skipped += other
    elif path.suffix.lower() in stac.SUFFIXES and path.is_file():
        scenes = [_of_item(item, radar, path) for item in stac.items(path)]
    elif path.suffix.lower() == LIST and path.is_file():
        scenes, _ = _of_network(_listed(path), radar)
    elif glob.has_magic(given) and not path.exists() and not addresses.is_remote(given):
        scenes, _ = _of_network(_matching(given, output), radar)
    elif path.exists() or addresses.is_remote(given) or ":" in given:
        scenes = [SceneInput(addresses.stem(given), (given,))]
    else:
        raise FileNotFoundError(f"--input {given} does not exist.")
    if not scenes:
        raise FileNotFoundError(f"--input {given} names no scenes ({', '.join(SUFFIXES)}).")
    _check_names(scenes)
    return Found(scenes, skipped)


def shard(scenes: Sequence[SceneInput], text: str | None) -> Sequence[SceneInput]:
    """Every N-th of the scenes, from the I-th on; None is all.

    The N parts of one list have no scene in common and are all of it together.

    Args:
      scenes: all.
      text: ``I/N`` with 0 <= I < N.

    Raises:
      ValueError: for another text.
    """
    if text is None:
        return scenes
    index, count = shard_numbers(text)
    return scenes[index::count]


def shard_numbers(text: str) -> tuple[int, int]:
    """I and N of ``I/N``; errors as of ``shard``."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"--shard={text}: expected I/N with I from 0 to N - 1, such as 0/4, 1/4, 2/4 and 3/4.")
    return int(match[1]), int(match[2])


def _listed(path: Path) -> list[SceneInput]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    named = [line for line in lines if line and not line.startswith("#")]
    # What is no path is left as it is: addresses, and parts of a file in GDAL's words, DRIVER:...
    free = [addresses.is_remote(line) or re.match(r"[A-Z0-9_]{3,}:", line) for line in named]
    found = [line if is_free else str(path.parent / line) for line, is_free in zip(named, free, strict=True)]
    return [SceneInput(addresses.stem(line), (line,)) for line in found]


def _matching(pattern: str, output: Path) -> list[SceneInput]:
    """Files that match a pattern; outputs repeat the folders that are below its fixed part."""
    fixed = Path(*_before_magic(Path(pattern).parts[:-1]))
    outputs = output.resolve()
    files = (Path(name) for name in sorted(glob.glob(pattern, recursive=True)))
    files = [file for file in files if file.suffix.lower() in SUFFIXES and outputs not in file.resolve().parents]

    def name(file: Path) -> str:
        folders = [addresses.safe(part) for part in file.parent.relative_to(fixed).parts]
        return "/".join([*folders, addresses.stem(file.name)])

    return [SceneInput(name(file), (str(file),)) for file in files]


def _before_magic(parts: Iterable[str]) -> Iterable[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _of_network(scenes: list[SceneInput], radar: ImageFormat) -> tuple[list[SceneInput], list[str]]:
    """Without files of other polarisations than the network's; files that are read together are one scene."""
    kept, skipped, together = [], [], set()
    listed = {scene.source[0]: scene for scene in scenes}
    for scene in scenes:
        path = Path(scene.source[0])
        if _is_of_other_polarisation(path, radar):
            skipped.append(path.name)
            continue
        files = [str(file) for file in bands.beside(path, radar) or (path,)]
        if not together & {*files}:
            kept.append(listed.get(files[0], scene))
        together |= {*files}
    return kept, skipped


def _is_of_other_polarisation(path: Path, radar: ImageFormat) -> bool:
    own = {band.upper() for band in radar.bands}
    parts = {part.upper() for part in re.split(r"[^a-zA-Z0-9]+", path.stem)} & {*POLARISATIONS}
    return bool(parts and own & {*POLARISATIONS} and not parts & own)


def _of_item(item: dict, radar: ImageFormat, path: Path) -> SceneInput:
    name = addresses.safe(str(item["id"]))
    try:
        files = stac.radar_files(item, radar.bands, folder=path.parent)
    except ValueError as error:
        return SceneInput(name, (f"{path}#{item['id']}",), problem=str(error))
    return SceneInput(name, *files)


def _check_names(scenes: Sequence[SceneInput]) -> None:
    sources: dict[str, tuple[str, ...]] = {}
    for scene in scenes:
        # Some file systems do not tell large letters from small ones.
        other = sources.setdefault(scene.name.casefold(), scene.source)
        if other is not scene.source:
            one, two = (" and ".join(map(addresses.unsigned, each)) for each in (other, scene.source))
            raise ValueError(f"{one} and {two} would both be translated to {scene.name}.tif; rename one of them.")
