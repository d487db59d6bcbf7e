import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.evaluation.batches import Batches

DEVICES = 4  # as tests/conftest.py sets it


@pytest.mark.parametrize(
    ("batch_size", "count", "sizes"),
    [(4, 10, [4, 4, 4]), (5, 10, [8, 8]), (100, 10, [12]), (1, 3, [4])],
    ids=["even", "rounded up to the devices", "more than there are", "one"],
)
def test_all_batches_have_one_size_that_the_devices_divide(batch_size, count, sizes):
    positions = [3 * i for i in range(count)]
    cut = list(Batches(batch_size).cut(positions))
    assert [len(filled) for _, filled in cut] == sizes
    assert [position for new, _ in cut for position in new] == positions
    assert all(filled == [*new, *[new[-1]] * (len(filled) - len(new))] for new, filled in cut)


def test_nothing_makes_no_batch():
    assert list(Batches(4).cut([])) == []


def test_a_function_is_applied_to_every_example_once():
    seen, progress = [], []

    def load(positions):
        seen.append(list(positions))
        return np.asarray(positions, np.float32), np.asarray(positions, np.float32)[:, None]

    twice, sums = Batches(4).apply(jax.jit(lambda x, y: (2 * x, jnp.sum(y, axis=1))), load, 6, progress=progress.append)
    np.testing.assert_array_equal(twice, 2 * np.arange(6))
    np.testing.assert_array_equal(sums, np.arange(6))
    assert progress == [4, 2]


def test_a_batch_lies_on_all_devices():
    shards = Batches(8).shard(np.zeros((8, 2))).addressable_shards
    assert len(shards) == DEVICES and {shard.data.shape for shard in shards} == {(2, 2)}


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"batch_size must be at least 1; got 0"):
        Batches(0)
