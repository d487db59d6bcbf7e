"""Translates examples with trained networks, reusing existing translations, and measures the speed."""

import dataclasses
import datetime
import functools
import hashlib
import logging
import statistics
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import jax
import numpy as np
from tqdm import tqdm

from sar2opt_jax.data.scaling import to_float, to_uint8
from sar2opt_jax.description import Description
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.gallery import Gallery
from sar2opt_jax.evaluation.results import series, steps_text
from sar2opt_jax.evaluation.surroundings import hardware
from sar2opt_jax.translator import Method, StepGrid, Translator
from sar2opt_jax.types import Array, Params

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""A method that takes longer than this for one image is timed by a single run."""
LOG_EVERY_SECONDS = 30.0
"""Interval of progress messages where there is no progress bar."""
VERSION = 1
"""Incremented when the same network and noise give other translations: all earlier ones are then stale."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One network, sampled in one way.

    Attributes:
      name: of the network: ``teacher``, ``student``, or what tells several students apart.
      translator: how it is sampled.
      params: its parameters.
      method: sampler and number of steps.
      identity: plain JSON that no two networks share; translations are reused as long as it is the same.
      sample: which of several translations of an image, each with noise of its own; 0 is the one that is compared.
      description: of the network's export, for a reader; None where there is none.
    """

    name: str
    translator: Translator
    params: Params
    method: Method
    identity: Mapping[str, Any]
    description: Description | None = None
    sample: int = 0

    @property
    def label(self) -> str:
        """Its name in messages."""
        text = f"{series(self.name, self.translator.kind, self.method.sampler)}, {steps_text(self.method.num_steps)}"
        return f"{text}, sample {self.sample + 1}" if self.sample else text

    @property
    def folder(self) -> str:
        """Name of the folder of its translations."""
        folder = f"{quote(self.name, safe=' ')}-{self.method.sampler}-{self.method.num_steps}"
        return f"{folder}-sample-{self.sample + 1}" if self.sample else folder

    def key(self, rng: Array) -> Array:
        """The key of its noise, of that of all."""
        return jax.random.fold_in(rng, self.sample) if self.sample else rng


class EvaluationSet(Protocol):
    """What is translated and compared: ``data.examples.Examples``."""

    @property
    def ids(self) -> Sequence[str]:
        """What they are called."""
        ...

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        ...

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """For each way to group the examples, the group of each."""
        ...

    def sar(self, positions: Sequence[int]) -> np.ndarray:
        """Radar images, [n, image_size, image_size, channel] uint8."""
        ...

    def optical(self, positions: Sequence[int]) -> np.ndarray:
        """True images, [n, image_size, image_size, 3] uint8."""
        ...


def translate_missing(
    contenders: Sequence[Contender],
    galleries: Mapping[str, Gallery],
    examples: EvaluationSet,
    *,
    batches: Batches,
    rng: Array,
    timing_repeats: int,
) -> None:
    """Fills galleries with this process's share of the missing translations; the first process times single images too.

    Of several samples of an image the first one is timed alone.

    Args:
      contenders: the methods.
      galleries: where each keeps its translations, by ``Contender.folder``.
      examples: what to translate.
      batches: how many at once.
      rng: a key; an example's id is folded in.
      timing_repeats: runs that latency is the median of.

    Raises:
      ValueError: for translations that are not finite.
    """
    index, count = jax.process_index(), jax.process_count()
    sources = [
        hashlib.sha256(np.ascontiguousarray(examples.sar([i])).data).hexdigest() for i in range(len(examples.ids))
    ]
    todo = {
        name: [position for position in gallery.missing(examples.ids, sources) if position % count == index]
        for name, gallery in galleries.items()
    }
    total = sum(len(todo[contender.folder]) * contender.method.num_steps for contender in contenders)
    reused = len(contenders) * len(range(index, len(examples.ids), count)) - sum(map(len, todo.values()))
    if reused:
        logger.info("Reusing %d translations of an earlier evaluation.", reused)
    programs = _Programs()
    with tqdm(total=total, desc="Translating", unit="evaluation", unit_scale=True, disable=None) as bar:
        for contender in contenders:
            gallery, positions = galleries[contender.folder], todo[contender.folder]
            bar.set_description(contender.label)
            if not positions:
                continue
            speed = _fill(gallery, contender, programs, examples, sources, positions, batches=batches, rng=rng, bar=bar)
            kept = _speed_here(gallery)
            if index == 0 and speed["batch"] >= kept.get("batch", 0):  # A small batch gives a poorer estimate.
                gallery.speed = kept | speed | {"here": hardware()}
    if index == 0:
        timed = [contender for contender in contenders if not contender.sample]
        _time_single_images(timed, galleries, examples, programs, rng=rng, repeats=timing_repeats)


class _Programs:
    """Compiled translations: one for all methods of a network that differ in their grid of times alone."""

    def __init__(self) -> None:
        self._compiled: dict[Any, Callable[..., Array]] = {}

    def __call__(self, contender: Contender, *arguments: Any) -> Callable[..., Array]:
        """What translates like a contender, compiled where it is new.

        Args:
          contender: how to translate.
          *arguments: parameters, key, radar images and ids, on the devices: what it then takes, or others like them.
        """
        grid = contender.translator.grid(contender.method).padded(contender.translator.schedule.num_steps)
        sampler = dataclasses.replace(contender.method, num_steps=1, spacing="trailing")
        placed = tuple((leaf.shape, leaf.sharding) for leaf in jax.tree.leaves(arguments))
        key = id(contender.translator), sampler, placed
        if key not in self._compiled:
            translate = jax.jit(functools.partial(_translate, contender.translator, sampler))
            self._compiled[key] = translate.lower(grid, *arguments).compile()
        return functools.partial(self._compiled[key], grid)


def _speed_here(gallery: Gallery) -> dict[str, Any]:
    """What was measured on this hardware."""
    return gallery.speed if gallery.speed.get("here") == hardware() else {}


def _time_single_images(
    contenders: Sequence[Contender],
    galleries: Mapping[str, Gallery],
    examples: EvaluationSet,
    programs: _Programs,
    *,
    rng: Array,
    repeats: int,
) -> None:
    """Writes the latency of every method, all of one session.

    Where one is missing all are measured again: their ratios are reported, and another session may have been another
    load of the same machine.
    """
    known = [_speed_here(galleries[contender.folder]) for contender in contenders]
    sessions = {speed.get("session") for speed in known}
    if len(sessions) == 1 and None not in sessions:
        return
    session = datetime.datetime.now(datetime.UTC).isoformat()
    one = to_float(examples.sar([0])), _names(examples.ids[:1])
    with tqdm(contenders, desc="Timing single images", unit="method", disable=None) as bar:
        for contender, speed in zip(bar, known, strict=True):
            arguments = jax.block_until_ready(jax.device_put((contender.params, rng, *one)))
            translate = programs(contender, *arguments)
            latency = latency_ms(functools.partial(translate, *arguments), repeats=repeats)
            galleries[contender.folder].speed = speed | {
                "ms_per_image": latency, "session": session, "here": hardware(),
            }  # fmt: skip


def _fill(
    gallery: Gallery,
    contender: Contender,
    programs: _Programs,
    examples: EvaluationSet,
    sources: Sequence[str],
    positions: Sequence[int],
    *,
    batches: Batches,
    rng: Array,
    bar: Any,
) -> dict[str, Any]:
    """Translates the examples at some positions; returns ``images_per_second`` of full batches, and their size."""
    bound = batches.replicate((contender.params, contender.key(rng)))
    names, translate, seconds, size = _names(examples.ids), None, [], 0
    done, said = 0, time.monotonic()
    for new, filled in batches.cut(positions):
        arguments = (*bound, *batches.shard((to_float(examples.sar(filled)), names[filled])))
        translate, size = translate or programs(contender, *arguments), len(filled)
        started = time.perf_counter()
        translated = jax.device_get(translate(*arguments))
        seconds.append(time.perf_counter() - started)
        if not np.isfinite(translated).all():
            raise ValueError(f"{contender.label}: translations are not finite; the network has diverged.")
        for position, image in zip(new, to_uint8(translated), strict=False):  # Padding comes last.
            gallery.write(examples.ids[position], image, source=sources[position])
        bar.update(len(new) * contender.method.num_steps)
        done += len(new)
        if bar.disable and (done == len(positions) or time.monotonic() - said > LOG_EVERY_SECONDS):
            said, left = time.monotonic(), statistics.mean(seconds) * (len(positions) - done) / size
            logger.info(
                "%s: %d of %d translated, %s left.", contender.label, done, len(positions), tqdm.format_interval(left)
            )
    rate = size / statistics.median(seconds[1:] or seconds)  # The first one warms up.
    return {"images_per_second": rate, "batch": size}


def _translate(
    translator: Translator, sampler: Method, grid: StepGrid, params: Params, rng: Array, sar: Array, names: Array
) -> Array:
    rngs = jax.vmap(lambda name: jax.random.fold_in(rng, name))(names)
    return translator(params, sar, rngs, method=sampler, grid=grid)


def _names(ids: Sequence[str]) -> np.ndarray:
    """Ids as numbers to fold into a key, [n] uint32."""
    return np.asarray([zlib.crc32(name.encode()) for name in ids], np.uint32)


def latency_ms(call: Callable[[], Any], *, repeats: int) -> float:
    """Milliseconds of one call of a compiled function, from arguments on the device to the result on the device.

    The first run warms up; then the median of ``repeats`` runs. Where the first run takes longer than
    ``PATIENCE_SECONDS`` (a thousand steps), it is the measurement itself.
    """

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - start

    first = seconds()
    return 1e3 * (first if first > PATIENCE_SECONDS else statistics.median(seconds() for _ in range(repeats)))
