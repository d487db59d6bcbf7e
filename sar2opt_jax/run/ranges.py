"""The range of every number of a config, once each, checked before anything is written.

Infinity is allowed only where a range includes it, NaN nowhere: no limit holds for it.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from sar2opt_jax.run.optimizers import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """What a number, or each number of a tuple, may be.

    Attributes:
      least: the lower limit.
      most: the upper limit.
      includes_least: whether the value may be ``least`` itself.
      includes_most: the same of ``most``.
      whole: whether only whole numbers are meant.
      optional: whether None is a value too.
    """

    least: float = 0.0
    most: float = math.inf
    includes_least: bool = True
    includes_most: bool = False
    whole: bool = False
    optional: bool = False

    def __contains__(self, value: Any) -> bool:
        kinds = int if self.whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
        above = value >= self.least if self.includes_least else value > self.least
        return above and (value <= self.most if self.includes_most else value < self.most)

    def __str__(self) -> str:
        """The limits in words, as they follow "must be"."""
        lower = f"at least {self.least:.12g}" if self.includes_least else f"above {self.least:.12g}"
        if math.isinf(self.most):
            return lower
        if self.includes_least and self.includes_most:
            return f"{self.least:.12g} to {self.most:.12g}"
        return f"{lower} and {'at most' if self.includes_most else 'below'} {self.most:.12g}"

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError, naming the value, where it is out of range."""
        if value not in self and not (self.optional and value is None):
            kind = "finite and " if value == math.inf else ""
            if isinstance(value, bool) or (self.whole and isinstance(value, float)):
                kind = "a whole number, " if self.whole else "a number, "
            raise ValueError(f"{name} must be {kind}{self}{', or None' if self.optional else ''}; got {value!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a tuple of numbers may be.

    Attributes:
      each: the range of every number.
      count: how many there must be; None for any number of them.
      needed: whether there must be at least one.
      distinct: whether no number may stand there twice.
    """

    each: Range
    count: int | None = None
    needed: bool = True
    distinct: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError, naming the value, for a number out of range, a wrong count or a duplicate."""
        numbers = f"{'whole ' if self.each.whole else ''}numbers"
        if not isinstance(value, tuple | list):
            raise ValueError(f"{name} must be a tuple of {numbers}, such as (1, 2); got {value!r}.")
        if self.count is not None and len(value) != self.count:
            raise ValueError(f"{name} must be {self.count} {numbers}; got {value!r}.")
        if self.needed and not value:
            raise ValueError(f"{name} must be at least one number of {self.each.least:.12g} or more; got none.")
        if not all(item in self.each for item in value):
            raise ValueError(f"{name} must be {numbers}, each {self.each}; got {value!r}.")
        if self.distinct:
            check_distinct(name, value)


COUNT = Range(least=1, whole=True)
WHOLE = Range(least=0, whole=True)
NOT_NEGATIVE = Range(least=0)
POSITIVE = Range(least=0, includes_least=False)
SHARE = Range(least=0, most=1, includes_most=True)
BELOW_ONE = Range(least=0, most=1)
STEP_COUNTS = Numbers(each=COUNT, distinct=True)
WIDTHS = Numbers(each=COUNT)
FORCED = dataclasses.replace(POSITIVE, includes_most=True)
"""Infinity too: an infinite clip clips nothing, an infinite rate forces the failure that ``train.nonfinite`` is for."""


def _optimizer(group: str) -> dict[str, Range | Numbers]:
    """An optimiser's. At a rate or a clip of zero nothing would be trained, and the losses would look healthy."""
    return {
        f"{group}.optimizer.learning_rate": FORCED,
        f"{group}.optimizer.warmup_steps": WHOLE,
        f"{group}.optimizer.betas": Numbers(each=BELOW_ONE, count=2),
        f"{group}.optimizer.eps": POSITIVE,
        f"{group}.optimizer.weight_decay": NOT_NEGATIVE,
        f"{group}.optimizer.clip_norm": dataclasses.replace(FORCED, optional=True),
    }


RANGES: dict[str, Range | Numbers] = {
    "seed": Range(least=0, most=2**32 - 1, includes_most=True, whole=True),
    "data.image_size": COUNT,
    "data.radar_jitter": BELOW_ONE,
    "model.widths": WIDTHS,
    "model.blocks_per_level": COUNT,
    "model.head_width": COUNT,
    "model.norm_groups": COUNT,
    "schedule.num_steps": Range(least=2, whole=True),
    "train.batch_size": COUNT,
    "train.micro_batches": COUNT,
    "train.log_every_steps": COUNT,
    "train.preview_every_steps": COUNT,
    "train.validate_every_steps": COUNT,
    "train.save_every_steps": COUNT,
    "train.profile_steps": WHOLE,
    "train.keep_checkpoints": COUNT,
    "train.keep_every_steps": dataclasses.replace(COUNT, optional=True),
    "train.keep_best_checkpoints": COUNT,
    "train.loader_threads": WHOLE,  # 0: read where they are used
    "teacher.num_steps": COUNT,
    **_optimizer("teacher"),
    "teacher.min_snr_gamma": dataclasses.replace(POSITIVE, optional=True),
    "teacher.noise_offset": NOT_NEGATIVE,
    "teacher.input_perturbation": NOT_NEGATIVE,
    "teacher.max_ema_decay": BELOW_ONE,
    "teacher.preview_steps": COUNT,
    "distill.num_steps": COUNT,
    **_optimizer("distill"),
    "distill.solver_steps": COUNT,
    "distill.huber_c": POSITIVE,
    "distill.target_decay": BELOW_ONE,
    "distill.sigma_data": POSITIVE,
    "distill.sampling_times_share": SHARE,
    "distill.sampling_steps": dataclasses.replace(STEP_COUNTS, needed=False),  # ``times.visits`` needs one.
    "distill.reconstruction_weight": NOT_NEGATIVE,
    "distill.own_output_share": SHARE,
    "distill.own_output_steps": COUNT,
    "distill.preview_steps": COUNT,
    "adversarial.weight": NOT_NEGATIVE,
    "adversarial.discriminator_widths": WIDTHS,
    **_optimizer("adversarial"),
    "pix2pix.num_steps": COUNT,
    **_optimizer("pix2pix"),
    "pix2pix.discriminator_widths": WIDTHS,
    "pix2pix.adversarial_weight": NOT_NEGATIVE,
    "pix2pix.l1_weight": NOT_NEGATIVE,
    "cyclegan.num_steps": COUNT,
    **_optimizer("cyclegan"),
    "cyclegan.discriminator_widths": WIDTHS,
    "cyclegan.cycle_weight": NOT_NEGATIVE,
    "evaluation.num_examples": COUNT,
    "evaluation.batch_size": COUNT,
    "evaluation.teacher_steps": dataclasses.replace(STEP_COUNTS, needed=False),  # besides figure_steps
    "evaluation.original_steps": COUNT,
    "evaluation.student_steps": STEP_COUNTS,
    "evaluation.student_gamma": SHARE,
    "evaluation.figure_steps": COUNT,
    "evaluation.figure_rows": COUNT,
    "evaluation.uncertainty_samples": WHOLE,
    "evaluation.floor_window": COUNT,
    "evaluation.floor_examples": COUNT,
}
"""By the dotted name of the value in ``configs/base.py``."""

OPTIONAL = frozenset({"data.data_dir", "train.keep_best_metric", "teacher.export", "evaluation.fid_weights"})
"""Values that are no numbers and may be None."""


def check_ranges(config: Config) -> None:
    """Raises ValueError for a number out of its range, and for None where a value is needed."""
    for name, allowed in RANGES.items():
        allowed.check(name, functools.reduce(operator.getitem, name.split("."), config))
    for name, value in leaves(config):
        if value is None and name not in RANGES and name not in OPTIONAL:
            raise ValueError(f"{name} must have a value; got None.")


def check_distinct(name: str, values: tuple[Any, ...] | list[Any]) -> None:
    """Raises ValueError for a tuple in which a value stands twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{name} must be distinct; got {twice!r} twice in {values!r}.")


def leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a config, with their dotted names."""
    for key in config:
        name, value = f"{prefix}{key}", config[key]
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{name}.")
        else:
            yield name, value
