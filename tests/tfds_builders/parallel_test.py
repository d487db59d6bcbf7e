import itertools
import os
import threading

import pytest

from tfds_builders import parallel


@pytest.fixture(autouse=True)
def processes_for_few_items(monkeypatch):
    monkeypatch.setattr(parallel, "_SHARE", 10)


@pytest.mark.parametrize("processes", [1, 2])
def test_process_map_keeps_the_order(processes):
    results = parallel.process_map(abs, range(-100, 100), images=200, processes=processes)
    assert list(results) == [abs(n) for n in range(-100, 100)]


def test_process_map_stays_near_its_reader():
    seen = []
    results = parallel.process_map(seen.append, itertools.count(), images=1000, processes=1)
    next(results)
    assert len(seen) == 1


def test_killed_process_is_one_sentence():
    with pytest.raises(OSError, match=r"^One of 2 processes that decode files was killed, .* fewer --processes\.$"):
        list(parallel.process_map(os._exit, [9] * 40, images=40, processes=2))


def test_few_images_start_no_process(monkeypatch):
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("started"))
    assert list(parallel.process_map(abs, range(-19, 0), images=19, processes=8)) == list(range(19, 0, -1))


def test_thread_map_keeps_the_order_and_stays_near_its_reader():
    first_may_end, taken = threading.Event(), []

    def work(number):
        if number == 0:
            first_may_end.wait(30)
        return number

    def items():
        for number in range(1000):
            taken.append(number)
            if number == 4:
                first_may_end.set()  # The others are done by now, or may be.
            yield number

    results = parallel.thread_map(work, items(), threads=2)
    assert next(results) == 0 and len(taken) < 10
    assert list(results) == list(range(1, 1000))
