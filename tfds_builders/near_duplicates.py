"""Finds images that are nearly images of another set: copies, recompressed, brightened or shifted by a few pixels.

Images with equal pixels are found by their digests. Of all others, perceptual hashes of 64 bits find candidates. Images
of plain ground have similar hashes by chance, so candidates are decoded, and only images whose *detail* agrees, at any
shift, are near-duplicates. Every candidate is looked at, however many there are; memory is bounded all the same.
"""

import itertools
import logging
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from tfds_builders.bad_files import shown
from tfds_builders.files import Format, ImageFacts
from tfds_builders.hash_search import near
from tfds_builders.imagery import Source
from tfds_builders.parallel import process_map

logger = logging.getLogger(__name__)

MAX_DISTANCE = 8
"""Bits of 64 in which the hashes of candidates may differ; of unrelated images some 32 do."""
MIN_CORRELATION = 0.8
"""Of the detail of two images, at the shift where they agree best, from which on they are the same image."""
_DETAIL = (1.0, 8.0)
"""Detail is what lies between two Gaussian blurs, in pixels of an image of 256: finer is noise of a codec, coarser is
shared by every two images of one coast."""

_MANY = 100_000  # candidates, which take minutes
_HELD = 2**23  # candidates in memory, as two numbers each
_TASK_PIXELS = 2**22  # of the first images of a task, whose spectra it keeps, 4 bytes a pixel
_TASK_CANDIDATES = 2**12


class Distinct(NamedTuple):
    """An image, and the ids of all pairs that show exactly these pixels."""

    source: Source
    fingerprint: int
    ids: list[str]


class Match(NamedTuple):
    """One of the first images and the second one that it nearly is."""

    first: Distinct
    second: Distinct
    correlation: float  # of the detail

    @property
    def distance(self) -> int:
        """Bits of 64 in which the hashes differ."""
        return (self.first.fingerprint ^ self.second.fingerprint).bit_count()


class _Task(NamedTuple):
    """Candidates, as places in lists of files."""

    candidates: np.ndarray  # [candidate, 2]
    first: dict[int, Source]
    second: dict[int, Source]
    form: Format


def distinct(images: Iterable[tuple[str, Source, ImageFacts]]) -> dict[bytes, Distinct]:
    """Images by their digests, without those of one colour, in which there is nothing to compare.

    Args:
        images: id of the pair, file or tile, and facts of each.
    """
    found: dict[bytes, Distinct] = {}
    for name, source, facts in images:
        if facts.fingerprint is not None:
            found.setdefault(facts.digest, Distinct(source, facts.fingerprint, [])).ids.append(name)
    return found


def match(
    first: Mapping[bytes, Distinct], second: Mapping[bytes, Distinct], form: Format, *, title: str, processes: int = 1
) -> tuple[list[Match], int]:
    """Finds which of the first images are nearly one of the second.

    Args:
        first: images by their digests.
        second: what they are compared with.
        form: how they are read.
        title: of the first images, for progress bars and messages.
        processes: how many look at candidates, and threads that search for them.

    Returns:
        At most one match for each of the first images; and the number of candidates.
    """
    found = [Match(image, second[digest], 1.0) for digest, image in first.items() if digest in second]
    # Sorted by hash, images with the same candidates come into one task.
    rest = sorted((i for digest, i in first.items() if digest not in second), key=lambda image: image.fingerprint)
    others = list(second.values())
    counts, parts = _search(_hashes(rest), _hashes(others), threads=processes, title=f"Comparing {title}")
    total = int(counts.sum())
    if total > _MANY:
        logger.warning(
            "%s: %s pairs of images in different splits have similar hashes; all of them are decoded and compared, "
            "which can take hours. The image with most, %s, is %s: open water and borders without data look alike.",
            *(title, f"{total:,}", f"{counts.max():,}", shown(str(rest[int(counts.argmax())].source))),
        )
    most = max(_TASK_PIXELS // (form.shape[0] * form.shape[1]), 1)
    tasks = (
        _Task(
            candidates,
            {place: rest[place].source for place in set(candidates[:, 0].tolist())},
            {place: others[place].source for place in set(candidates[:, 1].tolist())},
            form,
        )
        for part in parts
        for candidates in _divided(part, most)
    )
    looked_at = process_map(_look, tasks, images=2 * total, processes=processes, chunk=1)
    partners: dict[int, tuple[int, float]] = {}
    with tqdm(total=total, desc=f"Auditing {title}", unit=" candidates", disable=None) as bar:
        for count, hits in looked_at:
            bar.update(count)
            for row, partner in hits.items():
                partners.setdefault(row, partner)
    found += [Match(rest[row], others[column], value) for row, (column, value) in partners.items()]
    return found, total


def detail(values: np.ndarray) -> np.ndarray:
    """The detail of an image [height, width, channel], with mean zero and norm one; zeros where there is none."""
    grey = np.ma.getdata(values).astype(np.float32).mean(axis=-1)
    fine, coarse = (sigma * max(grey.shape) / 256 for sigma in _DETAIL)
    band = ndimage.gaussian_filter(grey, fine) - ndimage.gaussian_filter(grey, coarse)
    band -= band.mean()
    norm = np.linalg.norm(band)
    return band / norm if norm > 0 else band


def _hashes(images: list[Distinct]) -> np.ndarray:
    return np.array([image.fingerprint for image in images], np.uint64)


def _search(
    first: np.ndarray, second: np.ndarray, *, threads: int, title: str
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Searches for candidates.

    Returns:
        How many each of the first images has, [n]; and all of them in parts, [candidate, 2], sorted places in ``first``
        and ``second``. Of more than ``_HELD`` each part is searched anew when its turn comes.
    """
    counts = np.zeros(len(first), np.int64)
    held: list[np.ndarray] = []
    total = 0
    for found in near(first, second, distance=MAX_DISTANCE, threads=threads, title=title):
        np.add.at(counts, found[:, 0], 1)
        total += len(found)
        if total <= _HELD:
            held.append(found)
        else:
            held.clear()
    if total <= _HELD:
        return counts, iter([_sorted(held)])
    part_of = np.cumsum(counts) // _HELD

    def parts() -> Iterator[np.ndarray]:
        for number in np.unique(part_of):
            places = np.flatnonzero(part_of == number)
            found = _sorted(near(first[places], second, distance=MAX_DISTANCE, threads=threads))
            found[:, 0] = places[found[:, 0]]
            yield found

    return counts, parts()


def _sorted(found: Iterable[np.ndarray]) -> np.ndarray:
    candidates = np.concatenate([np.empty((0, 2), np.int32), *found])
    return candidates[np.lexsort(candidates.T[::-1])]


def _divided(candidates: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Parts with at most so many of the first images and ``_TASK_CANDIDATES``."""
    changes = np.diff(candidates[:, 0], prepend=-1) != 0
    task = (np.cumsum(changes) - 1) // most
    for part in np.split(candidates, np.flatnonzero(np.diff(task)) + 1):
        for start in range(0, len(part), _TASK_CANDIDATES):
            yield part[start : start + _TASK_CANDIDATES]


def _look(task: _Task) -> tuple[int, dict[int, tuple[int, float]]]:
    """The number of candidates, and by first image the second one that it nearly is, with their correlation.

    A second image is decoded once, a first one when it is first needed; one that is found is not looked at again.
    """
    spectra: dict[int, np.ndarray] = {}
    found: dict[int, tuple[int, float]] = {}
    by_second = task.candidates[np.argsort(task.candidates[:, 1], kind="stable")].tolist()
    for column, candidates in itertools.groupby(by_second, key=operator.itemgetter(1)):
        rows = [row for row, _ in candidates if row not in found]
        if not rows:
            continue
        other = _spectrum(task.second[column], task.form).conj()
        for row in rows:
            if row not in spectra:
                spectra[row] = _spectrum(task.first[row], task.form)
            correlation = float(np.fft.irfft2(spectra[row] * other, s=task.form.shape[:2]).max())
            if correlation >= MIN_CORRELATION:
                found[row] = column, correlation
                del spectra[row]
    return len(task.candidates), found


def _spectrum(source: Source, form: Format) -> np.ndarray:
    """Of the detail of an image, [height, width // 2 + 1] complex64."""
    return np.fft.rfft2(detail(form.read(source)))
