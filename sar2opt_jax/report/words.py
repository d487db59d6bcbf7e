"""What a report says around its numbers, in Markdown, once for the page and for the Markdown file.

It speaks of what is in the results only: a report on pix2pix alone has no word on students.
"""

from collections.abc import Iterable

from sar2opt_jax.evaluation.results import SAMPLER_TITLES, Result, Results, steps_text
from sar2opt_jax.metrics.distances import CONFIDENCE, RESAMPLES
from sar2opt_jax.report.about import About


def shown(results: Results, *, figure_steps: int) -> str:
    """With how many steps the teacher's fast samplers stand in figure 1; nothing where none of them does."""
    names = _fast(result for result in results.methods if result.num_steps == figure_steps)
    return f"{_and(names)} {'are' if len(names) > 1 else 'is'} shown with {steps_text(figure_steps)}." if names else ""


def columns(results: Results) -> list[str]:
    """What the columns of the tables mean, one paragraph each."""
    original = results.original
    paragraphs = [
        _methods(results),
        "**Steps.** Network evaluations per image.",
        *(f"**{quantity.label}.** {quantity.meaning}" for quantity in results.quantities.values()),
    ]
    if original is not None:
        paragraphs.append("**PSNR − original.** A method's PSNR minus the original's, image by image, then averaged.")
    if len(results.ids) > 1:
        paragraphs.append(
            f"**Intervals.** {CONFIDENCE:.0%} bootstrap intervals of the mean: the images are resampled {RESAMPLES:,} "
            "times, the same ones for all methods. They say how much the choice of images matters, not the choice of "
            "the training run. Two methods are compared by the interval of their difference, which is mostly far "
            "narrower than either one's own."
        )
    speed = []
    if any(result.ms_per_image is not None for result in results.all):
        speed.append(
            "**ms per image.** Time for one image alone, from radar image on the device to translated image on the "
            "device, after compilation: the median of repeated runs after a warm-up; a method that takes seconds for "
            "an image is timed by one run."
        )
    if any(result.images_per_second is not None for result in results.all):
        speed.append("**Images per second** are those of full batches.")
    if any(results.speed_up(result) is not None for result in results.all):
        speed.append("**Speed-up** is against the original.")
    return [*paragraphs, " ".join(speed)] if speed else paragraphs


def reading(results: Results) -> list[str]:
    """How to read the numbers, one paragraph each."""
    fast, student = _fast(results.methods), "student" in _kinds(results)
    average = (
        "Many optical images fit one radar image. **Nothing beats their average in PSNR**, and an average is blurred."
    )
    if fast:
        average += (
            " A teacher sampled in one step gives almost exactly that average, the posterior mean. So the fewest steps "
            f"of {_and(fast)} can lead the table in PSNR and still look washed out: their sharpness shows it."
        )
    sharp = [*(["the original"] if results.original else []), *(["a good student"] if student else [])]
    sample = (
        "Details that are plausible but elsewhere than in the truth count double: a perfect sample stands 3 dB below "
        "the average."
    )
    if sharp:
        who = f"{_and(sharp)} {'give' if len(sharp) > 1 else 'gives'}"
        sample = f"{who[0].upper()}{who[1:]} **one** of the fitting images, sharp and in plausible colours. {sample}"
    paragraphs = [average, sample]
    pairs = []
    if student and results.original:
        pairs.append(
            "the student with the original, both samples, where it should be at least equal at a small part of the cost"
        )
    if student and fast:
        pairs.append(
            f"the student with {_and(fast)} **at the same number of steps**, where its sharpness should be nearer to 1"
        )
    if pairs:
        paragraphs.append(f"Compare like with like: {'; and '.join(pairs)}.")
    paragraphs.append(
        "A method whose PSNR is below the linear baseline and whose images are blurred as well has learned little."
    )
    if any(key in results.quantities for key in ("fid", "frechet_alexnet")):
        paragraphs.append(
            "A Fréchet distance compares two sets of images and is biased upwards on few: it ranks the methods of one "
            "table, and says nothing beside a number from elsewhere."
        )
    return paragraphs


def conventions(results: Results) -> list[str]:
    """How it was measured, one sentence each."""
    height, width = results.image_size
    count = len(results.ids)
    sentences = [
        f"All methods translate the same {count:,} {'image' if count == 1 else 'images'} of {height} × {width} pixels."
    ]
    if _kinds(results) & {"teacher", "student"}:
        sentences.append(
            "The noise of an image comes from its id alone: all methods that start from noise start it from the same, "
            "whatever the batch size and the number of devices."
        )
    sentences.append("Translations are measured as the 8-bit images that a user gets, scaled to [0, 1] with range 1.")
    if "ssim" in results.quantities:
        sentences.append(
            "SSIM: 11 × 11 Gaussian window, sigma 1.5, K = 0.01, 0.03, where the window lies inside the image."
        )
    sentences.append(
        "Splits are by scene wherever a dataset names its scenes, because neighbouring images share ground."
    )
    return sentences


def repeat(about: About) -> str:
    """The commands that make the report again, of the same source."""
    commit = about.commit.removesuffix("-dirty")
    lines = [f"git checkout {commit}"] if " " not in commit else []
    if about.commit.endswith("-dirty"):
        lines.append("# The source had changes that were not committed.")
    return "\n".join([*lines, about.command or ""])


CITATION = """\
@article{bai2024accelerating,
  title   = {Accelerating Diffusion for {SAR}-to-Optical Image Translation via Adversarial Consistency Distillation},
  author  = {Bai, X. and Xu, F.},
  journal = {arXiv preprint arXiv:2407.06095},
  year    = {2024}
}"""
"""The paper; ``CITATION.cff`` cites the software."""
FILES = {
    "results.csv": "the table, a row a method, with intervals",
    "per_image.csv": "every number of every image",
    "results.json": "all of it, with the config and the names of the images",
}
"""What stands beside the report for a machine to read."""


def _methods(results: Results) -> str:
    """What the methods are."""
    original, kinds, fast = results.original, _kinds(results), [f"*{name}*" for name in _fast(results.methods)]
    sentences = [
        "**Method.** *Linear baseline*: the best linear regression from a small window of radar pixels to a colour; no "
        "network."
    ]
    if original is not None:
        sentences.append(
            f"*Original*: the teacher by the ancestral sampler it was trained for, in {steps_text(original.num_steps)}."
        )
    if fast:
        teacher = "the same teacher" if original is not None else "the teacher"
        samplers = "samplers that take" if len(fast) > 1 else "a sampler that takes"
        sentences.append(f"{_and(fast)}: {teacher} with {samplers} fewer steps.")
    if "student" in kinds:
        sentences.append(f"*Student*: the network distilled from {'the' if 'teacher' in kinds else 'a'} teacher.")
    if "generator" in kinds:
        sentences.append("*GAN baselines*: networks trained to translate in one step.")
    return " ".join(sentences)


def _kinds(results: Results) -> set[str]:
    return {result.kind for result in results.methods}


def _fast(methods: Iterable[Result]) -> list[str]:
    """Titles of the teacher's samplers that take fewer steps than it was trained with, each once."""
    used = {result.sampler for result in methods if result.kind == "teacher"}
    return [title for sampler, title in SAMPLER_TITLES.items() if sampler in used - {"ddpm"}]


def _and(names: list[str]) -> str:
    """``DDIM``, ``DDIM and DPM++``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
