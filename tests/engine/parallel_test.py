import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.engine.parallel import MAPPINGS, DataParallel, check_batch_size

KEY = jax.random.key(3)
LAYOUTS = [(mapping, devices, parts) for mapping in MAPPINGS for devices, parts in [(1, 1), (1, 4), (2, 2), (4, 1)]]


def run(stage, batches, *, mapping="auto", devices=4, micro_batches=1):
    """State and metrics after a step with each batch."""
    parallel = DataParallel(stage, mapping=mapping, micro_batches=micro_batches, devices=jax.devices()[:devices])
    state, rng, metrics = parallel.place(stage.init(KEY)), parallel.place(KEY), {}
    for batch in batches:
        state, metrics = parallel.step(state, parallel.shard(batch), rng)
    return jax.device_get(state), jax.device_get(metrics)


def assert_close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7), actual, expected)


@pytest.mark.parametrize(("mapping", "devices", "micro_batches"), LAYOUTS)
def test_step_is_that_of_one_device_with_one_large_batch(linear_stage, batch_of, mapping, devices, micro_batches):
    # Plain gradient descent: gradients too large by the number of devices would show, Adam would hide them.
    stage, given = linear_stage(), [batch_of(range(8)), batch_of(range(8, 16))]
    expected = stage.init(KEY)
    for batch in given:
        grads, metrics = stage.gradients(expected, batch, KEY)
        expected = stage.update(expected, grads)
    state, found = run(stage, given, mapping=mapping, devices=devices, micro_batches=micro_batches)
    assert_close(state, expected)
    norm = optax.tree.norm(grads["unet"])
    assert_close(found, {**metrics, "grad_norm/unet": norm, "finite": 1.0})


def test_noise_belongs_to_the_example_not_to_its_place(linear_stage, batch_of):
    there, _ = run(linear_stage(), [batch_of(range(8))])
    back, _ = run(linear_stage(), [batch_of(range(7, -1, -1))])
    other, _ = run(linear_stage(), [batch_of(range(8))._replace(index=np.arange(8, 16, dtype=np.int32))])
    assert_close(back, there)
    assert not np.allclose(other.params["b"], there.params["b"], atol=1e-3)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_nan_on_one_device_keeps_the_state_and_counts_the_step(linear_stage, batch_of, mapping):
    stage, bad = linear_stage(optax.adam(0.1)), batch_of(range(8, 16))
    bad.optical[-1, 0, 0, 0] = np.nan
    before, _ = run(stage, [batch_of(range(8))], mapping=mapping)
    state, metrics = run(stage, [batch_of(range(8)), bad], mapping=mapping)
    jax.tree.map(np.testing.assert_array_equal, state._replace(step=before.step), before)
    assert state.step == 2
    assert metrics["finite"] == 0 and np.isnan(metrics["loss/linear"])


def test_gradients_too_large_to_square_keep_the_state(linear_stage, batch_of):
    class Steep(type(linear_stage())):
        def gradients(self, state, batch, rng):
            grads, metrics = super().gradients(state, batch, rng)
            return jax.tree.map(lambda gradient: 1e25 * gradient, grads), metrics

    stage = Steep(optax.sgd(0.1))
    state, metrics = run(stage, [batch_of(range(8))])
    assert np.isfinite(metrics["loss/linear"]) and np.isinf(metrics["grad_norm/unet"])
    assert metrics["finite"] == 0
    jax.tree.map(np.testing.assert_array_equal, state, stage.init(KEY)._replace(step=jnp.int32(1)))


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_step_is_compiled_once(linear_stage, batch_of, caplog, mapping):
    # An odd learning rate, for a program that no other test has compiled.
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run(linear_stage(optax.sgd(0.123)), [batch_of(range(8))] * 3, mapping=mapping)
    compiled = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]
    assert len([message for message in compiled if "(mapped)" in message or "(_fun)" in message]) == 1, compiled


def test_state_is_donated(linear_stage, batch_of):
    stage = linear_stage()
    parallel = DataParallel(stage)
    state = parallel.place(stage.init(KEY))
    parallel.step(state, parallel.shard(batch_of(range(8))), parallel.place(KEY))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_batch_that_cannot_be_divided_raises(linear_stage, batch_of):
    with pytest.raises(ValueError, match=r"batch_size \(12\) .* number of devices \(8\) times micro_batches \(2\)"):
        check_batch_size(12, num_devices=8, micro_batches=2)
    with pytest.raises(ValueError, match=r"batch_size \(6\) .* number of devices \(4\)"):
        DataParallel(linear_stage()).shard(batch_of(range(6)))


def test_unknown_mapping_raises(linear_stage):
    with pytest.raises(ValueError, match="Unknown mapping 'xmap'; known: auto, pmap, shard_map"):
        DataParallel(linear_stage(), mapping="xmap")
