"""Which of all methods and images a figure shows: enough to compare, few enough to look at."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from sar2opt_jax.evaluation.results import QUANTITIES, Quantity, Result, Results

FIDELITY = "psnr"
PERCEPTION = ("fid", "frechet_alexnet", "lpips_alexnet", "lpips_vgg16", "gradient_distance", "ssim")
"""What is set beside PSNR, because PSNR rewards blur; the first that was measured."""
SET_DISTANCES = ("fid", "frechet_alexnet")
LEARNED = ("lpips_alexnet", "lpips_vgg16")
STUDENT_STEPS = (1, 2, 4, 8)
"""The columns of a student that was sampled in more ways than these."""
OPENING = 4
EXAMPLES_EACH = 3


def first_measured(results: Results, keys: Sequence[str]) -> str | None:
    """The first of some quantities that was measured."""
    return next((key for key in keys if key in results.quantities), None)


def side_by_side(results: Results, *, figure_steps: int) -> tuple[tuple[str, tuple[Result, ...]], ...]:
    """The columns of figure 1: a title and methods for each kind of network that there is.

    Args:
      results: of an evaluation.
      figure_steps: with how many steps a teacher's fast samplers are shown.
    """
    fast = [r for r in results.methods if r.kind == "teacher" and r.sampler != "ddpm"]
    teacher = [r for r in fast if r.num_steps == figure_steps]
    teacher += [results.original] if results.original else []
    student: list[Result] = []
    for name in dict.fromkeys(r.name for r in results.methods if r.kind == "student"):
        own = [r for r in results.methods if r.kind == "student" and r.name == name]
        usual = [r for r in own if r.num_steps in STUDENT_STEPS]
        student += own if len(own) <= len(STUDENT_STEPS) else (usual or own[: len(STUDENT_STEPS)])
    generators = [r for r in results.methods if r.kind == "generator"]
    groups = (("GAN baselines", generators), ("Teacher", teacher), ("Student", student))
    return tuple((title, tuple(group)) for title, group in groups if group)


def few_step(results: Results, *, figure_steps: int, sampler: str = "ddim") -> Result | None:
    """The teacher's fast sampler whose number of steps is nearest to ``figure_steps``."""
    candidates = [r for r in results.methods if r.kind == "teacher" and r.sampler == sampler]
    return min(candidates, key=lambda r: abs(math.log(r.num_steps / figure_steps)), default=None)


def compared(results: Results, *, figure_steps: int, baselines: bool = True) -> tuple[Result, ...]:
    """The few that stand for all: the original, DDIM in few steps, the GAN baselines and the headline method."""
    generators = (r for r in results.methods if baselines and r.kind == "generator")
    chosen = (results.original, few_step(results, figure_steps=figure_steps), *generators, results.headline)
    return _distinct(chosen)


def opening(results: Results, *, figure_steps: int) -> tuple[Result, ...]:
    """At most four, which with radar and truth fill two rows of three on a phone; a baseline or the floor is there."""
    methods = compared(results, figure_steps=figure_steps)
    if len(methods) < OPENING:
        methods = with_floor(results, figure_steps=figure_steps)
    return _distinct((*methods[: OPENING - 1], results.headline))


def with_floor(results: Results, *, figure_steps: int) -> tuple[Result, ...]:
    """The linear baseline and those of ``compared``."""
    return _distinct((results.linear, *compared(results, figure_steps=figure_steps)))


def fastest_rival(results: Results) -> Result | None:
    """DDIM with as many steps as the headline method, which it is fair to compare with; None where there is none."""
    headline = results.headline
    rivals = (r for r in results.methods if r.sampler == "ddim" and r.num_steps == headline.num_steps)
    return next((r for r in rivals if r is not headline), None)


def ranking_key(results: Results) -> str:
    """What images are ranked by: LPIPS where it was measured, else PSNR."""
    return first_measured(results, LEARNED) or FIDELITY


def ranked(results: Results) -> list[int]:
    """Positions of the images, the headline method's best first; those without a number last."""
    key = ranking_key(results)
    values = results.per_image(results.headline, key)
    return [int(i) for i in np.argsort([_badness(value, QUANTITIES[key]) for value in values], kind="stable")]


def median(results: Results) -> int:
    """Position of the image in the middle of the ranking."""
    order = ranked(results)
    return order[(len(order) - 1) // 2]


def examples(results: Results) -> list[tuple[str, int, int]]:
    """Best, median and worst images of the headline method: a title, its rank from 1 and its position.

    The same number of each, and no image twice.
    """
    order = ranked(results)
    total = len(order)
    if total < 3:
        titles = ("Only image",) if total == 1 else ("Best", "Worst")
        return [(title, rank + 1, order[rank]) for rank, title in enumerate(titles)]
    each = min(EXAMPLES_EACH, total // 3)
    middle = (total - each) // 2
    ranks = (("Best", 0), ("Median", middle), ("Worst", total - each))
    return [(title, rank + 1, order[rank]) for title, start in ranks for rank in range(start, start + each)]


def best(values: Sequence[float | None], quantity: Quantity) -> list[bool]:
    """Which of the values are the best, as far as the digits that are shown tell; none where there is no choice."""
    digits = quantity.digits
    badness = [
        math.inf if value is None or math.isnan(value) else round(_badness(round(value, digits), quantity), digits)
        for value in values
    ]
    if sum(value < math.inf for value in badness) < 2:
        return [False] * len(values)
    return [value == min(badness) for value in badness]


def _distinct(results: Iterable[Result | None]) -> tuple[Result, ...]:
    return tuple({id(result): result for result in results if result is not None}.values())


def _badness(value: float, quantity: Quantity) -> float:
    """Small is good, whatever the quantity."""
    return {"higher": -value, "lower": value, "one": abs(value - 1)}[quantity.better]
