"""Bytes that chips exchange: from lines as compilers write them, and of a program compiled here."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from sar2opt_jax.engine.parallel import AXIS, data_mesh
from sar2opt_jax.planner import collectives

LINES = {
    "%all-reduce.5 = f32[3,3,64]{2,1,0:T(8,128)S(1)} all-reduce(f32[3,3,64]{2,1,0} %a), to_apply=%add": {
        "all-reduce": 4 * 576
    },
    "ROOT %x = (bf16[8,128]{1,0:T(8,128)(2,1)}, f32[]{:T(128)}) all-reduce(%a, %b), channel_id=1": {
        "all-reduce": 2 * 1024 + 4
    },
    "%ag = (f32[2,8]{1,0}, f32[8,8]{1,0}) all-gather-start(%a), dimensions={0}": {"all-gather": 4 * 64},
    "%cp = (u8[16]{0}, u8[16]{0}, u32[], u32[]) collective-permute-start(%a)": {"collective-permute": 16},
    "%rs = pred[7]{0} reduce-scatter(%a), dimensions={0}": {"reduce-scatter": 7},
    "%int4 = s4[6]{0} all-to-all(%a)": {"all-to-all": 3},
    "%done = f32[8,8]{1,0} all-gather-done(%ag)": {},
    "%get = f32[8]{0} get-tuple-element(%all-reduce.5), index=0": {},
    "%f = f32[8]{0} fusion(%a), calls=%all-reduce-fusion": {},
}


@pytest.mark.parametrize("line", LINES)
def test_sizes_are_those_of_results(line):
    assert collectives.sizes(f"HloModule m\n  {line}\n") == LINES[line]


def test_sizes_of_one_operation_add_up():
    line = "%x = f32[4]{0} all-reduce(%a)\n"
    assert collectives.sizes(line * 3) == {"all-reduce": 48}


def test_compiled_mean_exchanges_its_result():
    mesh = data_mesh(jax.devices()[:4])
    mapped = jax.shard_map(
        lambda x: jax.lax.pmean(x, AXIS), mesh=mesh, in_specs=P(AXIS), out_specs=P(), check_vma=False
    )
    compiled = jax.jit(mapped).lower(jax.ShapeDtypeStruct((8, 5), jnp.float32)).compile()
    assert collectives.sizes(compiled.as_text()) == {"all-reduce": 2 * 5 * 4}


def test_ring_sends_each_part_to_all_others():
    assert collectives.sent({"all-reduce": 800}, num_chips=4) == 2 * 600  # Reduced to parts of 200, then gathered.
    assert collectives.sent({"all-gather": 800, "reduce-scatter": 200}, num_chips=4) == 600 + 600
    assert collectives.sent({"all-reduce": 800, "all-gather": 1}, num_chips=1) == 0
