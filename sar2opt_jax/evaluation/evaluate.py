"""Runs sampling methods over one set of examples: translations, metrics and latency."""

import dataclasses
import functools
import logging
import operator
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from sar2opt_jax.diffusion.translation import Method, Translator
from sar2opt_jax.evaluation import metrics
from sar2opt_jax.evaluation.floor import LinearFloor
from sar2opt_jax.types import Array, Batch, Params, PyTree

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""A method that takes longer than this for one image is timed by a single run."""


SAMPLER_TITLES = {"ddpm": "Original", "ddim": "DDIM", "dpm_solver_pp": "DPM++"}
"""The teacher's samplers as the paper calls them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One network, sampled in one way.

    Attributes:
      name: of the network: ``teacher``, ``student``, or what tells several students apart.
      translator: how it is sampled.
      params: its parameters.
      method: sampler and number of steps.
    """

    name: str
    translator: Translator
    params: Params
    method: Method


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one method achieved.

    Attributes:
      name: of the network, or ``linear`` for the floor.
      method: sampler and steps; None for the linear floor.
      metrics: those of ``metrics.measure``, [num_examples] each.
      images: the first translations, [num_images, height, width, 3] in [-1, 1].
      ms_per_image: latency, see ``latency_ms``; None for the floor.
    """

    name: str
    method: Method | None
    metrics: dict[str, np.ndarray]
    images: np.ndarray
    ms_per_image: float | None = None

    @property
    def sampler(self) -> str | None:
        """Name of the sampler; None for the floor."""
        return self.method and self.method.sampler

    @property
    def num_steps(self) -> int:
        """Network evaluations per image; 0 for the floor."""
        return self.method.num_steps if self.method else 0

    @property
    def title(self) -> str:
        """What a reader calls the method, without its steps; equal titles are one line in a figure."""
        return title(self.name, self.sampler)

    def mean(self, metric: str) -> float:
        """Mean of a metric over the examples."""
        return float(np.mean(self.metrics[metric]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """All methods on the same examples.

    Attributes:
      ids: of the examples, [num_examples].
      sar: the first SAR images, [num_images, height, width, channel] in [-1, 1].
      optical: the first true images, [num_images, height, width, 3] in [-1, 1].
      image_size: height and width in pixels.
      truth_sharpness: of the true images, [num_examples].
      floor: the linear regression, which every method must be compared with.
      methods: the contenders' results in the order given.
    """

    ids: list[str]
    sar: np.ndarray
    optical: np.ndarray
    image_size: tuple[int, int]
    truth_sharpness: np.ndarray
    floor: Result
    methods: tuple[Result, ...]

    @property
    def original(self) -> Result | None:
        """The ancestral sampler with most steps: what all others are measured against."""
        ancestral = [result for result in self.methods if result.sampler == "ddpm"]
        return max(ancestral, key=lambda result: result.num_steps, default=None)

    def relative_sharpness(self, result: Result) -> float:
        """Mean sharpness of the translations over that of the truth: below 1 blurred, above 1 noisy.

        A ratio of means, because a single image of open water has next to no gradient to divide by. NaN where the
        truth is flat throughout.
        """
        truth = float(np.mean(self.truth_sharpness))
        return result.mean("sharpness") / truth if truth else float("nan")

    def speed_up(self, result: Result) -> float | None:
        """How many times faster than the original; None where one of the two was not timed."""
        if self.original is None or not self.original.ms_per_image or not result.ms_per_image:
            return None
        return self.original.ms_per_image / result.ms_per_image


def run(
    contenders: Sequence[Contender],
    batch: Batch,
    ids: Sequence[str],
    *,
    floor: LinearFloor,
    batch_size: int,
    rng: Array,
    num_images: int = 8,
    timing_repeats: int = 5,
) -> Results:
    """Translates all examples with all methods.

    An example's noise comes from ``rng`` and its index alone: results do not depend on the batch size, and all methods
    start an example from the same noise.

    Args:
      contenders: what to compare.
      batch: the examples, numpy arrays.
      ids: what the examples are called.
      floor: the linear regression, fitted to training pairs.
      batch_size: examples that are translated at once.
      rng: a key.
      num_images: how many translations are kept for the figures.
      timing_repeats: runs that latency is the median of.

    Raises:
      ValueError: for a method that does not fit its network (before anything is computed), images too small to
        measure, or translations that are not finite.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    for contender in contenders:
        contender.translator.timesteps(contender.method)
    optical, sar, index = (np.asarray(array) for array in batch)
    in_batches = functools.partial(_in_batches, batch_size=batch_size)
    measure = jax.jit(metrics.measure)

    translated = floor.predict(sar)
    scores = in_batches(measure, translated, optical)
    floor_result = Result(name="linear", method=None, metrics=scores, images=translated[:num_images])
    logger.info("%s: %s", floor_result.title, _summary(floor_result))

    results = []
    evaluations = len(ids) * sum(contender.method.num_steps for contender in contenders)
    with tqdm(total=evaluations, unit="evaluation", unit_scale=True, disable=None) as bar:
        for contender in contenders:
            method = contender.method
            what = f"{title(contender.name, method.sampler)}, {steps_text(method.num_steps)}"
            bar.set_description(what)
            # The network's parameters and the key come first, so that what is left takes a batch.
            translate = jax.jit(functools.partial(_translate, contender.translator, method))
            bound = functools.partial(translate, jax.device_put(contender.params), rng)
            translated = in_batches(bound, sar, index, progress=lambda n, steps=method.num_steps: bar.update(n * steps))
            if not np.isfinite(translated).all():
                raise ValueError(f"{what}: translations are not finite; the network has diverged.")
            result = Result(
                name=contender.name,
                method=method,
                metrics=in_batches(measure, translated, optical),
                images=np.clip(translated[:num_images], -1, 1),
                ms_per_image=latency_ms(translate, *bound.args, sar[:1], index[:1], repeats=timing_repeats),
            )
            results.append(result)
            logger.info("%s: %s", what, _summary(result))
    return Results(
        ids=list(ids),
        sar=sar[:num_images],
        optical=optical[:num_images],
        image_size=(optical.shape[1], optical.shape[2]),
        truth_sharpness=in_batches(measure, optical, optical)["sharpness"],
        floor=floor_result,
        methods=tuple(results),
    )


def title(name: str, sampler: str | None) -> str:
    """What a reader calls a network under a sampler: a student by its name, a teacher by its sampler's."""
    if sampler is None:
        return "Linear floor"
    if sampler not in SAMPLER_TITLES:
        return name[:1].upper() + name[1:]
    return SAMPLER_TITLES[sampler] if name == "teacher" else f"{name}, {SAMPLER_TITLES[sampler]}"


def steps_text(num_steps: int) -> str:
    """``1 step``, ``2 steps``."""
    return f"{num_steps} step" if num_steps == 1 else f"{num_steps} steps"


def latency_ms(function: Any, *args: Any, repeats: int) -> float:
    """Milliseconds of one call of a jitted function, from arguments on the device to the result on the device.

    Compilation does not count and the first run warms up; then the median of ``repeats`` runs. Where the first run
    takes longer than ``PATIENCE_SECONDS`` (a thousand steps), it is the measurement itself.
    """
    args = jax.block_until_ready(jax.device_put(args))
    compiled = function.lower(*args).compile()

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        return time.perf_counter() - start

    first = seconds()
    return 1e3 * (first if first > PATIENCE_SECONDS else statistics.median(seconds() for _ in range(repeats)))


def _translate(translator: Translator, method: Method, params: Params, rng: Array, sar: Array, index: Array) -> Array:
    rngs = jax.vmap(lambda i: jax.random.fold_in(rng, i))(index)
    return translator(params, sar, rngs, method=method)


def _in_batches(
    function: Callable[..., PyTree],
    *arrays: np.ndarray,
    batch_size: int,
    progress: Callable[[int], object] = lambda examples: None,
) -> PyTree:
    """Applies ``function`` to batches of the arrays and joins its results in numpy.

    The last batch is filled up with its last example, so that all have one shape and one compilation.
    """
    total = len(arrays[0])
    batch_size = min(batch_size, total)
    parts = []
    for start in range(0, total, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), total - 1)
        count = min(batch_size, total - start)
        outputs = jax.device_get(function(*(array[rows] for array in arrays)))
        parts.append(jax.tree.map(operator.itemgetter(slice(count)), outputs))
        progress(count)
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def _summary(result: Result) -> str:
    text = f"PSNR {result.mean('psnr'):.2f} dB, SSIM {result.mean('ssim'):.3f}"
    return text if result.ms_per_image is None else f"{text}, {result.ms_per_image:.1f} ms per image"
