"""Ranges of a config's numbers: every number has one, and each limit is refused just beyond it."""

import functools
import math
import operator
from collections.abc import Iterator

import pytest

from configs.base import PRESETS, get_base
from sar2opt_jax.run.checks import check
from sar2opt_jax.run.ranges import OPTIONAL, RANGES, Numbers, Range, check_ranges, leaves

STAGES = {"acd": ("teacher", "adversarial"), "pix2pix": ("pix2pix",)}


def base(preset="smoke", *, name="acd", changes=None):
    """A preset with other values, by their dotted names, whatever their types."""
    config = get_base(name=name, stages=STAGES[name], preset=preset)
    for key, value in (changes or {}).items():
        *groups, field = key.split(".")
        group = functools.reduce(operator.getitem, groups, config)
        with group.ignore_type():
            group[field] = value
    return config


def beyond(limits: Range) -> Iterator[float]:
    """Values just outside of a range, and NaN."""
    kind = int if limits.whole else float
    yield kind(limits.least - 1 if limits.includes_least else limits.least)
    yield math.nan
    if limits.whole:
        yield limits.least + 0.5
    if not math.isinf(limits.most):
        yield kind(limits.most + 1 if limits.includes_most else limits.most)
    elif not limits.includes_most:
        yield math.inf


def is_numeric(value) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return any(isinstance(item, int | float) and not isinstance(item, bool) for item in items)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_number_of_a_config_has_a_range_and_lies_in_it(preset):
    config = base(preset)
    values = dict(leaves(config))
    assert {name for name, value in values.items() if is_numeric(value)} <= set(RANGES) <= set(values)
    check_ranges(config)


def test_every_placeholder_may_be_none_and_nothing_else():
    values = dict(leaves(base("sen12")))
    can_be_none = OPTIONAL | {name for name, limits in RANGES.items() if getattr(limits, "optional", False)}
    assert {name for name, value in values.items() if value is None} <= can_be_none <= set(values)
    for name in set(values) - can_be_none:
        own = name.removeprefix("distill")  # The discriminator's optimiser follows the student's, and is named first.
        with pytest.raises(ValueError, match=rf"{own} must .*; got None\.$"):
            check_ranges(base(changes={name: None}))
    for name in can_be_none:
        check_ranges(base(changes={name: None}))


@pytest.mark.parametrize("name", [name for name, limits in RANGES.items() if isinstance(limits, Range)])
def test_number_beyond_its_range_is_refused_by_name(name):
    for value in beyond(RANGES[name]):
        with pytest.raises(ValueError, match=rf"^{name} must be .*; got {value!r}\.$"):
            check_ranges(base(changes={name: value}))


@pytest.mark.parametrize("name", [name for name, limits in RANGES.items() if isinstance(limits, Numbers)])
def test_tuple_with_a_number_beyond_its_range_is_refused_by_name(name):
    limits = RANGES[name]
    inside = limits.each.least
    for value in beyond(limits.each):
        numbers = (inside, value) if limits.count is None else (inside,) * (limits.count - 1) + (value,)
        with pytest.raises(ValueError, match=rf"^{name} must be .*, each at least .*; got \("):
            check_ranges(base(changes={name: numbers}))
    with pytest.raises(ValueError, match=rf"^{name} must be a tuple of .*; got 4\.$"):
        check_ranges(base(changes={name: 4}))
    if limits.needed:
        with pytest.raises(ValueError, match=rf"^{name} must be .*; got (none|\(\))\.$"):
            check_ranges(base(changes={name: ()}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must be 0 to 4294967295; got -1."),
        ({"seed": 2**32}, "seed must be 0 to 4294967295; got 4294967296."),
        ({"distill.target_decay": 95.0}, "distill.target_decay must be at least 0 and below 1; got 95.0."),
        ({"teacher.optimizer.clip_norm": 0.0}, "teacher.optimizer.clip_norm must be above 0, or None; got 0.0."),
        ({"distill.huber_c": math.inf}, "distill.huber_c must be finite and above 0; got inf."),
        ({"train.save_every_steps": 0}, "train.save_every_steps must be at least 1; got 0."),
        ({"distill.solver_steps": 0}, "distill.solver_steps must be at least 1; got 0."),
        ({"train.batch_size": True}, "train.batch_size must be a whole number, at least 1; got True."),
        (
            {"teacher.optimizer.betas": (0.9,)},
            "teacher.optimizer.betas must be 2 numbers; got (0.9,).",
        ),
        (
            {"evaluation.student_steps": (4.0,)},
            "evaluation.student_steps must be whole numbers, each at least 1; got (4.0,).",
        ),
        ({"evaluation.student_steps": (4, 4)}, "evaluation.student_steps must be distinct; got 4 twice in (4, 4)."),
        ({"evaluation.teacher_steps": (1, 2, 1)}, "must be distinct; got 1 twice in (1, 2, 1)."),
        ({"distill.sampling_steps": (2, 2)}, "distill.sampling_steps must be distinct; got 2 twice in (2, 2)."),
        ({"evaluation.lpips": ("vgg16", "vgg16")}, "evaluation.lpips must be distinct; got 'vgg16' twice"),
        ({"evaluation.lpips": ("vgg",)}, "Unknown evaluation.lpips 'vgg'; known: alexnet, vgg16."),
        ({"evaluation.lpips": "vgg16"}, "evaluation.lpips must be a tuple of names; got 'vgg16'."),
        ({"evaluation.teacher_samplers": ("ddim", "ddim")}, "teacher_samplers must be distinct; got 'ddim' twice"),
        ({"evaluation.models": ("A=b", "A=b")}, "evaluation.models must be distinct; got 'A=b' twice"),
        ({"evaluation.models": ("A=b", "a=c")}, "Two networks to compare are called 'a'"),
        ({"evaluation.models": (1,)}, "evaluation.models must be a tuple of names; got (1,)."),
        ({"distill.preview_steps": 2.5}, "distill.preview_steps must be a whole number, at least 1; got 2.5."),
        ({"evaluation.models": ("b",)}, "evaluation.models are NAME=PATH"),
        ({"evaluation.floor_window": 4}, "evaluation.floor_window must be odd and positive; got 4."),
        ({"teacher.preview_steps": 1001}, "teacher.preview_steps: The number of sampling steps must be 1 to 1000; "),
        ({"distill.preview_steps": 51}, "distill.preview_steps: A student takes 1 to 50 steps"),
        (
            {"distill.solver_steps": 2, "distill.sampling_steps": (1,)},
            "distill.preview_steps: A student takes 1 to 2",
        ),
        ({"distill.solver_steps": 7}, "distill.solver_steps: solver_steps (7) must divide"),
        ({"evaluation.figure_steps": 1001}, "evaluation.figure_steps: The number of sampling steps must be 1 to 1000"),
        ({"pix2pix.adversarial_weight": 0.0, "pix2pix.l1_weight": 0.0}, "nothing would be trained"),
        ({"data.name": None}, "data.name must have a value; got None."),
    ],
)
def test_setting_that_cannot_work_is_refused_in_one_sentence(changes, message):
    with pytest.raises(ValueError) as caught:
        check(base(changes=changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", STAGES)
def test_values_at_their_limits_are_accepted(name):
    at_limits = {
        "seed": 0,
        "train.loader_threads": 0,
        "teacher.optimizer.clip_norm": math.inf,
        "teacher.optimizer.learning_rate": math.inf,
        "teacher.optimizer.betas": (0.0, 0.0),
        "teacher.max_ema_decay": 0.0,
        "distill.sampling_times_share": 1.0,
        "evaluation.teacher_samplers": (),
        "evaluation.teacher_steps": (),
        "evaluation.lpips": (),
        "pix2pix.adversarial_weight": 0.0,
    }
    check(base(name=name, changes=at_limits))
