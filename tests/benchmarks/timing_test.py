import itertools
import weakref

import pytest

from benchmarks import timing
from benchmarks.timing import OURS


class Clock:
    """Time that passes only where a contender works."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def contender(self, name, *, seconds, compiling=0.0, fails_at=None):
        def prepare():
            self.now += compiling
            made = itertools.count(1)

            def call(count):
                for _ in range(count):
                    if next(made) == fails_at:
                        raise MemoryError("out of memory\nand more")
                    self.now += seconds
                self.log.append((name, count))

            return call

        return prepare


@pytest.fixture(name="clock")
def stopped_clock():
    return Clock()


def take_turns(clock, contenders, **settings):
    return timing.take_turns(contenders, clock=lambda: clock.now, pause=lambda: None, **settings)


def test_contenders_take_turns_that_last_long_enough(clock):
    row = take_turns(
        clock,
        {OURS: clock.contender(OURS, seconds=0.5, compiling=20.0), "eager": clock.contender("eager", seconds=3.0)},
        repeats=2,
        turn_seconds=2.0,
    )
    # The first call, the one that says how many make a turn, then the turns.
    first, turns = [(OURS, 1)] * 2 + [("eager", 1)] * 2, [(OURS, 4), ("eager", 1)] * 2
    assert clock.log == first + turns
    assert row["calls"] == {OURS: 4, "eager": 1}
    assert row["first_call_seconds"] == {OURS: 20.5, "eager": 3.0}
    assert row["seconds"] == {OURS: [0.5, 0.5], "eager": [3.0, 3.0]}
    assert (row["speedup"], row["ours_over_best"]) == ({"eager": 6.0}, pytest.approx(1 / 6, rel=1e-3))
    assert len(row["load_average"]) == 2


def test_no_turns_only_make_first_calls(clock):
    row = take_turns(clock, {"a": clock.contender("a", seconds=1.0)}, repeats=0, turn_seconds=9.0)
    assert clock.log == [("a", 1)] and row == {"first_call_seconds": {"a": 1.0}, "failed": {}}


@pytest.mark.parametrize("fails_at", [1, 2, 3, 5], ids=["first call", "second call", "first turn", "a later turn"])
def test_contender_that_fails_is_named_and_the_others_go_on(clock, fails_at):
    contenders = {
        OURS: clock.contender(OURS, seconds=1.0),
        "large": clock.contender("large", seconds=1.0, fails_at=fails_at),
        "eager": clock.contender("eager", seconds=2.0),
    }
    row = take_turns(clock, contenders, repeats=3, turn_seconds=1.0)
    assert row["failed"] == {"large": "MemoryError: out of memory"}
    assert row["median"] == {OURS: 1.0, "eager": 2.0} and row["speedup"] == {"eager": 2.0}
    assert "| failed |" in timing.table([{"work": "w", **row}])


def test_best_rival_is_the_fastest_and_medians_are_compared():
    found = timing.compare({OURS: [3.0, 9.0, 1.0], "slow": [6.0], "fast": [1.0, 2.0]})
    assert found["median"] == {OURS: 3.0, "slow": 6.0, "fast": 1.5}
    assert found["speedup"] == {"slow": 2.0, "fast": 0.5} and found["ours_over_best"] == 2.0


@pytest.mark.parametrize("seconds", [{OURS: [1.0]}, {"eager": [1.0]}], ids=["no rival", "rivals alone"])
def test_nothing_is_compared_with_nobody(seconds):
    assert timing.compare(seconds).keys() == {"seconds", "median"}


def test_rates_are_operations_and_examples_a_second():
    found = timing.rates({OURS: 0.5, "eager": 2.0}, flops=4e12, examples=16, matrix_rate=16e12)
    assert found == {
        "examples_per_second": {OURS: 32.0, "eager": 8.0},
        "tflops": {OURS: 8.0, "eager": 2.0},
        "utilisation": {OURS: 0.5, "eager": 0.125},
    }
    assert "utilisation" not in timing.rates({OURS: 1.0}, flops=1.0, examples=1, matrix_rate=None)


def test_table_has_a_column_for_every_contender_of_any_row():
    rows = [
        {"work": "a", "median": {OURS: 0.25}, "failed": {}},
        {
            "work": "b",
            "median": {OURS: 1.0, "eager": 2.0},
            "failed": {},
            "ours_over_best": 0.5,
            "utilisation": {OURS: 0.4},
        },
    ]
    lines = timing.table(rows).splitlines()
    assert lines[2] == "| a | 250 |  |  |  |" and lines[3] == "| b | 1000 | 2000 | 0.50 | 40.0 % |"
    assert {line.count("|") for line in lines} == {6}


@pytest.mark.parametrize(("load", "told"), [(2.0, False), (5.5, True), (None, False)])
def test_turns_beside_other_programs_are_told(clock, load, told, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.results.load_average", lambda: load)
    monkeypatch.setattr("benchmarks.results.num_cores", lambda: 2)
    take_turns(clock, {OURS: clock.contender(OURS, seconds=1.0)}, repeats=1, turn_seconds=0.0)
    assert ("Other programs took part: the load was [5.5] on 2 cores" in capsys.readouterr().err) == told


def test_interrupt_is_no_failure(clock):
    def prepare():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_turns(clock, {OURS: prepare}, repeats=1, turn_seconds=0.0)


class Memory:
    """What a contender holds."""


def test_failed_contender_gives_back_what_it_held(clock):
    held, seen = [], []

    def large():
        memory = Memory()
        held.append(weakref.ref(memory))

        def call(count):
            raise MemoryError(f"{count} calls need more than {memory}")

        return call

    def after():
        return lambda count: seen.append(held[0]())

    take_turns(clock, {"large": large, "after": after}, repeats=0, turn_seconds=0.0)
    assert seen == [None]
