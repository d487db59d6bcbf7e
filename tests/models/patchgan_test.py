import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from sar2opt_jax.models.init import fresh_params
from sar2opt_jax.models.patchgan import PatchGAN

NARROW = PatchGAN(widths=(4, 8, 8, 8))
RNG = jax.random.key(0)


def params(discriminator, *, size=64, channels=4):
    return fresh_params(discriminator, RNG, jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))


def images(batch=2, size=64, channels=4, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, size, size, channels)).astype(np.float32)


def without_norm(monkeypatch):
    """A norm looks at the whole image, which would hide what the convolutions see."""
    monkeypatch.setattr("sar2opt_jax.models.patchgan.GroupNorm", lambda *_, name: lambda x: x)


@pytest.mark.parametrize(
    ("widths", "seen"), [((4, 4, 4, 4), 70), ((4, 4, 4), 34), ((4, 4), 16), ((4, 4, 4, 4, 4), 142)]
)
def test_logit_sees_a_patch(monkeypatch, widths, seen):
    without_norm(monkeypatch)
    discriminator, size = PatchGAN(widths=widths), 256
    weights = jax.tree.map(jnp.ones_like, params(discriminator, size=size, channels=1))
    image = jnp.full((1, size, size, 1), 0.5)

    def middle(image):
        logits = discriminator.apply({"params": weights}, image)
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    reached = np.asarray(jax.grad(middle)(image))[0, :, :, 0] != 0
    rows, columns = np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0))
    assert len(rows) == rows[-1] - rows[0] + 1 == seen
    assert len(columns) == columns[-1] - columns[0] + 1 == seen


def test_standard_size_is_the_releases():
    # As the public implementation with batch norm: a scale and a shift a channel, no bias before a norm.
    for channels, parameters in ((3 + 1, 2_766_657), (3 + 3, 2_768_705)):
        shapes = jax.eval_shape(PatchGAN().init, RNG, jnp.zeros((1, 256, 256, channels)))["params"]
        assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == parameters


@pytest.mark.parametrize(("size", "patches"), [(24, 1), (32, 2), (64, 6), (256, 30)])
def test_logits_are_one_per_patch(size, patches):
    logits = jax.eval_shape(NARROW.apply, {"params": params(NARROW)}, images(size=size))
    assert logits.shape == (2, patches, patches)
    assert logits.dtype == jnp.float32


def test_logits_do_not_depend_on_the_company():
    weights = params(NARROW)
    together = NARROW.apply({"params": weights}, images(batch=3))
    alone = NARROW.apply({"params": weights}, images(batch=3)[1:2])
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-5, atol=1e-5)


def test_norms_stand_between_the_first_convolution_and_the_last():
    names = {name.split("/")[0] for name in flatten_dict(params(NARROW), sep="/")}
    assert names == {"conv_0", "conv_1", "conv_2", "conv_3", "norm_1", "norm_2", "norm_3", "logits"}
    # The first sees brightness, so that a wrong colour can be told.
    first, second = (NARROW.apply({"params": params(NARROW)}, images() + shift) for shift in (0.0, 0.5))
    assert np.abs(first - second).max() > 1e-2


def test_slope_below_zero_is_a_fifth():
    discriminator = PatchGAN(widths=(1,))
    weights = {
        "conv_0": {"kernel": jnp.ones((4, 4, 1, 1)) / 16, "bias": jnp.zeros(1)},
        "logits": {"kernel": jnp.ones((4, 4, 1, 1)) / 16, "bias": jnp.zeros(1)},
    }
    up, down = (
        discriminator.apply({"params": weights}, jnp.full((1, 16, 16, 1), value))[0, 7, 7] for value in (1.0, -1.0)
    )
    np.testing.assert_allclose([up, down], [1.0, -0.2], rtol=1e-6)


def test_bfloat16_returns_float32_near_float32():
    weights = params(NARROW)
    found = PatchGAN(widths=NARROW.widths, dtype=jnp.bfloat16).apply({"params": weights}, images())
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, NARROW.apply({"params": weights}, images()), atol=0.1)


def test_gradient_reaches_every_parameter_and_the_image():
    def loss(weights, image):
        return jnp.sum(jnp.square(NARROW.apply({"params": weights}, image) - 1))

    grads = jax.grad(loss, argnums=(0, 1))(params(NARROW), images())
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert np.abs(leaf).max() > 1e-6, path


def test_image_without_a_patch_is_refused():
    message = r"Image height and width \(23 x 64\) must be at least 24 for a discriminator with 4 widths; give it fewer"
    with pytest.raises(ValueError, match=message):
        NARROW.check_image_size(23, 64)
    with pytest.raises(ValueError, match="must be at least 24"):
        NARROW.apply({"params": params(NARROW)}, images(size=16))
    NARROW.check_image_size(24, 24)


@pytest.mark.parametrize("widths", [(), (64, 0)])
def test_bad_widths_are_refused(widths):
    with pytest.raises(ValueError, match="must be at least one number of 1 or more; got"):
        PatchGAN(widths=widths)
