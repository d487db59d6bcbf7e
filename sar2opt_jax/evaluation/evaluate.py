"""Compares sampling methods on one set of examples: translates first, then measures the stored translations."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from sar2opt_jax.data.scaling import to_float, to_uint8
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.gallery import Gallery
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.evaluation.results import Images, Result, Results, Spread
from sar2opt_jax.evaluation.translations import VERSION, Contender, EvaluationSet, translate_missing
from sar2opt_jax.metrics.linear_baseline import LinearBaseline
from sar2opt_jax.metrics.uncertainty import Calibration, Uncertainty
from sar2opt_jax.types import Array

logger = logging.getLogger(__name__)


def run(
    contenders: Sequence[Contender],
    examples: EvaluationSet,
    *,
    linear_baseline: Callable[[], LinearBaseline],
    measures: Measures,
    directory: Path,
    batch_size: int,
    rng: Array,
    timing_repeats: int = 5,
    sampled: Contender | None = None,
    num_samples: int = 0,
) -> Results | None:
    """Translates all examples with all methods, then measures the translations.

    An example's noise comes from ``rng`` and its id alone: but for the rounding of the last 8-bit step, a translation
    does not depend on the batch size, on the number of devices or processes, or on which other examples there are; all
    methods start an example from the same noise. Translations are kept in ``directory``, 8-bit, and are what is
    measured: a killed evaluation resumes.

    Args:
      contenders: what to compare.
      examples: what to translate.
      linear_baseline: fits the linear regression to training pairs; called by the first process alone.
      measures: what to measure.
      directory: for the translations, a folder each method; of several processes all must see it.
      batch_size: examples that a process translates at once, over its devices.
      rng: a key.
      timing_repeats: runs that latency is the median of.
      sampled: which of the contenders translates every image several times, so that the spread can be compared with
        the error; None is none.
      num_samples: how many times.

    Returns:
      The results; None in all processes but the first.

    Raises:
      ValueError: for a method that does not fit its network, or two contenders of one name (before anything is
        computed); images too small to measure, or translations that are not finite.
    """
    batches = Batches(batch_size)
    for contender in contenders:
        contender.translator.timesteps(contender.method)
    samples = [dataclasses.replace(sampled, sample=i) for i in range(num_samples)] if sampled is not None else []
    translated = [*contenders, *samples[1:]]
    galleries = {contender.folder: Gallery(directory / contender.folder) for contender in translated}
    if len(galleries) < len(translated):
        folders = [contender.folder for contender in translated]
        twice = next(c.label for c in translated if folders.count(c.folder) > 1)
        raise ValueError(f"Two networks to compare have one name: {twice}. Give each a name of its own.")
    if jax.process_index() == 0:
        for contender in translated:
            galleries[contender.folder].open(made_by=_made_by(contender, examples, rng))
    multihost_utils.sync_global_devices("galleries are open")
    translate_missing(translated, galleries, examples, batches=batches, rng=rng, timing_repeats=timing_repeats)
    multihost_utils.sync_global_devices("all is translated")
    if jax.process_index() != 0:
        return None
    results = _measure(
        contenders, galleries, examples, linear_baseline=linear_baseline(), measures=measures, batches=batches
    )
    if not samples:
        return results
    spread = _spread([galleries[sample.folder] for sample in samples], examples)
    return dataclasses.replace(results, spread=Spread(name=samples[0].label, calibration=spread))


def _made_by(contender: Contender, examples: EvaluationSet, rng: Array) -> dict[str, Any]:
    return {
        "version": VERSION,
        "network": dict(contender.identity),
        "method": dataclasses.asdict(contender.method),
        "image_size": examples.image_size,
        "noise": jax.random.key_data(contender.key(rng)).tolist(),
    }


def _spread(samples: Sequence[Gallery], examples: EvaluationSet) -> Calibration:
    """Reads every translation of every example, and compares their spread with their error."""
    measured = Uncertainty(len(samples))
    for position, name in enumerate(tqdm(examples.ids, desc="Comparing samples", unit="image", disable=None)):
        measured.add(np.stack([gallery.read([name])[0] for gallery in samples]), examples.optical([position])[0])
    return measured.result()


def _measure(
    contenders: Sequence[Contender],
    galleries: Mapping[str, Gallery],
    examples: EvaluationSet,
    *,
    linear_baseline: LinearBaseline,
    measures: Measures,
    batches: Batches,
) -> Results:
    """Reads every translation and measures it."""
    ids, remarks = examples.ids, []

    def predict(positions: Sequence[int]) -> np.ndarray:
        return to_uint8(linear_baseline.predict(to_float(examples.sar(positions))))

    def read(gallery: Gallery) -> Images:
        return lambda positions: gallery.read([ids[position] for position in positions])

    with tqdm(total=(len(contenders) + 2) * len(ids), desc="Measuring", unit="image", disable=None) as bar:
        measured = functools.partial(
            measures.measure, truth=examples.optical, count=len(ids), batches=batches, progress=bar.update
        )
        truth = measured(examples.optical)
        scores = measured(predict)
        linear = Result(
            name="linear", kind="linear", method=None, metrics=scores.metrics, images=predict,
            distances=measures.distances(scores.features, truth.features),
        )  # fmt: skip
        logger.info("%s: %s", linear.series, _summary(linear))
        results = []
        for contender in contenders:
            gallery = galleries[contender.folder]
            scores, speed = measured(read(gallery)), gallery.speed
            result = Result(
                name=contender.name,
                kind=contender.translator.kind,
                method=contender.method,
                metrics=scores.metrics,
                distances=measures.distances(scores.features, truth.features),
                images=read(gallery),
                ms_per_image=speed.get("ms_per_image"),
                images_per_second=speed.get("images_per_second"),
            )
            results.append(result)
            logger.info("%s: %s", contender.label, _summary(result))
            if _all_alike(read(gallery), len(ids)) and not _all_alike(examples.optical, len(ids)):
                remarks.append(
                    f"All {len(ids)} translations of {contender.label} are the same image, whatever the radar image: "
                    "this network has collapsed, and its numbers mean little."
                )
                logger.error("%s", remarks[-1])
    return Results(
        ids=list(ids),
        groups=examples.groups,
        sar=examples.sar,
        optical=examples.optical,
        image_size=(examples.image_size, examples.image_size),
        truth_sharpness=truth.metrics["sharpness"],
        linear=linear,
        methods=tuple(results),
        remarks=(*measures.remarks, *remarks),
    )


def _all_alike(images: Images, count: int) -> bool:
    """Whether there are several images and all are the same; ends with the first that differs."""
    first = images([0])
    return count > 1 and all(np.array_equal(first, images([i])) for i in range(1, count))


def _summary(result: Result) -> str:
    text = f"PSNR {np.mean(result.metrics['psnr']):.2f} dB, SSIM {np.mean(result.metrics['ssim']):.3f}"
    return text if result.ms_per_image is None else f"{text}, {result.ms_per_image:.1f} ms per image"
