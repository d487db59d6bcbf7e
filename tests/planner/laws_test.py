import pytest

from sar2opt_jax.planner.chips import TPUS
from sar2opt_jax.planner.laws import MemoryLaw, Roofline, bytes_of_loop, roofline


def test_line_goes_through_its_points():
    law = MemoryLaw.through((2, 50.0), (6, 90.0))
    assert (law.at(2), law.at(6)) == (50, 90) and law == (30, 10)


def test_most_is_the_last_number_that_fits():
    law = MemoryLaw(fixed=30, per_example=10)
    assert [law.most(memory) for memory in (29, 39, 40, 105)] == [0, 0, 1, 7]
    assert law.at(7) <= 105 < law.at(8)
    assert MemoryLaw(fixed=30, per_example=0).most(100) is None


def test_line_needs_two_numbers():
    with pytest.raises(ValueError, match="two numbers of examples; got 4 twice"):
        MemoryLaw.through((4, 1.0), (4, 2.0))


def test_roofline_is_the_slower_of_computing_and_memory_and_then_the_exchange():
    chip = TPUS["v5e"]
    work = {"flops": 197e12, "bytes_moved": 819e9 / 2, "bytes_sent": 20e9, "chip": chip, "dtype": "bfloat16"}
    found = roofline(**work)
    assert found == Roofline(compute=1.0, memory=0.5, exchange=0.1)
    assert found.seconds == 1.1 and found.bound == "compute"
    assert roofline(**work | {"bytes_moved": 819e9 * 3}).seconds == 3.1
    assert roofline(**work | {"bytes_sent": 1e12}).bound == "exchange"


def test_bytes_of_a_loop_count_its_body_every_round():
    assert bytes_of_loop(100.0, outside=20.0, repeats=1) == 100
    assert bytes_of_loop(100.0, outside=20.0, repeats=4) == 20 + 4 * 80
    assert bytes_of_loop(10.0, outside=20.0, repeats=4) == 20  # A compiler that keeps the state on the chip.
