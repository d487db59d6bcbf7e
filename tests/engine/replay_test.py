import grain
import jax
import numpy as np
import optax
import pytest

from sar2opt_jax.engine import loop
from sar2opt_jax.engine.checkpoint import Checkpoints
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.replay import replay
from sar2opt_jax.engine.writer import make_writer

RNG = jax.random.key(1)


@pytest.fixture(name="stage")
def stage_of_adam(linear_stage):
    return linear_stage(optax.adam(0.05))


@pytest.fixture(name="run")
def run_and_replay(tmp_path, stage, batches, batch_of):
    """Trains for some steps, logging every one, then replays one of them; returns both."""

    def run(*, num_steps, step, spoil=()):
        directory = tmp_path / "checkpoints"

        def spoiled(positions):
            batch = batch_of(positions)
            batch.optical[np.isin(batch.index, spoil)] = np.nan
            return batch

        options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        dataset = grain.MapDataset.range(8_000).batch(8, batch_fn=spoiled).to_iter_dataset(options)
        lines = {}
        with Checkpoints(directory, keep=9, meta={"stage": "linear"}) as checkpoints:
            with make_writer(tmp_path, stage="linear") as writer:
                writer.scalars = lines.__setitem__
                loop.train(
                    stage,
                    name="linear",
                    num_steps=num_steps,
                    parallel=DataParallel(stage),
                    batches=batches(),
                    checkpoints=checkpoints,
                    writer=writer,
                    rng=RNG,
                    initial=lambda: stage.init(jax.random.key(0)),
                    preview=lambda step, networks: np.zeros((8, 8, 3), np.uint8),
                    validate=lambda step, state, networks: {},
                    explain=str,
                    log_every_steps=1,
                    preview_every_steps=100,
                    validate_every_steps=100,
                    save_every_steps=4,
                    nonfinite="stop",
                )
            replayed = replay(
                stage,
                step=step,
                parallel=DataParallel(stage),
                batches=iter(dataset),
                checkpoints=checkpoints,
                rng=RNG,
                initial=lambda: stage.init(jax.random.key(0)),
            )
        return lines, replayed

    return run


@pytest.mark.parametrize(("step", "start"), [(1, 0), (4, 0), (5, 4), (7, 4), (10, 8)])
def test_replayed_step_is_the_one_that_was_logged(run, step, start):
    lines, replayed = run(num_steps=10, step=step)
    assert (replayed.step, replayed.start) == (step, start)
    np.testing.assert_array_equal(replayed.batch.index, np.arange(8 * (step - 1), 8 * step))
    for name in ("loss/linear", "grad_norm/unet"):
        assert replayed.metrics[name] == lines[step][name]


def test_examples_alone_average_to_the_step(run):
    _, replayed = run(num_steps=6, step=6)
    losses = [values["loss/linear"] for values in replayed.examples]
    np.testing.assert_allclose(np.mean(losses), replayed.metrics["loss/linear"], rtol=1e-5)
    assert len(set(losses)) == 8 and replayed.suspects == []


def test_example_that_is_not_finite_is_named(run):
    _, replayed = run(num_steps=6, step=6, spoil=[5 * 8 + 3])
    assert replayed.suspects == [3] and replayed.metrics["finite"] == 0


def test_step_below_one_raises(run):
    with pytest.raises(ValueError, match="The first step is 1; got 0"):
        run(num_steps=2, step=0)
