"""How much of its devices' peak rate a training uses: model-FLOP utilisation (MFU, arXiv 2204.02311, appendix B)."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from sar2opt_jax.planner import chips, flops
from sar2opt_jax.types import Batch, Networks, Stage, make_key


def rates(
    stage: Stage,
    networks: Networks | None,
    *,
    batch_size: int,
    image_size: int,
    sar_channels: int,
    dtype: str,
) -> Callable[[float], dict[str, float]]:
    """From steps per second to TFLOP/s over all devices and, in ``mfu``, their share of the devices' peak rate.

    Operations are those of convolutions and matrix products of one step, counted from shapes; rematerialised ones are
    not counted twice. Nothing is counted, and no rate given, for devices whose peak is not in ``planner.chips``.

    Args:
      stage: the training objective.
      networks: that it starts from.
      batch_size: examples a step, over all devices.
      image_size: side of the images in pixels.
      sar_channels: bands of a radar image.
      dtype: of the networks' inside.
    """
    chip = chips.of_device(jax.devices()[0].device_kind)
    if chip is None:
        return lambda steps_per_second: {}
    images = [
        jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32) for channels in (3, sar_channels)
    ]
    example = cast(Any, Batch)(optical=images[0], sar=images[1], index=jax.ShapeDtypeStruct((1,), jnp.int32))
    key = jax.eval_shape(lambda: make_key(0))
    state = jax.eval_shape(stage.init, key, networks)
    operations = batch_size * flops.count(stage.gradients, state, example, key)
    peak = chip.flops[dtype] * jax.device_count()

    def per_second(steps_per_second: float) -> dict[str, float]:
        used = operations * steps_per_second
        return {"tflops_per_second": used / 1e12, "mfu": used / peak}

    return per_second
