"""From a config to the programs that a plan compiles: the training step of every stage, and the translator."""

import dataclasses
import math
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sar2opt_jax.description import unnamed_bands
from sar2opt_jax.engine.parallel import AXIS, DataParallel, data_mesh
from sar2opt_jax.planner import flops
from sar2opt_jax.planner.programs import Program, find
from sar2opt_jax.planner.report import Report
from sar2opt_jax.planner.topology import Target
from sar2opt_jax.run import checks
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.run.plan import plan_stage
from sar2opt_jax.run.stages import STAGES
from sar2opt_jax.run.train import StagePlan
from sar2opt_jax.types import Batch, Networks, PyTree, make_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unprepared:
    """A dataset of which only the number of radar bands is known, as far as ``run.plan`` asks."""

    sar_channels: int
    version: None = None
    fingerprint: None = None
    ground_sampling_m: None = None

    def image_format(self, kind: str) -> dict[str, Any]:
        """What ``ImageFormat`` is made of."""
        return {"bands": unnamed_bands(self.sar_channels if kind == "sar" else 3)}


def programs(config: Config, target: Target, *, sar_channels: int) -> list[Program]:
    """The programs of a config on a target, in the order in which they run.

    Nothing is computed: parameters and images are shapes. A teacher that ``teacher.export`` names is not loaded.

    Args:
      config: from a file in ``configs/``.
      target: what to compile for.
      sar_channels: bands of a radar image.

    Raises:
      ValueError: for a config that cannot run on so many devices.
    """
    num_devices = len(target.devices)
    _check_divisible(config, num_devices)
    checks.check(config, num_devices=num_devices)
    dataset: Any = Unprepared(sar_channels=sar_channels)
    found, networks, last = [], None, None
    for name in config.stages:
        last = plan_stage(config, name, dataset, parent=None)
        state = jax.eval_shape(last.objective.init, make_key(0), networks)
        networks = jax.eval_shape(last.objective.export, state)
        if name == "teacher" and config.teacher.export is not None:
            continue  # It is given: not trained, but started from.
        found.append(_step(config, last, state, target, sar_channels=sar_channels))
    assert last is not None and networks is not None  # check_order wants at least one stage.
    return [*found, _translation(config, last, networks, target, sar_channels=sar_channels)]


def report(
    config: Config,
    target: Target,
    *,
    sar_channels: int,
    effort: str = "law",
    cache: Path | None = None,
    price: float | None = None,
    efficiency: float = 1.0,
) -> Report:
    """Compiles all programs of a config for a target.

    Args:
      config: from a file in ``configs/``.
      target: what to compile for.
      sar_channels: bands of a radar image.
      effort: for the largest batch, one of ``planner.programs.EFFORTS``.
      cache: a folder for what is found; None keeps nothing.
      price: dollars an hour of one chip.
      efficiency: the share of the roofline's speed that steps reach.

    Raises:
      ValueError: for a config that cannot run on so many devices.
    """
    to_compile = programs(config, target, sar_channels=sar_channels)
    return Report(
        config=f"{config.name}:{config.preset}",
        target=target,
        batch_size=config.train.batch_size,
        findings=[find(program, target, effort=effort, cache=cache) for program in to_compile],
        price=price,
        efficiency=efficiency,
    )


def _check_divisible(config: Config, num_devices: int) -> None:
    """Raises ValueError, with the nearest values that work, where a batch cannot be divided."""
    batch, parts = config.train.batch_size, config.train.micro_batches
    if batch % (num_devices * parts):
        larger = math.ceil(batch / (num_devices * parts)) * num_devices * parts
        fewer = math.gcd(batch, num_devices) == num_devices
        also = f", or --config.train.micro_batches={math.gcd(batch // num_devices, parts)}" if fewer else ""
        raise ValueError(
            f"batch_size ({batch}) must be divisible by the number of devices ({num_devices}) times micro_batches "
            f"({parts}). What would do: --config.train.batch_size={larger}{also}."
        )


def _example(config: Config, sar_channels: int) -> Batch:
    """Shapes of one pair, without an axis for the batch."""
    size = config.data.image_size
    optical, sar = (jax.ShapeDtypeStruct((size, size, channels), jnp.float32) for channels in (3, sar_channels))
    return cast(Any, Batch)(optical=optical, sar=sar, index=jax.ShapeDtypeStruct((), jnp.int32))


def _step(config: Config, plan: StagePlan, state: PyTree, target: Target, *, sar_channels: int) -> Program:
    parts, num_devices = config.train.micro_batches, len(target.devices)
    example, rng = _example(config, sar_channels), jax.eval_shape(lambda: make_key(0))
    stage = plan.objective

    def lower(examples: int) -> Any:
        # pmap, what one process takes by itself, cannot be lowered for absent devices; the step is the same.
        parallel = DataParallel(stage, mapping="shard_map", micro_batches=parts, devices=target.devices)
        batch = parallel.batch_shapes(example, batch_size=num_devices * parts * examples)
        return parallel.lower(parallel.shapes(state), batch, parallel.shapes(rng))

    def count(examples: int) -> float:
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((examples, *x.shape), x.dtype), example)
        return parts * flops.count(stage.gradients, state, batch, rng)

    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), example)
    gradients, _ = jax.eval_shape(stage.gradients, state, one, rng)
    return Program(
        name=plan.name,
        lower=lower,
        flops=count,
        examples=config.train.batch_size // (num_devices * parts),
        repeats=parts,
        micro_batches=parts,
        num_steps=plan.num_steps,
        dtype=config[STAGES[plan.name].groups[0]].dtype,
        once_bytes=2 * _bytes(state) + _bytes(gradients),
        accumulator_bytes=_bytes(gradients),
        savers=["--config.train.remat=blocks"] if config.train.remat == "none" else (),
    )


def _translation(config: Config, plan: StagePlan, networks: Networks, target: Target, *, sar_channels: int) -> Program:
    method, num_devices = plan.translator.method(), len(target.devices)
    mesh = data_mesh(target.devices)
    size, key = config.data.image_size, jax.eval_shape(lambda: make_key(0))

    def arguments(count: int, replicated: Any = None, sharded: Any = None) -> tuple[Any, ...]:
        params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), networks["unet"])
        sar = jax.ShapeDtypeStruct((count, size, size, sar_channels), jnp.float32, sharding=sharded)
        return params, sar, jax.ShapeDtypeStruct((count,), key.dtype, sharding=sharded)

    def translate(*given: Any) -> Any:
        return plan.translator(*given, method=method)

    def lower(examples: int) -> Any:
        return jax.jit(translate).lower(
            *arguments(examples * num_devices, NamedSharding(mesh, P()), NamedSharding(mesh, P(AXIS)))
        )

    return Program(
        name=f"translation, {method.sampler} in {method.num_steps}",
        lower=lower,
        flops=lambda examples: flops.count(translate, *arguments(examples)),
        examples=math.ceil(config.evaluation.batch_size / num_devices),
        repeats=method.num_steps,
        micro_batches=1,
        num_steps=None,
        dtype=config[STAGES[plan.name].groups[0]].dtype,
        once_bytes=0.0,
        accumulator_bytes=0.0,
    )


def _bytes(tree: PyTree) -> float:
    return float(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)))
