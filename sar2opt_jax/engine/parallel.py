"""One training step on many devices: each takes a share of the batch, gradients are averaged, all update alike.

The same per-device step runs under every mapping of ``MAPPINGS``. Nothing in it knows which device it runs on, noise
comes from the examples' positions in the run: one global batch gives the same step on any number of devices, and in
any number of micro-batches, up to the order of summation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sar2opt_jax.types import Array, Batch, Metrics, PyTree, Stage, check_known

AXIS = "data"


def check_batch_size(batch_size: int, *, num_devices: int, micro_batches: int) -> None:
    """Raises ValueError where a global batch cannot be divided."""
    if batch_size < 1 or micro_batches < 1 or batch_size % (num_devices * micro_batches):
        raise ValueError(
            f"batch_size ({batch_size}) must be divisible by the number of devices ({num_devices}) "
            f"times micro_batches ({micro_batches})."
        )


def data_mesh(devices: Sequence[Any]) -> Mesh:
    """A mesh of one axis, ``AXIS``, over these devices."""
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


class DataParallel:
    """The compiled step of a stage, and how its arguments are laid out on the devices."""

    def __init__(
        self,
        stage: Stage,
        *,
        mapping: str = "auto",
        micro_batches: int = 1,
        devices: Sequence[Any] | None = None,
    ):
        """Maps a stage over devices.

        Args:
          stage: the training objective.
          mapping: ``pmap``, ``shard_map``, or ``auto``: pmap in one process, shard_map in several.
          micro_batches: parts that a device computes its share in, one after the other, to save memory.
          devices: of JAX; None takes all of all processes.

        Raises:
          ValueError: for an unknown mapping.
        """
        check_known("mapping", mapping, ("auto", *MAPPINGS))
        if mapping == "auto":
            mapping = "pmap" if jax.process_count() == 1 else "shard_map"
        self.devices = list(jax.devices() if devices is None else devices)
        self.micro_batches = micro_batches
        self._mesh = data_mesh(self.devices)
        self._step = MAPPINGS[mapping](device_step(stage), self._mesh)

    def step(self, state: PyTree, batch: PyTree, rng: Array) -> tuple[PyTree, Metrics]:
        """One optimiser step; ``state`` is donated.

        Args:
          state: of the stage, from ``place`` or from the step before.
          batch: from ``shard``.
          rng: the run's key.

        Returns:
          The new state and the metrics averaged over the batch, with the norms ``grad_norm/NETWORK``, and ``finite``:
          1, or 0 where a metric or a gradient was not finite, and the state is the old one but for its step.
        """
        return self._step(state, batch, rng)

    def lower(self, state: PyTree, batch: PyTree, rng: PyTree) -> Any:
        """The step as ``jax.stages.Lowered``, for arguments of the shapes that ``shapes`` and ``batch_shapes`` give."""
        return cast(Any, self._step).lower(state, batch, rng)

    def shard(self, batch: Batch) -> PyTree:
        """Lays this process's share of a global batch out over its devices and micro-batches.

        Raises:
          ValueError: where it cannot be divided.
        """
        local = [device for device in self.devices if device.process_index == jax.process_index()]
        check_batch_size(len(batch.index), num_devices=len(local), micro_batches=self.micro_batches)
        shape = (len(local), self.micro_batches, -1)
        sharding = NamedSharding(self._mesh, P(AXIS))

        def lay_out(x: np.ndarray) -> Array:
            return jax.make_array_from_process_local_data(sharding, np.asarray(x).reshape(*shape, *x.shape[1:]))

        return jax.tree.map(lay_out, batch)

    def place(self, tree: PyTree) -> PyTree:
        """Puts what every device holds a copy of, such as the state or a key, where ``step`` expects it.

        A state on other devices would work, but the step would be compiled twice: its own result is placed here.

        Args:
          tree: arrays and keys; in several processes the same in each of them.
        """
        sharding = NamedSharding(self._mesh, P())
        if jax.process_count() == 1:
            return jax.device_put(tree, sharding)
        return jax.jit(lambda x: x, out_shardings=sharding)(tree)  # device_put does not take keys across processes.

    def shapes(self, tree: PyTree) -> PyTree:
        """Shapes, types and layout of what ``place`` would return, without its values."""
        sharding = NamedSharding(self._mesh, P())
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    def batch_shapes(self, batch: PyTree, *, batch_size: int) -> PyTree:
        """Shapes, types and layout of what ``shard`` would return of a global batch.

        Args:
          batch: shapes of one example, without an axis for the batch.
          batch_size: examples over all devices.

        Raises:
          ValueError: where it cannot be divided.
        """
        devices, parts = len(self.devices), self.micro_batches
        check_batch_size(batch_size, num_devices=devices, micro_batches=parts)
        leading, sharding = (devices, parts, batch_size // (devices * parts)), NamedSharding(self._mesh, P(AXIS))
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=sharding), batch)


def on_one_device(tree: PyTree) -> PyTree:
    """What every device holds a copy of, as arrays of one device of this process; nothing is copied."""
    return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, Array) else x, tree)


def device_step(stage: Stage) -> Callable[[PyTree, Batch, Array], tuple[PyTree, Metrics]]:
    """The step of one device; the leaves of its batch have a leading axis of micro-batches."""

    def step(state: Any, batch: Batch, rng: Array) -> tuple[Any, Metrics]:
        grads, metrics = jax.lax.pmean(_mean_over_micro_batches(stage, state, batch, rng), AXIS)
        metrics |= gradient_norms(grads)
        # A norm is finite only where every gradient and its square are, so AdamW stays finite. Checking every leaf of
        # the new state instead costs XLA minutes of compilation on a CPU.
        finite = jax.lax.optimization_barrier(jnp.all(jnp.isfinite(jnp.stack(list(metrics.values())))))
        updated, kept = stage.update(state, grads), state._replace(step=state.step + 1)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, kept)
        return state, {**metrics, "finite": finite.astype(jnp.float32)}

    return step


def gradient_norms(grads: Mapping[str, PyTree]) -> Metrics:
    """``grad_norm/NETWORK``, the L2 norm of all gradients of each network."""
    return {f"grad_norm/{name}": optax.tree.norm(tree) for name, tree in grads.items()}


def _mean_over_micro_batches(stage: Stage, state: PyTree, batch: Batch, rng: Array) -> tuple[PyTree, Metrics]:
    micro_batches = len(batch.index)

    def accumulate(total: PyTree, micro_batch: Batch) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, stage.gradients(state, micro_batch, rng)), None

    first = jax.tree.map(lambda x: x[0], batch)
    if micro_batches == 1:  # XLA on a CPU takes twenty times as long for the same step inside of a loop.
        return stage.gradients(state, first, rng)
    shapes = jax.eval_shape(stage.gradients, state, first, rng)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(accumulate, zeros, batch)
    return jax.tree.map(lambda x: x / micro_batches, total)


def _pmap(step: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """The state has no device axis, neither going in nor coming out."""
    return jax.pmap(
        step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=None, devices=list(mesh.devices.flat), donate_argnums=0
    )


def _shard_map(step: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """As ``pmap``, and the only one that can donate the state in several processes."""

    def mapped(state: PyTree, batch: PyTree, rng: Array) -> Any:
        return step(state, jax.tree.map(lambda x: x[0], batch), rng)

    # check_vma=True would make pmean of the gradients a no-op: they would come out num_devices times too large.
    specs = (P(), P(AXIS), P())
    sharded = jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False)
    return jax.jit(sharded, donate_argnums=0)


MAPPINGS = {"pmap": _pmap, "shard_map": _shard_map}
