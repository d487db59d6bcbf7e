from pathlib import Path

import jax.numpy as jnp
import numpy as np
import our_metrics
import pytest

from sar2opt_jax.metrics import lpips
from sar2opt_jax.metrics.weights.lpips import load_lpips

with np.load(Path(__file__).with_name("metrics_reference.npz")) as _file:
    REFERENCE = dict(_file)


@pytest.fixture(scope="module")
def alexnet():
    return load_lpips("alexnet")


@pytest.mark.parametrize("net", lpips.NETS)
def test_distances_are_the_packages(net):
    pair = our_metrics.pairs(40, 56)
    np.testing.assert_allclose(lpips.lpips(load_lpips(net), *pair, net=net), REFERENCE[f"lpips/{net}"], rtol=1e-4)


def test_equal_images_have_no_distance(alexnet):
    image, other = our_metrics.pairs(40, 56)
    np.testing.assert_array_equal(lpips.lpips(alexnet, image, image), [0, 0])
    np.testing.assert_allclose(lpips.lpips(alexnet, image, other), lpips.lpips(alexnet, other, image), rtol=1e-5)


def test_distance_of_one_layer_is_the_weighted_square_of_unit_features(monkeypatch):
    monkeypatch.setitem(lpips.NETS, "alexnet", lambda trunk, x: [x * jnp.asarray(trunk)])
    image, truth = np.zeros((2, 1, 40, 40, 2), np.float32)
    image[..., 0], truth[..., 1] = 5, 7
    params = {"trunk": np.float32(3), "heads": {"head_0": np.array([0.25, 2], np.float32)}}
    np.testing.assert_allclose(lpips.lpips(params, image, truth), [2.25], rtol=1e-6)
    # A place without any feature counts as zero, not as nan.
    np.testing.assert_allclose(lpips.lpips(params, image, 0 * truth), [0.25], rtol=1e-6)


@pytest.mark.parametrize(("net", "shape"), [("alexnet", (1, 30, 64, 3)), ("vgg16", (1, 64, 15, 3))])
def test_images_that_are_too_small_are_refused(net, shape):
    image = np.zeros(shape, np.float32)
    side = lpips.MINIMUM_SIDE[net]
    with pytest.raises(ValueError, match=f"by {net} needs images of at least {side} x {side} pixels; got {shape[1]} x"):
        lpips.lpips({}, image, image, net=net)


def test_unknown_networks_are_refused():
    image = np.zeros((1, 64, 64, 3), np.float32)
    with pytest.raises(ValueError, match="Unknown LPIPS network 'squeeze'; known: alexnet, vgg16"):
        lpips.lpips({}, image, image, net="squeeze")


def test_features_are_means_of_the_last_layer(alexnet):
    images = our_metrics.images(224, 224, batch=1, seed=0) / np.float32(255)
    last = lpips.alexnet(alexnet["trunk"], images)[-1]
    assert last.shape == (1, 13, 13, lpips.FEATURES_WIDTH)
    found = lpips.features(alexnet, images)
    np.testing.assert_allclose(found, last.mean(axis=(1, 2)), rtol=1e-5)


def test_features_of_other_sizes_are_of_images_resized_bilinearly(alexnet):
    flat = np.full((1, 32, 48, 3), 0.5, np.float32)
    expected = lpips.features(alexnet, np.full((1, 224, 224, 3), 0.5, np.float32))
    np.testing.assert_allclose(lpips.features(alexnet, flat), expected, rtol=1e-4, atol=1e-5)
