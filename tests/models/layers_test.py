import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.models import layers


def random(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def test_time_waves_are_cosines_then_sines():
    t = jnp.array([0, 7, 999])
    waves = np.asarray(layers.time_waves(t, width=8))
    omega = 10_000.0 ** (-np.arange(4) / 4)
    angles = np.array([0, 7, 999])[:, None] * omega
    np.testing.assert_allclose(waves, np.concatenate([np.cos(angles), np.sin(angles)], axis=1), atol=1e-4)
    assert waves.dtype == np.float32
    np.testing.assert_array_equal(waves[0], [1, 1, 1, 1, 0, 0, 0, 0])


def test_time_waves_tell_all_times_apart():
    waves = np.asarray(layers.time_waves(jnp.arange(1000), width=32))
    assert np.abs(np.diff(waves, axis=0)).max(axis=1).min() > 0.1


def test_group_norm_is_the_normal_of_each_group():
    x = random((2, 3, 5, 64)) * 3 + 2
    norm = layers.GroupNorm(32, jnp.float32)
    scale, bias = random((64,), 1), random((64,), 2)
    found = norm.apply({"params": {"scale": scale, "bias": bias}}, x)
    groups = np.asarray(x, np.float64).reshape(2, 15, 32, 2)
    mean, variance = groups.mean((1, 3), keepdims=True), groups.var((1, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape) * np.asarray(scale) + np.asarray(bias)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_group_norm_survives_a_large_mean():
    x = random((1, 8, 8, 32))
    norm = layers.GroupNorm(32, jnp.float32)
    params = {"params": {"scale": jnp.ones(32), "bias": jnp.zeros(32)}}
    np.testing.assert_allclose(norm.apply(params, x + 1000.0), norm.apply(params, x), atol=2e-3)


def test_group_norm_takes_statistics_of_bfloat16_in_float32():
    x = random((1, 64, 64, 32)).astype(jnp.bfloat16) + jnp.bfloat16(8)
    params = {"params": {"scale": jnp.ones(32), "bias": jnp.zeros(32)}}
    found = layers.GroupNorm(32, jnp.bfloat16).apply(params, x)
    exact = layers.GroupNorm(32, jnp.float32).apply(params, x.astype(jnp.float32))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)


def test_attention_of_equal_keys_adds_the_mean_value():
    x = random((1, 2, 3, 32))
    eye, zero = jnp.eye(32), jnp.zeros(32)
    params = {
        "norm": {"scale": jnp.ones(32), "bias": zero},
        "query": {"kernel": eye, "bias": zero},
        "key": {"kernel": 0 * eye, "bias": zero + 1},
        "value": {"kernel": eye, "bias": zero},
        "out": {"kernel": eye, "bias": zero + 0.5},
    }
    normed = layers.GroupNorm(32, jnp.float32).apply({"params": params["norm"]}, x)
    found = layers.AttentionBlock(8, 32, jnp.float32).apply({"params": params}, x)
    np.testing.assert_allclose(found, x + normed.mean(axis=(1, 2), keepdims=True) + 0.5, atol=1e-5)


def test_attention_heads_do_not_see_each_other():
    x = random((1, 2, 2, 32))
    block = layers.AttentionBlock(8, 32, jnp.float32)
    params = block.init(jax.random.key(0), x)["params"]
    params["out"] = {"kernel": jnp.eye(32), "bias": jnp.zeros(32)}
    changed = jax.tree.map(lambda leaf: leaf, params)
    changed["query"] = {"kernel": params["query"]["kernel"].at[:, :8].set(0.0), "bias": params["query"]["bias"]}
    difference = np.abs(block.apply({"params": params}, x) - block.apply({"params": changed}, x)).max(axis=(0, 1, 2))
    assert difference[:8].max() > 1e-4
    assert difference[8:].max() == 0


def test_resnet_block_with_a_zero_last_convolution_is_its_shortcut():
    x, time = random((1, 4, 4, 32)), random((1, 16))
    block = layers.ResnetBlock(64, 32, jnp.float32)
    params = block.init(jax.random.key(0), x, time)["params"]
    params["conv2"] = jax.tree.map(jnp.zeros_like, params["conv2"])
    shortcut = jnp.einsum("bhwi,io->bhwo", x, params["shortcut"]["kernel"][0, 0])
    np.testing.assert_allclose(block.apply({"params": params}, x, time), shortcut, atol=1e-5)


def test_resnet_block_keeps_its_input_where_the_width_stays():
    x, time = random((1, 4, 4, 32)), random((1, 16))
    params = layers.ResnetBlock(32, 32, jnp.float32).init(jax.random.key(0), x, time)["params"]
    assert "shortcut" not in params
    params["conv2"] = jax.tree.map(jnp.zeros_like, params["conv2"])
    np.testing.assert_array_equal(layers.ResnetBlock(32, 32, jnp.float32).apply({"params": params}, x, time), x)


@pytest.mark.parametrize(("groups", "sees_time"), [(8, True), (32, False)])
def test_time_passes_a_norm_only_with_several_channels_a_group(groups, sees_time):
    x, time = random((1, 4, 4, 32)), random((2, 16))
    block = layers.ResnetBlock(32, groups, jnp.float32)
    params = {"params": block.init(jax.random.key(0), x, time[:1])["params"]}
    difference = np.abs(block.apply(params, x, time[:1]) - block.apply(params, x, time[1:])).max()
    assert (difference > 1e-2) == sees_time
    assert sees_time or difference < 1e-5


def test_upsample_repeats_pixels():
    x = random((2, 2, 3, 32))
    layer = layers.Upsample(jnp.float32)
    identity = jnp.zeros((3, 3, 32, 32)).at[1, 1].set(jnp.eye(32))
    found = layer.apply({"params": {"conv": {"kernel": identity, "bias": jnp.zeros(32)}}}, x)
    np.testing.assert_array_equal(found, np.asarray(x).repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 1), (2, 2)])
def test_downsample_pads_by_one_on_every_side(row, column):
    x = random((1, 4, 6, 32))
    tap = jnp.zeros((3, 3, 32, 32)).at[row, column].set(jnp.eye(32))
    found = layers.Downsample(jnp.float32).apply({"params": {"conv": {"kernel": tap, "bias": jnp.zeros(32)}}}, x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    np.testing.assert_array_equal(found, padded[:, row : row + 4 : 2, column : column + 6 : 2])
