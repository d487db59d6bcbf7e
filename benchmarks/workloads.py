"""What is measured of networks, steps and translations: settings that both contenders share, and our side of them.

Imports no PyTorch, and of the project only what needs no more than JAX, Flax and Optax.
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

# PyTorch works on the same accelerator, and JAX would take most of its memory at once.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Networks and formulas that the parity tests compare with: our_networks needs no PyTorch, torch_networks does.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "parity"))

import jax
import jax.numpy as jnp
import numpy as np
import optax
from our_networks import filled  # pyright: ignore[reportMissingImports]

from benchmarks.timing import Call
from sar2opt_jax.diffusion.schedule import Schedule, make_schedule
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.planner import flops
from sar2opt_jax.stages.adversarial import Adversarial
from sar2opt_jax.stages.teacher import Teacher
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, Batch, Params

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "diffusers")
NETWORKS = {
    "default": UNet(widths=(32, 64, 64), blocks_per_level=1, attention=(False, False, True), norm_groups=8),
    "paper": UNet(),
}
"""Those of the presets ``simulated`` (1.11M parameters) and ``sen12`` (113.67M)."""
PRECISIONS = {
    # Of the network's inside; of matrix products and convolutions of float32 numbers.
    "float32": (jnp.float32, "highest"),
    "tf32": (jnp.float32, "tensorfloat32"),  # float32 where the device has no TF32
    "bfloat16": (jnp.bfloat16, "tensorfloat32"),
}
PREDICTION, SCHEDULE = "eps", "scaled_linear"
"""Of the paper; what a step takes does not depend on them."""
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, EMA_DECAY, TARGET_DECAY = 1e-4, 1e-2, 1.0, 0.9999, 0.95
SOLVER_STEPS = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A network and what it is given.

    Attributes:
        network: one of ``NETWORKS``.
        batch_size: images a call.
        image_size: height and width in pixels.
        precision: one of ``PRECISIONS``; the same for all that a process measures, see ``use_precision``.
    """

    network: str
    batch_size: int
    image_size: int
    precision: str

    @property
    def unet(self) -> UNet:
        """The network, which computes in the type of ``precision``."""
        return NETWORKS[self.network].clone(dtype=PRECISIONS[self.precision][0])

    def __str__(self) -> str:
        return f"{self.network}, {self.batch_size} x {self.image_size} x {self.image_size}, {self.precision}"


def use_precision(precision: str) -> None:
    """Sets what JAX's matrix products and convolutions of float32 numbers compute in, for this process."""
    jax.config.update("jax_default_matmul_precision", PRECISIONS[precision][1])


def images(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Optical and radar images of uniform noise in [-1, 1], [batch, height, width, 3] and [..., 1] float32."""
    generator = np.random.default_rng(0)
    shape = (size.batch_size, size.image_size, size.image_size)
    return tuple(generator.uniform(-1, 1, (*shape, channels)).astype(np.float32) for channels in (3, 1))


def batch(size: Size) -> Batch:
    """The same as a batch of a run's first step."""
    optical, sar = images(size)
    index = np.arange(size.batch_size, dtype=np.int32)
    return Batch(optical, sar, index)  # pyright: ignore[reportArgumentType]: numpy, until it is on the devices


def parameters(size: Size, *, discriminator: bool = False) -> Params:
    """Parameters of the network, or of a discriminator made of it; the same numbers for both contenders."""
    unet = NETWORKS[size.network]
    return filled(Discriminator(unet=unet) if discriminator else unet, seed=int(discriminator))


def schedule() -> Schedule:
    """The noise schedule of all that is measured."""
    return make_schedule(SCHEDULE)


def optimizer() -> optax.GradientTransformation:
    """AdamW behind a clip of the global norm, as ``configs/base.py`` has it."""
    return optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY))


def model(unet: UNet) -> Callable[..., Array]:
    """The network as a function ``(params, x_t, t, sar)``."""
    return lambda params, *inputs: cast(Array, unet.apply({"params": params}, *inputs))


def forward(size: Size) -> tuple[Call, Callable[[], np.ndarray]]:
    """The network's prediction for a noisy image; and a function that returns it."""
    x_t, sar = map(jnp.asarray, images(size))
    t = jnp.full(size.batch_size, 500, jnp.int32)
    params = jax.device_put(parameters(size))
    network = jax.jit(model(size.unet))

    def call(count: int) -> None:
        output = None
        for _ in range(count):
            output = network(params, x_t, t, sar)
        jax.block_until_ready(output)

    return call, lambda: np.asarray(network(params, x_t, t, sar))


def teacher(size: Size) -> Teacher:
    """The stage that trains the teacher."""
    return Teacher(
        model=model(size.unet),
        init_params=lambda rng: parameters(size),
        optimizer=optimizer(),
        schedule=schedule(),
        prediction=PREDICTION,
        max_ema_decay=EMA_DECAY,
    )


def adversarial(size: Size) -> Adversarial:
    """The stage that distils a student with a discriminator."""
    discriminator = Discriminator(unet=size.unet)
    return Adversarial(
        model=model(size.unet),
        optimizer=optimizer(),
        schedule=schedule(),
        prediction=PREDICTION,
        solver_steps=SOLVER_STEPS,
        target_decay=TARGET_DECAY,
        discriminator=lambda params, *inputs: cast(Array, discriminator.apply({"params": params}, *inputs)),
        init_discriminator=lambda rng, trained: parameters(size, discriminator=True),
    )


STAGES = {"teacher": teacher, "adversarial": adversarial}


def training_step(stage: str, size: Size, *, devices: list[Any] | None = None) -> Call:
    """Whole optimiser steps of a stage, as ``engine.loop`` takes them, on a batch that lies on the devices.

    Args:
        stage: one of ``STAGES``.
        size: of the global batch.
        devices: which take part; None: the first.
    """
    parallel = DataParallel(STAGES[stage](size), devices=devices or jax.devices()[:1])
    made = STAGES[stage](size).init(jax.random.key(0), {"unet": jax.tree.map(jnp.asarray, parameters(size))})
    state = parallel.place(made)
    rng = parallel.place(jax.random.key(1))
    sharded = parallel.shard(batch(size))
    del made

    def call(count: int) -> None:
        nonlocal state
        metrics = {}
        for _ in range(count):
            state, metrics = parallel.step(state, sharded, rng)
        jax.block_until_ready((state, metrics))
        if not float(metrics["finite"]):
            raise FloatingPointError(f"The step of {stage} ({size}) was not finite; a skipped update is no step.")

    return call


def translation(size: Size, *, sampler: str, num_steps: int) -> Call:
    """From radar images in the host's memory to optical ones in the host's memory.

    Args:
        size: images translated at once.
        sampler: ``lcm``, a student's, or ``ddpm``, a teacher's.
        num_steps: evaluations of the network.
    """
    translator = Translator(
        model=model(size.unet),
        schedule=schedule(),
        prediction=PREDICTION,
        solver_steps=SOLVER_STEPS if sampler == "lcm" else None,
    )
    method = Method(sampler=sampler, num_steps=num_steps)
    translate = jax.jit(lambda params, sar, rngs: translator(params, sar, rngs, method=method))
    params = jax.device_put(parameters(size))
    _, sar = images(size)
    rngs = jax.random.split(jax.random.key(2), size.batch_size)

    def call(count: int) -> None:
        for _ in range(count):
            np.asarray(translate(params, sar, rngs))

    return call


def forward_flops(size: Size) -> float:
    """Operations of the network's forward pass over the whole batch."""
    return size.batch_size * _flops(size, size.unet.apply)


def step_flops(stage: str, size: Size) -> float:
    """Operations that an optimiser step of a stage needs, over the whole batch; the optimiser's own are not counted.

    A backward pass takes twice its forward pass: gradients of inputs and of weights. The teacher's step is
    U + 2 U, with U the forward pass of the U-Net. In the adversarial step teacher and target take U each, the student
    3 U. Of the discriminator, with E its encoder and H its head: forward passes of x_t, x_hat and the real image are
    3 E + 2 H, the gradient that the student receives is E + H, of inputs alone; the discriminator's own
    is 3 * 2 E + 2 * 2 H.
    """
    u = _flops(size, size.unet.apply)
    if stage == "teacher":
        return size.batch_size * 3 * u
    e = _flops(size, lambda *inputs: size.unet.apply(*inputs, method="encode"))
    h = _flops(size, Discriminator(unet=size.unet).apply, discriminator=True) - 2 * e
    return size.batch_size * (5 * u + 10 * e + 7 * h)


def _flops(size: Size, apply: Callable[..., Any], *, discriminator: bool = False) -> float:
    """Of one image."""
    module = Discriminator(unet=size.unet) if discriminator else size.unet
    inputs = module.input_shapes(image_size=size.image_size, sar_channels=1)
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return flops.count(apply, variables, *inputs)
