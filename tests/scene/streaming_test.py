import threading

import numpy as np
import pytest

from sar2opt_jax.scene import streaming
from sar2opt_jax.scene.streaming import ReadAhead, WriteBehind
from sar2opt_jax.scene.translate import ImageRadar


def image(height=700):
    rng = np.random.default_rng(0)
    return ImageRadar(rng.integers(0, 256, (height, 5, 2), np.uint8), rng.random((height, 5)) > 0.5)


def test_rows_that_are_read_ahead_are_those_of_the_scene():
    scene = image()
    with ReadAhead(scene) as ahead:
        assert (ahead.height, ahead.width, ahead.bands) == (700, 5, 2)
        start = 64
        for stop in (65, 300, 301, 700):
            for found, expected in zip(ahead.read(start, stop), scene.read(start, stop), strict=True):
                np.testing.assert_array_equal(found, expected)
            start = stop


def test_reading_is_ahead_by_no_more_than_it_should():
    stops, scene = [], image(3000)

    class Watched(ImageRadar):
        def read(self, start, stop):
            stops.append(stop)
            return scene.read(start, stop)

    with ReadAhead(Watched(*scene.read(0, 3000))) as ahead:
        ahead.read(0, 10)
    assert max(stops) <= (1 + streaming.AHEAD) * streaming.READ_ROWS


def test_an_error_of_a_read_is_raised_where_its_rows_are_asked_for():
    class Broken(ImageRadar):
        def read(self, start, stop):
            if stop > 128:
                raise OSError("corrupt")
            return super().read(start, stop)

    with ReadAhead(Broken(*image().read(0, 700))) as ahead:
        ahead.read(0, 100)
        with pytest.raises(OSError, match="corrupt"):
            ahead.read(100, 200)


def test_writes_come_in_order_and_all_before_the_end():
    written = []
    with WriteBehind(lambda value: written.append((value, threading.current_thread().name))) as write:
        for value in range(20):
            write(value)
    assert [value for value, _ in written] == [*range(20)]
    assert {name for _, name in written} == {"write_0"}


@pytest.mark.parametrize("failing", [0, 5, 19])
def test_nothing_is_written_after_a_write_that_failed(failing):
    written = []

    def write_one(value):
        if value == failing:
            raise OSError("disk full")
        written.append(value)

    with pytest.raises(OSError, match="disk full"), WriteBehind(write_one) as write:
        for value in range(20):
            write(value)
    assert written == [*range(failing)]
