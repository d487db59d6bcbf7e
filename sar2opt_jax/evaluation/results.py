"""The results of an evaluation: numbers per image, distances between sets of images, speed."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sar2opt_jax.metrics.distances import bootstrap
from sar2opt_jax.metrics.uncertainty import Calibration
from sar2opt_jax.translator import Method

Images = Callable[[Sequence[int]], np.ndarray]
"""From positions of examples to their images, [n, height, width, channel] uint8, read when they are asked for."""

SAMPLER_TITLES = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp": "DPM++"}
"""The teacher's samplers as the paper calls them; with all its steps DDPM is the *original*."""
BASELINE_TITLES = {"pix2pix": "pix2pix", "cyclegan": "CycleGAN"}
"""The baselines as their papers call them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that is measured, and how it is shown.

    Attributes:
      label: the head of its column.
      unit: of its values, or nothing.
      better: ``higher``, ``lower``, or ``one``: what is nearest to 1.
      digits: after the decimal point.
      meaning: one paragraph for a reader, in Markdown.
    """

    label: str
    unit: str = ""
    better: str
    digits: int
    meaning: str

    @property
    def head(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


PER_IMAGE = {
    "psnr": Quantity(
        label="PSNR",
        unit="dB",
        better="higher",
        digits=2,
        meaning="Peak signal-to-noise ratio, on images scaled to [0, 1] with range 1, per image, then averaged. "
        "Nothing beats a blurred average of all plausible images here.",
    ),
    "ssim": Quantity(
        label="SSIM",
        better="higher",
        digits=3,
        meaning="Structural similarity with an 11 × 11 Gaussian window (sigma 1.5, K = 0.01, 0.03), on the same "
        "images. 1 is the truth.",
    ),
    "lpips_alexnet": Quantity(
        label="LPIPS",
        better="lower",
        digits=3,
        meaning="Learned perceptual distance, version 0.1 on AlexNet features. 0 is the truth.",
    ),
    "lpips_vgg16": Quantity(
        label="LPIPS-VGG",
        better="lower",
        digits=3,
        meaning="The same on VGG16 features.",
    ),
    "colour_shift": Quantity(
        label="Colour shift",
        unit="ΔE",
        better="lower",
        digits=2,
        meaning="Mean CIEDE2000 difference between the colours of areas of 8 × 8 pixels: how far the colours are off, "
        "whatever the detail. About 1 is just noticeable side by side.",
    ),
    "sharpness": Quantity(
        label="Sharpness",
        better="one",
        digits=2,
        meaning="Mean gradient of the luminance between neighbouring pixels, divided by that of the truth. 1 is right, "
        "less is blurred, more is noise or artefacts.",
    ),
    "gradient_distance": Quantity(
        label="Gradient distance",
        better="lower",
        digits=4,
        meaning="How far the distribution of these gradients is from the truth's (Wasserstein-1, in intensity per "
        "pixel). Noise that stands in for lost detail does not lower it.",
    ),
}
"""Metrics with one number per image, by their key; ``sharpness`` is shown relative to the truth."""

DISTANCES = {
    "fid": Quantity(
        label="FID",
        better="lower",
        digits=1,
        meaning="Fréchet distance between the translations and the true images in the pool3 features of the Inception "
        "network of 2015 that FID is defined with. Biased upwards on few images: compare only within one table.",
    ),
    "kid": Quantity(
        label="KID × 1000",
        better="lower",
        digits=1,
        meaning="Kernel distance in the same features, times 1000: without bias on few images.",
    ),
    "frechet_alexnet": Quantity(
        label="Fréchet (AlexNet)",
        better="lower",
        digits=1,
        meaning="Fréchet distance in AlexNet features. **This is not FID** and cannot be compared with published FID "
        "values; it ranks methods within one table.",
    ),
    "kernel_alexnet": Quantity(
        label="Kernel (AlexNet) × 1000",
        better="lower",
        digits=1,
        meaning="Kernel distance in AlexNet features, times 1000. **This is not KID.**",
    ),
}
"""Distances between all translations and all true images, by their key."""

QUANTITIES = PER_IMAGE | DISTANCES


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # Arrays and functions have no truth value of equality.
class Result:
    """What one network achieved, sampled in one way.

    Attributes:
      name: of the network: ``teacher``, ``student``, ``pix2pix``, or what tells several apart; ``linear``.
      kind: ``teacher``, ``student``, ``generator`` (one step, no diffusion) or ``linear`` (the linear regression).
      method: sampler and steps; None for the linear baseline.
      metrics: keys of ``PER_IMAGE``, [num_examples] each.
      distances: keys of ``DISTANCES``.
      images: translations of the examples at some positions, [n, height, width, 3] uint8.
      ms_per_image: latency of one image alone; None for the linear baseline.
      images_per_second: of full batches on all devices of one process; None where it was not measured.
    """

    name: str
    kind: str
    method: Method | None
    metrics: Mapping[str, np.ndarray]
    distances: Mapping[str, float]
    images: Images
    ms_per_image: float | None = None
    images_per_second: float | None = None

    @property
    def sampler(self) -> str | None:
        """Name of the sampler; None for the linear baseline."""
        return self.method and self.method.sampler

    @property
    def num_steps(self) -> int:
        """Network evaluations per image; 0 for the linear baseline."""
        return self.method.num_steps if self.method else 0

    @property
    def series(self) -> str:
        """What a reader calls the method, whatever its steps: equal ones are one line in a figure."""
        return series(self.name, self.kind, self.sampler)


class Spread(NamedTuple):
    """Of several translations of each image by one method, whose name a reader knows it by."""

    name: str
    calibration: Calibration


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """All methods on the same examples.

    Attributes:
      ids: of the examples, [num_examples].
      groups: for each way to group the examples (``season``, ``terrain``), the group of each, [num_examples].
      sar: radar images of the examples at some positions, [n, height, width, channel] uint8.
      optical: the true images, [n, height, width, 3] uint8.
      image_size: height and width in pixels.
      truth_sharpness: of the true images, [num_examples].
      linear: the linear regression, which every method must be compared with.
      methods: the contenders' results in the order given.
      spread: of several translations of each image; None where there is one.
      remarks: for the reader, on how it was measured, or why something was not.
    """

    ids: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    sar: Images
    optical: Images
    image_size: tuple[int, int]
    truth_sharpness: np.ndarray
    linear: Result
    methods: tuple[Result, ...]
    spread: Spread | None = None
    remarks: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Result, ...]:
        """The linear baseline, then the methods."""
        return self.linear, *self.methods

    @functools.cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Those that were measured, in the order of ``QUANTITIES``."""
        measured = self.linear.metrics.keys() | self.linear.distances.keys()
        return {key: quantity for key, quantity in QUANTITIES.items() if key in measured}

    @property
    def original(self) -> Result | None:
        """The ancestral sampler with most steps: what all others are measured against."""
        ancestral = [result for result in self.methods if result.sampler == "ddpm"]
        return max(ancestral, key=lambda result: result.num_steps, default=None)

    @property
    def headline(self) -> Result:
        """The method that panels of single images show: a student nearest to 4 steps, a generator, or what there is."""
        ranks = {"student": 0, "generator": 1, "teacher": 2}
        return min(self.methods or (self.linear,), key=lambda r: (ranks.get(r.kind, 3), abs(r.num_steps - 4)))

    def title(self, result: Result) -> str:
        """What a reader calls a method, without its steps."""
        return "Original" if result is self.original else result.series

    def per_image(self, result: Result, key: str) -> np.ndarray:
        """A metric of every image, [num_examples], as it is shown: sharpness is divided by the truth's mean.

        By the mean, because a single image of open water has next to no gradient to divide by. NaN where the truth is
        flat throughout.
        """
        values = np.asarray(result.metrics[key], np.float64)
        if key != "sharpness":
            return values
        truth = float(np.mean(self.truth_sharpness))
        return values / truth if truth else np.full_like(values, np.nan)

    def value(self, result: Result, key: str, *, where: Sequence[int] | slice = slice(None)) -> float:
        """A quantity as it is shown: the mean over the images (of some positions), or a distance between the sets."""
        if key in result.distances:
            return result.distances[key]
        return float(np.mean(self.per_image(result, key)[where]))

    def interval(self, result: Result, key: str, *, against: Result | None = None) -> tuple[float, float] | None:
        """Bootstrap interval of the mean of a per-image metric, or of its difference to another method's.

        At 95 %; the same images are drawn for all methods.

        Returns:
          Lower and upper end; None for distances between sets, of a single image, or where a value is not finite.
        """
        if key not in result.metrics or len(self.ids) < 2:
            return None
        values = self.per_image(result, key)
        if against is not None:
            with np.errstate(invalid="ignore"):  # A PSNR is infinite where a translation equals the truth.
                values = values - self.per_image(against, key)
        if not np.isfinite(values).all():
            return None
        # Of sharpness both means vary with the images, and together.
        over = np.asarray(self.truth_sharpness) / np.mean(self.truth_sharpness) if key == "sharpness" else None
        return bootstrap(values, over=over)

    def speed_up(self, result: Result) -> float | None:
        """How many times faster than the original; None where one of the two was not timed."""
        if self.original is None or not self.original.ms_per_image or not result.ms_per_image:
            return None
        return self.original.ms_per_image / result.ms_per_image


def series(name: str, kind: str, sampler: str | None) -> str:
    """What a reader calls a network under a sampler: most by their name, a teacher by its sampler's."""
    if kind == "linear":
        return "Linear baseline"
    if kind == "teacher" and sampler in SAMPLER_TITLES:
        return SAMPLER_TITLES[sampler] if name == "teacher" else f"{name}, {SAMPLER_TITLES[sampler]}"
    return BASELINE_TITLES.get(name, name[:1].upper() + name[1:])


def steps_text(num_steps: int) -> str:
    """``1 step``, ``2 steps``."""
    return f"{num_steps} step" if num_steps == 1 else f"{num_steps:,} steps"
