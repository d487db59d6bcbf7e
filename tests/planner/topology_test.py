import importlib.util

import jax
import pytest

from sar2opt_jax.planner import topology


@pytest.mark.parametrize("name", ["cpu", "gpu", "v4:2x2x1", "v5e:16x16", "v6e:2x4"])
def test_topologies_are_known(name):
    topology.check(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpu", "--topology=tpu is no topology; expected cpu, gpu or a TPU slice such as v5e:4x4."),
        ("v5e", "is no topology"),
        ("v5e:4", "is no topology"),
        ("v5litepod-8", "is no topology"),
        ("v9:2x2", "Unknown kind of TPU 'v9'; known: v4, v5e, v5p, v6e."),
    ],
)
def test_what_is_no_topology_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        topology.find(name)


def test_cpu_is_this_machine_without_a_roofline():
    target = topology.find("cpu")
    assert list(target.devices) == jax.devices("cpu")
    assert target.chip is None and target.memory is None


def test_gpu_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="--topology=gpu: this machine has none"):
        topology.find("gpu")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_tpu_without_its_compiler_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"needs the TPU compiler: pip install 'sar2opt-jax\[plan\]'"):
        topology.find("v5e:2x2")
