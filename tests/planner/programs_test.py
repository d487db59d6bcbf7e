"""The largest batch and what is found of a program, with programs whose memory is known."""

import dataclasses
import types

import pytest

from sar2opt_jax.planner import programs
from sar2opt_jax.planner.advice import refusal
from sar2opt_jax.planner.chips import GIB, TPUS
from sar2opt_jax.planner.compiling import Usage
from sar2opt_jax.planner.programs import Program, find
from sar2opt_jax.planner.report import Report
from sar2opt_jax.planner.topology import Target

TARGET = Target("v5e:2x2", [types.SimpleNamespace(device_kind="TPU v5 lite")] * 4, TPUS["v5e"], "libtpu 0")
FIXED, EACH = 4 * GIB, 1 * GIB


def program(**changes) -> Program:
    settings = {
        "name": "teacher",
        "lower": lambda examples: examples,
        "flops": lambda examples: 1e12 * examples,
        "examples": 2,
        "repeats": 2,
        "micro_batches": 2,
        "num_steps": 3600,
        "dtype": "bfloat16",
        "once_bytes": 1e9,
        "accumulator_bytes": 1 * GIB,
    }
    return Program(**settings | changes)


@pytest.fixture
def compiled(monkeypatch):
    """The numbers of examples that were compiled; what does not fit is refused as a compiler does."""
    seen = []

    def usage(examples, target, *, label, cache):
        seen.append(examples)
        peak = FIXED + EACH * examples
        if peak > 15.75 * GIB:
            return Usage(peak=peak, capacity=15.75 * GIB)
        return Usage(peak=peak, arguments=FIXED, temporaries=EACH * examples, bytes_accessed=4e9,
                     collectives={"all-reduce": 10**9})  # fmt: skip

    monkeypatch.setattr(programs, "usage", usage)
    return seen


@pytest.mark.parametrize(
    ("effort", "sizes", "most", "checked"),
    [("none", [2], None, None), ("law", [2, 8], 11, None), ("checked", [2, 8, 11], 11, True)],
)
def test_effort_says_how_the_largest_batch_is_found(compiled, effort, sizes, most, checked):
    found = find(program(), TARGET, effort=effort, cache=None)
    assert (compiled, found.most, found.checked, found.fits) == (sizes, most, checked, True)


@pytest.mark.parametrize(
    ("more", "sizes", "expected"),
    [
        (0.5, [2, 8, 11, 10], (10, True)),
        (3, [2, 8, 11, 6], (6, True)),
        (30, [2, 8, 11], (2, True)),  # Back at the config's own, which is known to fit.
    ],
)
def test_line_that_promises_too_much_is_corrected(compiled, monkeypatch, more, sizes, expected):
    linear = programs.usage

    def bent(examples, *args, **settings):
        found = linear(examples, *args, **settings)
        return dataclasses.replace(found, peak=found.peak + more * GIB * max(0, examples - 8))

    monkeypatch.setattr(programs, "usage", bent)
    found = find(program(), TARGET, effort="checked", cache=None)
    assert compiled == sizes and (found.most, found.checked) == expected


def test_line_is_drawn_further_where_a_few_examples_cost_nothing(compiled, monkeypatch):
    linear = programs.usage
    monkeypatch.setattr(programs, "usage", lambda examples, *args, **kw: linear(max(examples - 6, 2), *args, **kw))
    found = find(program(), TARGET, effort="law", cache=None)
    assert compiled == [2, 2, 122] and found.law is not None and found.law.per_example > 0


def test_finding_counts_the_rounds_of_a_loop(compiled):
    found = find(program(), TARGET, effort="none", cache=None)
    assert found.flops == 2e12  # ``Program.flops`` is of the whole step.
    assert found.bytes_moved == 1e9 + 2 * 3e9 and found.bytes_sent == 2e9 * 3 / 4
    assert found.roofline is not None and found.roofline.exchange == found.bytes_sent / TPUS["v5e"].interconnect


def test_program_too_large_is_measured_with_less(compiled):
    found = find(program(examples=16), TARGET, effort="none", cache=None)
    assert compiled == [16, 8] and not found.fits and found.most == 11
    assert found.roofline is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"examples": 16},
            "teacher does not fit: 16 examples at once take 20.00 GiB, a chip has 15.75. By a line through two batches "
            "would fit: --config.train.micro_batches=4 (8 at once; the same step, slower); or "
            "--config.train.batch_size=88 (11 at once)",
        ),
        # 11 fit, but not beside the gradients that a second part adds up: 10 do.
        ({"examples": 22, "micro_batches": 1}, "micro_batches=11 (2 at once"),
        ({"examples": 16, "num_steps": None}, "would fit: --config.evaluation.batch_size=44."),
        ({"examples": 16, "savers": ["--remat"]}, "(11 at once). --remat saves memory as well: plan again with it."),
    ],
)
def test_refusal_says_why_and_what_would_do(compiled, changes, said):
    found = find(program(**changes), TARGET, effort="law", cache=None)
    assert said in refusal(found, TARGET)


def test_refusal_of_what_no_batch_makes_fit(monkeypatch):
    monkeypatch.setattr(
        programs, "usage", lambda examples, *_, **__: Usage(peak=(20 + examples) * GIB, capacity=16 * GIB)
    )
    found = find(program(examples=1), TARGET, effort="law", cache=None)
    assert found.most == 0
    assert "20.00 GiB are taken whatever the batch, and 1.00 an example: it takes a chip with more memory" in refusal(
        found, TARGET
    )


def report(**changes) -> Report:
    findings = [
        find(program(), TARGET, effort="law", cache=None),
        find(program(name="translation", num_steps=None), TARGET, effort="none", cache=None),
    ]
    settings = {"config": "acd:sen12", "target": TARGET, "batch_size": 16, "findings": findings}
    return Report(**settings | {"price": 1.5, "efficiency": 1.0} | changes)


def test_hours_and_dollars_follow_from_the_roofline(compiled):
    made = report()
    stage, translation = made.findings
    seconds = max(2e12 / 197e12, 7e9 / 819e9) + 1.5e9 / 200e9
    assert made.hours(stage) == pytest.approx(seconds) and made.hours(translation) is None  # 3600 steps.
    assert made.to_json()["programs"][0]["dollars"] == pytest.approx(seconds * 4 * 1.5)
    assert report(efficiency=0.5).hours(stage) == pytest.approx(2 * seconds)


def test_cost_grows_with_chips_by_what_they_exchange(compiled):
    rows = report().scaling()
    assert [row["chips"] for row in rows] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert [row["batch_size"] for row in rows][:3] == [4, 8, 16]
    own = next(row for row in rows if row["chips"] == 4)
    made = report()
    assert own["hours"] == pytest.approx(made.hours(made.findings[0]))
    costs = [row["dollars"] for row in rows]
    assert costs == sorted(costs) and costs[0] < costs[-1] < 3 * costs[0]
    assert rows[0]["hours"] == pytest.approx(4 * max(2e12 / 197e12, 7e9 / 819e9))  # Alone it exchanges nothing.


def test_text_shows_what_the_json_says(compiled):
    text = report().text()
    assert text.startswith("acd:sen12 on v5e:2x2: 4 x TPU v5 lite, 16 examples a step.")
    cells = {line.split("  ")[0]: line.split()[-2:] for line in text.splitlines()}
    assert cells["peak, GiB"] == ["6", "6"] and cells["the chip has, GiB"] == ["15.75", "15.75"]
    assert "11 (by a line)" in text and "256" in text and "nothing here has run" in text


def test_without_rates_there_are_no_times(compiled):
    unknown = TARGET._replace(name="cpu", chip=None)
    found = find(program(), unknown, effort="law", cache=None)
    assert compiled == [2] and found.most is None  # The line is of no use where nothing limits it.
    made = report(target=unknown, findings=[found])
    assert made.fits and made.scaling() == [] and "No roofline" in made.text()
