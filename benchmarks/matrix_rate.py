"""What matrix products reach on this device: the limit that a network's rate is measured against."""

import time

import jax
import jax.numpy as jnp

from benchmarks.workloads import PRECISIONS


def matrix_rate(precision: str, *, side: int | None = None, repeats: int = 5) -> float:
    """Operations a second of large square matrix products of random numbers, the fastest of several runs.

    Args:
        precision: one of ``PRECISIONS``.
        side: of the matrices; None: 8192 on an accelerator, 2048 on a CPU.
        repeats: runs, of eight products each on an accelerator.
    """
    on_cpu = jax.default_backend() == "cpu"
    side = side or (2048 if on_cpu else 8192)
    products = 1 if on_cpu else 8
    dtype, matmul_precision = PRECISIONS[precision]
    left, right = (jax.random.normal(key, (side, side), dtype) for key in jax.random.split(jax.random.key(0)))
    multiply = jax.jit(lambda a, b: jnp.dot(a, b, precision=matmul_precision))
    multiply(left, right).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product = None
        for _ in range(products):
            product = multiply(left, right)
        jax.block_until_ready(product)
        best = min(best, time.perf_counter() - start)
    return products * 2 * side**3 / best
