"""Runs every metric whose weights are available."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.results import Images
from sar2opt_jax.metrics import colour, distances, fidelity, inception, lpips
from sar2opt_jax.types import Array, PyTree


class Measured(NamedTuple):
    """Of one set of images."""

    metrics: dict[str, np.ndarray]  # [count] each, keys of results.PER_IMAGE
    features: dict[str, np.ndarray]  # [count, width] each, keys of FEATURES


FEATURES = {"inception": ("fid", "kid"), "alexnet": ("frechet_alexnet", "kernel_alexnet")}
"""Fréchet and kernel distance in the features of each network; never under one name with those of another."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measures:
    """What to measure.

    Attributes:
      lpips: parameters of LPIPS by network, ``alexnet`` and ``vgg16``; others are not measured.
      inception: parameters of the Inception network that FID is defined with, or None.
      remarks: for the reader, about metrics that were requested but whose weights are not available.
    """

    lpips: Mapping[str, PyTree] = dataclasses.field(default_factory=dict)
    inception: PyTree | None = None
    remarks: tuple[str, ...] = ()

    def check_image_size(self, side: int) -> None:
        """Raises ValueError for images that are too small to be measured so; see ``config.evaluation``."""
        fidelity.check_image_size(side, side)
        for network in self.lpips:
            if side < (smallest := lpips.MINIMUM_SIDE[network]):
                raise ValueError(
                    f"LPIPS by {network} needs images of at least {smallest} x {smallest} pixels; data.image_size is "
                    f"{side}. Leave it out of evaluation.lpips."
                )

    def measure(
        self,
        images: Images,
        *,
        truth: Images,
        count: int,
        batches: Batches,
        progress: Callable[[int], Any] = lambda examples: None,
    ) -> Measured:
        """Measures images.

        Args:
          images: translations, from positions to [n, height, width, 3] uint8.
          truth: the true images, likewise.
          count: how many there are.
          batches: how many at once.
          progress: called with the number of images after each batch.

        Raises:
          ValueError: for images that are too small for a metric.
        """
        params = batches.replicate({"lpips": dict(self.lpips), "inception": self.inception})

        def load(positions: Sequence[int]) -> tuple[np.ndarray, ...]:
            # Scaled here: inside of a compiled function, equal images come out unequal in their last bit.
            image = images(positions)
            return image, fidelity.to_unit(image), fidelity.to_unit(truth(positions))

        return Measured(*batches.apply(functools.partial(self._compute, params), load, count, progress=progress))

    @functools.cached_property
    def _compute(self) -> Callable[..., tuple[dict[str, Array], dict[str, Array]]]:
        return jax.jit(_compute)

    def distances(self, features: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Between two sets of images, in every kind of features; none of a single image."""
        values = {}
        for network, (frechet, kernel) in FEATURES.items():
            if network in features and len(features[network]) > 1:
                pair = features[network], reference[network]
                values[frechet] = distances.frechet(*pair)
                values[kernel] = 1e3 * distances.kernel(*pair).mean
        return values


def _compute(
    params: Mapping[str, Any], image: Array, unit: Array, truth: Array
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Metrics and features of a batch: the image as uint8, and both in [0, 1]."""
    metrics = fidelity.measure(unit, truth) | {"colour_shift": colour.colour_shift(unit, truth)}
    for network, weights in params["lpips"].items():
        metrics[f"lpips_{network}"] = lpips.lpips(weights, unit, truth, net=network)
    features = {}
    if "alexnet" in params["lpips"]:
        features["alexnet"] = lpips.features(params["lpips"]["alexnet"], unit)
    if params["inception"] is not None:
        features["inception"] = inception.features(params["inception"], image)
    return metrics, features
