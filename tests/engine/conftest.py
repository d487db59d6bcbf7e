"""A stage small enough to reckon with by hand, and batches for it."""

import dataclasses
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.types import Batch

SIZE = 4


class LinearState(NamedTuple):
    step: Any
    params: Any
    opt_state: Any


@dataclasses.dataclass(frozen=True)
class LinearStage:
    """optical + eps ~ sar w + b, by least squares; eps differs for every example and step."""

    optimizer: optax.GradientTransformation

    def init(self, rng, export=None):
        del rng
        params = (
            {"w": jnp.ones((1, 3)), "b": jnp.zeros(3)} if export is None else jax.tree.map(jnp.copy, export["unet"])
        )
        return LinearState(jnp.int32(0), params, self.optimizer.init(params))

    def loss(self, params, batch, eps):
        predicted = batch.sar @ params["w"] + params["b"].reshape(1, 1, 1, 3)
        return jnp.mean((predicted - batch.optical - eps) ** 2)

    def gradients(self, state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)

        def draw(i):
            return jax.random.normal(jax.random.fold_in(rng, i), batch.optical.shape[1:])

        loss, grads = jax.value_and_grad(self.loss)(state.params, batch, jax.vmap(draw)(batch.index))
        return {"unet": grads}, {"loss/linear": loss}

    def update(self, state, grads):
        updates, opt_state = self.optimizer.update(grads["unet"], state.opt_state, state.params)
        return LinearState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)

    def export(self, state):
        return {"unet": state.params}


def make_batch(positions):
    """Examples that are fixed by their positions in the run."""
    index = np.asarray(positions, np.int32)
    sar = np.stack([np.random.default_rng(i).uniform(-1, 1, (SIZE, SIZE, 1)) for i in index]).astype(np.float32)
    return Batch(optical=np.repeat(0.5 * sar, 3, axis=-1) + np.float32(0.1), sar=sar, index=index)


@pytest.fixture
def linear_stage():
    """Makes a stage; plain gradient descent unless told otherwise, which shows gradients of a wrong scale."""
    return lambda optimizer=None: LinearStage(optimizer or optax.sgd(0.1))


@pytest.fixture
def batch_of():
    """Makes the batch of the given positions."""
    return make_batch


@pytest.fixture
def batches():
    """Makes a Grain iterator of endless batches of 8."""

    def make():
        dataset = grain.MapDataset.range(8_000).batch(8, batch_fn=make_batch)
        return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)))

    return make
