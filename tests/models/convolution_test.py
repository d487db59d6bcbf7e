import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from sar2opt_jax.models import convolution
from sar2opt_jax.models.convolution import Conv, Geometry, convolve

# Kernel, stride, padding, image, channels in and out: of every convolution in the networks, and some odd ones.
SHAPES = {
    "residual block": (3, 1, 1, (8, 6), 5, 4),
    "odd image": (3, 1, 1, (7, 5), 5, 4),
    "smaller than its kernel": (3, 1, 1, (1, 2), 3, 4),
    "downsampling": (3, 2, 1, (8, 6), 4, 4),
    "downsampling an odd image": (3, 2, 1, (7, 5), 4, 4),
    "shortcut": (1, 1, 0, (4, 6), 5, 3),
    "PatchGAN halving": (4, 2, 1, (8, 6), 4, 6),
    "PatchGAN's last": (4, 1, 1, (8, 7), 5, 1),
}
shaped = pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "size", "inputs", "features"), SHAPES.values(), ids=SHAPES
)


def xla(x, kernel, geometry):
    stride, padding = geometry
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((padding, padding),) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def normal(*shape, seed=0, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32), dtype)


@functools.partial(jax.jit, static_argnums=(0, 3))
def pulled_back(function, x, kernel, geometry):
    """Value, and gradients of the sum weighted by normal numbers."""
    y, pull = jax.vjp(lambda x, kernel: function(x, kernel, geometry), x, kernel)
    return y, *pull(normal(*y.shape, seed=2, dtype=y.dtype))


def assert_same(found, expected, *, tolerance):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        theirs = np.asarray(theirs, np.float32)
        np.testing.assert_allclose(np.asarray(ours, np.float32), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@shaped
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 3e-6), (jnp.bfloat16, 1e-2)], ids=["float32", "bfloat16"]
)
def test_value_and_gradients_are_xlas(kernel_size, stride, padding, size, inputs, features, dtype, tolerance):
    x = normal(2, *size, inputs, dtype=dtype)
    kernel = normal(kernel_size, kernel_size, inputs, features, seed=1, dtype=dtype)
    arguments = x, kernel, Geometry(stride, padding)
    assert_same(pulled_back(convolve, *arguments), pulled_back(xla, *arguments), tolerance=tolerance)


@pytest.mark.parametrize("block", [1, 5, 12, 48, 96, 10_000])
def test_blocks_add_up(monkeypatch, block):
    monkeypatch.setattr(convolution, "BLOCK", block)
    x, kernel = normal(6, 8, 6, 3), normal(3, 3, 3, 4, seed=1)
    assert_same(gradients(convolve, x, kernel), gradients(xla, x, kernel), tolerance=3e-6)


def test_bfloat16_gradient_of_the_kernel_is_summed_in_float32():
    # 1 + 2^-8 is no bfloat16: summed there, the many small terms would be lost.
    x = jnp.full((1, 64, 64, 1), 2.0**-8, jnp.bfloat16).at[0, 32, 32, 0].set(1.0)
    kernel = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    gradient = jax.grad(lambda kernel: convolve(x, kernel, Geometry(1, 0)).astype(jnp.float32).sum())(kernel)
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(1 + 4095 / 256, rel=2**-8)


def lowered(platform):
    gradient = jax.jit(lambda x, kernel, dy: jax.vjp(lambda *a: convolve(*a, Geometry(1, 1)), x, kernel)[1](dy)[1])
    arguments = normal(2, 8, 8, 4), normal(3, 3, 4, 5), normal(2, 8, 8, 5)
    return gradient.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def test_products_are_for_a_cpu_only():
    assert lowered("cpu").count("dot_general") == 3
    for platform in ("cuda", "tpu"):
        assert "dot_general" not in lowered(platform)
        assert "convolution" in lowered(platform)


GEOMETRY = Geometry(1, 1)


def gradients(function, x, kernel):
    return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel, GEOMETRY))), argnums=(0, 1))(x, kernel)


def under_vmap(function, x, kernel):
    return jax.vmap(functools.partial(gradients, function), in_axes=(0, None))(x, kernel)


def under_vmap_of_kernels(function, x, kernel):
    return jax.vmap(functools.partial(gradients, function))(x, jnp.stack([kernel, 2 * kernel, -kernel, 0 * kernel]))


def under_remat(function, x, kernel):
    remembered = jax.checkpoint(lambda x, kernel, geometry: function(x, kernel, geometry), static_argnums=2)
    return jax.jit(functools.partial(gradients, remembered))(x[0], kernel)


def in_a_loop(function, x, kernel):
    def add(total, x):
        return jax.tree.map(jnp.add, total, gradients(function, x, kernel)), None

    return jax.jit(lambda x: jax.lax.scan(add, (jnp.zeros_like(x[0]), jnp.zeros_like(kernel)), x)[0])(x)


def under_pmap(function, x, kernel):
    return jax.pmap(functools.partial(gradients, function), in_axes=(0, None))(x, kernel)


def under_shard_map(function, x, kernel):
    def one(x, kernel):
        return jax.tree.map(lambda g: g[None], gradients(function, x[0], kernel))

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = jax.shard_map(one, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"), check_vma=False)
    return jax.jit(mapped)(x, kernel)


@pytest.mark.parametrize(
    "way",
    [under_vmap, under_vmap_of_kernels, under_remat, in_a_loop, under_pmap, under_shard_map],
    ids=lambda way: way.__name__,
)
def test_gradients_are_xlas(way):
    x, kernel = normal(4, 2, 8, 8, 3), normal(3, 3, 3, 4, seed=1)
    assert_same(way(convolve, x, kernel), way(xla, x, kernel), tolerance=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_module_has_the_parameters_and_values_of_flax(use_bias, dtype):
    ours = Conv(6, (4, 4), stride=2, use_bias=use_bias, dtype=dtype)
    theirs = nn.Conv(6, (4, 4), strides=(2, 2), padding=1, use_bias=use_bias, dtype=dtype)
    x = normal(2, 8, 6, 3)
    variables = theirs.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(jnp.shape, variables)
    variables = jax.tree.map(lambda leaf: normal(*leaf.shape), variables)
    found, expected = ours.apply(variables, x), theirs.apply(variables, x)
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.asarray(expected, np.float32))
