from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import our_metrics
import pytest

from sar2opt_jax.metrics import inception
from sar2opt_jax.metrics.weights.inception import to_flax

with np.load(Path(__file__).with_name("metrics_reference.npz")) as _file:
    REFERENCE = dict(_file)


def test_features_are_torch_fidelitys():
    params = to_flax(our_metrics.inception_tensors(seed=0), where="made up")
    found = jax.jit(inception.features)(params, our_metrics.images(40, 56, batch=2, seed=5))
    assert REFERENCE["inception"].std() > 1
    np.testing.assert_allclose(found, REFERENCE["inception"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("images", [np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 1), np.uint8)])
def test_other_images_than_bytes_of_three_channels_are_refused(images):
    with pytest.raises(ValueError, match=r"takes .* images of uint8; got"):
        inception.features({}, images)


def test_resize_to_the_same_size_changes_nothing():
    image = np.random.default_rng(0).random((1, 5, 4, 3), np.float32)
    np.testing.assert_array_equal(inception.resize(jnp.asarray(image), 5, 4), image)


def test_resize_keeps_the_first_pixel_in_its_place_and_repeats_the_last():
    # TensorFlow 1 takes pixel i at i · old / new: 0, 0.5, 1, ... where size doubles.
    ramp = jnp.arange(3.0).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(inception.resize(ramp, 1, 6).reshape(-1), [0, 0.5, 1, 1.5, 2, 2])
    np.testing.assert_allclose(inception.resize(ramp.reshape(1, 3, 1, 1), 6, 1).reshape(-1), [0, 0.5, 1, 1.5, 2, 2])


def test_resize_to_half_takes_every_other_pixel():
    row = jnp.asarray([3.0, 9, 1, 7]).reshape(1, 1, 4, 1)
    np.testing.assert_allclose(inception.resize(row, 1, 2).reshape(-1), [3, 1])


def pass_through(channels: int) -> dict[str, np.ndarray]:
    """A layer that puts out what it is given, as far as it is above zero."""
    return {
        "kernel": np.eye(channels, dtype=np.float32)[None, None],
        "scale": np.sqrt(np.full(channels, 1 + inception.EPSILON, np.float32)),
        "bias": np.zeros(channels, np.float32),
        "mean": np.zeros(channels, np.float32),
        "var": np.ones(channels, np.float32),
    }


@pytest.mark.parametrize(("last", "expected"), [(False, [1.5, 2, 3, 3.5]), (True, [2, 3, 4, 4])])
def test_pooling_counts_no_padding_and_the_last_block_takes_maxima(last, expected):
    names = ("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b", "branch3x3dbl_1", "branch3x3dbl_2")
    names += ("branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool")
    params = dict.fromkeys(names, pass_through(1))
    row = jnp.arange(1.0, 5).reshape(1, 1, 4, 1)
    found = inception.block_e(params, row, pool=inception.maximum if last else inception.mean)
    np.testing.assert_allclose(found[0, 0, :, -1], expected, rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, :, 0], [1, 2, 3, 4], rtol=1e-6)
