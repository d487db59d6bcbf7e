"""In one process; in several: tests/faults/processes_test.py."""

import numpy as np
import pytest
from jax.experimental import multihost_utils

from sar2opt_jax.engine import agreement


def test_one_process_agrees_with_itself():
    assert agreement.gather("α") == ["α"]
    assert agreement.first_says("") == ""
    assert agreement.together(lambda: 3) == 3
    with pytest.raises(KeyError, match="its own"):
        agreement.together(lambda: {}["its own"])


@pytest.fixture
def others(monkeypatch):
    """This process among some that say what the test wants them to."""

    def say(*texts):
        said = [text.encode() for text in texts]

        def allgather(mine):
            if mine.ndim == 0:
                return np.array([mine, *map(len, said)])
            padded = [np.frombuffer(text.ljust(mine.size, b"\0"), np.uint8) for text in said]
            return np.stack([mine, *padded])

        monkeypatch.setattr(multihost_utils, "process_allgather", allgather)
        monkeypatch.setattr("jax.process_count", lambda: 1 + len(said))

    return say


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 2500])
def test_texts_of_any_length_are_gathered_in_order(others, length):
    others("β" * length, "")
    assert agreement.gather("mine") == ["mine", "β" * length, ""]


def test_what_fails_in_one_process_fails_in_all(others):
    others("", "no such file")
    with pytest.raises(ValueError, match=r"^process 2: no such file$"):
        agreement.together(lambda: 3)
    others("")
    assert agreement.together(lambda: 3) == 3
    with pytest.raises(ValueError, match=r"^process 0: KeyError$"):
        agreement.together(lambda: (_ for _ in ()).throw(KeyError()))


def test_what_all_processes_complain_of_is_said_once(others):
    others("no such file", "no such file")

    def fail():
        raise OSError("no such file")

    with pytest.raises(ValueError, match=r"^no such file$"):
        agreement.together(fail)


def test_rounds_of_all_stages_are_counted_on(others, monkeypatch):
    others("")
    rounds = []
    monkeypatch.setattr(
        multihost_utils, "reached_preemption_sync_point", lambda n: rounds.append(n) or len(rounds) == 3
    )
    assert [agreement.told_to_stop() for _ in range(3)] == [False, False, True]
    assert rounds == [rounds[0], rounds[0] + 1, rounds[0] + 2]


def test_nobody_is_told_to_stop_without_the_service(others, monkeypatch):
    def fail(number):
        raise RuntimeError("Preemption sync manager has not been initialized.")

    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", fail)
    assert not agreement.told_to_stop()
    others("")
    assert not agreement.told_to_stop()
