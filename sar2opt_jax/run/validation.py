"""What is looked at and measured while a stage is trained, on a fixed handful of images that are never trained on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.engine.parallel import on_one_device
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.figures import grid
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.evaluation.results import PER_IMAGE
from sar2opt_jax.types import Array, Networks, Stage

PREFIX = "validation/"
METRICS = ("psnr", "ssim", "lpips_alexnet", "lpips_vgg16")
"""Of the translations, where their weights are available."""


def is_higher_better(metric: str) -> bool:
    """Whether larger values of a logged metric are better; of losses, smaller ones are."""
    quantity = PER_IMAGE.get(metric.removeprefix(PREFIX))
    return quantity is not None and quantity.better == "higher"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    """Some images, and how their translations are measured.

    Attributes:
      examples: the images.
      measures: of translations; None where the images are trained on, so that there is nothing to validate.
    """

    examples: Examples
    measures: Measures | None

    def of(self, stage: Stage, translate: Callable[[Networks, Array, Array], Array], rng: Array) -> "StageValidation":
        """The validation of one stage.

        Args:
          stage: the training objective.
          translate: ``translate(networks, sar, rng)``, the usual translation.
          rng: a key; the noise is the same at every step.
        """
        return StageValidation(self, stage, translate, rng)


class StageValidation:
    """Translates and measures the images at some steps of a stage; compiled once for previews and metrics."""

    def __init__(self, validation: Validation, stage: Stage, translate: Callable[..., Array], rng: Array):
        """See ``Validation.of``."""
        self._measures, self._examples = validation.measures, validation.examples
        self._batch, self._rng = validation.examples.batch(), rng
        self._translate = jax.jit(translate)
        # Compiled without the gradients, which the metrics do not depend on.
        self._losses = jax.jit(lambda state, batch: stage.gradients(state._replace(step=jnp.int32(0)), batch, rng)[1])
        self._latest: tuple[int, np.ndarray] | None = None

    def picture(self, step: int, networks: Networks) -> np.ndarray:
        """Radar, truth and translation of every image, [height, width, 3] uint8."""
        return grid(self._batch.sar, self._batch.optical, np.nan_to_num(self._translated(step, networks)))

    def metrics(self, step: int, state: Any, networks: Networks) -> dict[str, float]:
        """The stage's losses on the images and the quality of their translations, as ``validation/NAME``.

        Args:
          step: optimiser steps taken.
          state: of the stage.
          networks: its export at this state.

        Returns:
          Means over the images; nothing where there is no validation split.
        """
        if self._measures is None:
            return {}
        losses = jax.device_get(self._losses(on_one_device(state), self._batch))
        found = {name: float(value) for name, value in losses.items() if name.startswith("loss/")}
        found |= self._quality(self._measures, self._translated(step, networks))
        return {PREFIX + name: value for name, value in found.items()}

    def _quality(self, measures: Measures, translated: np.ndarray) -> dict[str, float]:
        """Means of ``METRICS``, as far as they are measured; NaN where a translation is not finite."""
        images = to_uint8(np.nan_to_num(translated))
        measured = measures.measure(
            lambda positions: images[list(positions)],
            truth=self._examples.optical,
            count=len(images),
            batches=Batches(len(images)),
        )
        is_finite = np.isfinite(translated).all()
        return {
            name: float(np.mean(measured.metrics[name])) if is_finite else np.nan
            for name in METRICS
            if name in measured.metrics
        }

    def _translated(self, step: int, networks: Networks) -> np.ndarray:
        """[n, height, width, 3]; that of the latest step is kept, which a preview shows after it was measured."""
        if self._latest is None or self._latest[0] != step:
            translated = self._translate(on_one_device(networks), self._batch.sar, self._rng)
            self._latest = step, np.asarray(translated)
        return self._latest[1]
