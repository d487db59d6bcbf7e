"""What a report says around its numbers, in Markdown, once for the page and for the Markdown file."""

from sar2opt_jax.evaluation.distances import CONFIDENCE, RESAMPLES
from sar2opt_jax.evaluation.results import Results, steps_text


def columns(results: Results) -> list[str]:
    """What the columns of the tables mean, one paragraph each."""
    original = f"in {steps_text(results.original.num_steps)}" if results.original else "in all its steps"
    kinds = {result.kind for result in results.methods}
    method = (
        "**Method.** *Linear floor*: the best linear regression from a small window of radar pixels to a colour; no "
        f"network. *Original*: the teacher, sampled as it was trained, {original}. *DDIM* and *DPM++*: the same "
        "teacher with samplers that take fewer steps."
    )
    method += " *Student*: the network distilled from the teacher." if "student" in kinds else ""
    method += " *GAN baselines*: networks trained to translate in one step." if "generator" in kinds else ""
    return [
        method,
        "**Steps.** Network evaluations per image.",
        *(f"**{quantity.label}.** {quantity.meaning}" for quantity in results.quantities.values()),
        "**PSNR − original.** A method's PSNR minus the original's, image by image, then averaged.",
        f"**Intervals.** {CONFIDENCE:.0%} bootstrap intervals of the mean: the images are drawn anew {RESAMPLES:,} "
        "times, the same ones for all methods. They say how much the choice of images matters, not the choice of the "
        "training run. Two methods are compared by the interval of their difference, which is mostly far narrower "
        "than either one's own.",
        "**ms per image.** Time for one image alone, from radar image on the device to translated image on the "
        "device, after compilation: the median of repeated runs after a warm-up; a method that takes seconds for an "
        "image is timed by one run. **Images per second** are those of full batches. **Speed-up** is against the "
        "original.",
    ]


def reading(results: Results) -> list[str]:
    """How to read the numbers, one paragraph each."""
    paragraphs = [
        "Many optical images fit one radar image. **Nothing beats their average in PSNR**, and an average is blurred. "
        "A teacher sampled in one step gives almost exactly that average, the posterior mean. So the fewest steps of "
        "DDIM and DPM++ can lead the table in PSNR and still look washed out: their sharpness shows it.",
        "The original and a good student give **one** of the fitting images, sharp and in plausible colours. Details "
        "that are plausible but elsewhere than in the truth count double: a perfect sample stands 3 dB below the "
        "average.",
        "Compare like with like: the student with the original, both samples, where it should be at least equal at a "
        "small part of the cost; and the student with DDIM and DPM++ **at the same number of steps**, where its "
        "sharpness should be nearer to 1.",
        "A method whose PSNR is below the linear floor and whose images are blurred as well has learned little.",
    ]
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
    return [
        f"All methods translate the same {count:,} {'image' if count == 1 else 'images'} of {height} x {width} pixels.",
        "The noise of an image comes from its id alone: all methods start it from the same noise, whatever the batch "
        "size and the number of devices.",
        "Translations are measured as the 8-bit images that a user gets, scaled to [0, 1] with range 1.",
        "SSIM: 11 x 11 Gaussian window, sigma 1.5, K = 0.01, 0.03, where the window lies inside the image.",
        "Splits are by scene wherever a dataset names its scenes, because neighbouring images share ground.",
    ]


FILES = {
    "results.csv": "the table, a row a method, with intervals",
    "per_image.csv": "every number of every image",
    "results.json": "all of it, with the config and the names of the images",
}
"""What stands beside the report for a machine to read."""
