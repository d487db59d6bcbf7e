"""What chips can do, as their makers state it."""

import dataclasses

GIB = 2**30
TPU_SOURCE = "https://docs.cloud.google.com/tpu/docs/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A kind of chip.

    Attributes:
      memory: bytes that a program can have.
      flops: operations a second of large matrix products, a multiplication and an addition counted as two, by the dtype
        of the network's inside. float32 is what XLA's default precision makes of it: bfloat16 on a TPU, TF32 on a GPU.
      bandwidth: bytes a second between memory and chip.
      interconnect: bytes a second that a chip sends to others, over all its links; None where it has none of its own.
      source: where the numbers are from.
    """

    memory: float
    flops: dict[str, float]
    bandwidth: float
    interconnect: float | None
    source: str


def _tpu(*, memory_gib: float, tflops: float, gbps: float, ici_gbps: float, page: str) -> Chip:
    """A TPU: ``memory_gib`` is what libtpu 0.0.42 leaves to a program, ``ici_gbps`` half of what its page states."""
    return Chip(
        memory=memory_gib * GIB,
        flops=dict.fromkeys(("bfloat16", "float32"), tflops * 1e12),
        bandwidth=gbps * 1e9,
        interconnect=ici_gbps * 1e9,
        source=TPU_SOURCE + page,
    )


def _gpu(*, memory_gb: float, bfloat16: float, tf32: float, gbps: float, link_gbps: float | None, page: str) -> Chip:
    """A GPU: rates without sparsity, ``link_gbps`` half of what NVLink carries both ways."""
    return Chip(
        memory=memory_gb * 1e9,
        flops={"bfloat16": bfloat16 * 1e12, "float32": tf32 * 1e12},
        bandwidth=gbps * 1e9,
        interconnect=link_gbps and link_gbps * 1e9,
        source=f"NVIDIA {page} datasheet",
    )


TPUS = {
    "v4": _tpu(
        memory_gib=30.75, tflops=275, gbps=1200, ici_gbps=300, page="v4"
    ),  # six links of 50 GB/s: arXiv 2304.01433
    "v5e": _tpu(memory_gib=15.75, tflops=197, gbps=819, ici_gbps=200, page="v5e"),
    "v5p": _tpu(memory_gib=95.74, tflops=459, gbps=2765, ici_gbps=600, page="v5p"),
    "v6e": _tpu(memory_gib=31.25, tflops=918, gbps=1638, ici_gbps=400, page="v6e"),
}
"""By the name that a topology starts with."""

GPUS = {
    "NVIDIA H200": _gpu(
        memory_gb=141,
        bfloat16=989,
        tf32=494,
        gbps=4800,
        link_gbps=450,
        page="H200",
    ),
    "NVIDIA H100 80GB HBM3": _gpu(memory_gb=80, bfloat16=989.4, tf32=494.7, gbps=3350, link_gbps=450, page="H100"),
    "NVIDIA A100-SXM4-80GB": _gpu(memory_gb=80, bfloat16=312, tf32=156, gbps=2039, link_gbps=300, page="A100"),
    "NVIDIA A100-SXM4-40GB": _gpu(memory_gb=40, bfloat16=312, tf32=156, gbps=1555, link_gbps=300, page="A100"),
    "NVIDIA L4": _gpu(memory_gb=24, bfloat16=121, tf32=60, gbps=300, link_gbps=None, page="L4"),
}
"""By ``device_kind`` of JAX."""

TPU_KINDS = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
}
"""From ``device_kind`` of JAX, of earlier and later releases, to a key of ``TPUS``."""


def of_device(kind: str) -> Chip | None:
    """The chip with this ``device_kind``; None where its rates are not known."""
    return TPUS[TPU_KINDS[kind]] if kind in TPU_KINDS else GPUS.get(kind)
