"""The devices that a plan compiles for: TPU slices that are not at hand, or this machine's own CPU or GPU."""

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from sar2opt_jax.planner.chips import TPUS, Chip, of_device
from sar2opt_jax.types import look_up

LOCAL = ("cpu", "gpu")
_TPU = re.compile(r"(v\w+):\d+x\d+(?:x\d+)?")


class Target(NamedTuple):
    """What a plan is for.

    Attributes:
      name: ``v5e:4x4``, ``cpu`` or ``gpu``.
      devices: of JAX; for a TPU slice descriptions, which can be compiled for but not run on.
      chip: what each can do; None where it is not in ``planner/chips.py``.
      compiler: its name and version.
    """

    name: str
    devices: Sequence[Any]
    chip: Chip | None
    compiler: str

    @property
    def memory(self) -> float | None:
        """Bytes of a chip that a program can have; None where that is not known."""
        if self.name == "gpu" and (stats := self.devices[0].memory_stats()):
            return stats["bytes_limit"]  # Of this very GPU, less what JAX leaves to others.
        return self.chip and self.chip.memory


def check(name: str) -> None:
    """Raises ValueError for what is no topology, and for a kind of TPU that is not known."""
    if name in LOCAL:
        return
    if not (match := _TPU.fullmatch(name)):
        raise ValueError(f"--topology={name} is no topology; expected cpu, gpu or a TPU slice such as v5e:4x4.")
    look_up("kind of TPU", match[1], TPUS)


def find(name: str) -> Target:
    """The devices of a topology. JAX must not have looked for devices before.

    Raises:
      ValueError: for an unknown topology, one that the compiler does not know, or where there is no compiler for it.
    """
    check(name)
    if name not in LOCAL:
        return _tpu(name)
    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        devices = jax.devices(name)
    except RuntimeError as error:
        raise ValueError(f"--topology={name}: this machine has none ({error}).") from error
    version = devices[0].client.platform_version.strip().splitlines()[0]
    return Target(name, devices, of_device(devices[0].device_kind), f"XLA of this machine, {version}")


def _tpu(name: str) -> Target:
    # libtpu looks for a TPU and for Google's metadata server otherwise, and waits minutes for them.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    jax.config.update("jax_platforms", "cpu")
    try:
        import libtpu  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"--topology={name} needs the TPU compiler: pip install 'sar2opt-jax[plan]'. --topology=cpu needs nothing."
        ) from error
    os.environ.setdefault("TPU_LIBRARY_PATH", libtpu.get_library_path())
    kind, _, shape = name.partition(":")
    options: dict[str, Any] = {"chip_config_name": "megacore"} if kind == "v4" else {}  # The two cores as one device.
    if set(shape) <= {"1", "x"}:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices
    except Exception as error:  # Whatever the plugin raises; it has no type of its own.
        raise ValueError(f"--topology={name}: the TPU compiler does not know this slice ({error}).") from error
    return Target(name, devices, TPUS[kind], f"libtpu {libtpu.__version__}")
