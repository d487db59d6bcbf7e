import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from sar2opt_jax.models.discriminator import Discriminator, from_unet
from sar2opt_jax.models.init import init_params
from sar2opt_jax.models.unet import UNet

UNET = UNet(widths=(32, 64), blocks_per_level=1, attention=(False, True), norm_groups=8)
DISCRIMINATOR = Discriminator(unet=UNET)
apply = jax.jit(lambda params, *inputs: DISCRIMINATOR.apply({"params": params}, *inputs))


def params(module, seed, sar_channels=1):
    return init_params(module, jax.random.key(seed), image_size=8, sar_channels=sar_channels)


def inputs(height=8, width=8):
    generator = np.random.default_rng(0)
    x_t, x_hat = (generator.standard_normal((3, height, width, 3), np.float32) for _ in range(2))
    t, s = np.array([999, 19, 500], np.int32), np.array([979, 0, 480], np.int32)
    return x_t, t, x_hat, s, generator.uniform(-1, 1, (3, height, width, 1)).astype(np.float32)


def test_trunk_is_the_encoder_and_middle_of_the_unet():
    trunk = flatten_dict(params(DISCRIMINATOR, 0)["unet"], sep="/")
    encoder = {name: leaf for name, leaf in flatten_dict(params(UNET, 0), sep="/").items() if "up_" not in name}
    encoder = {name: leaf for name, leaf in encoder.items() if not name.startswith(("norm_out", "conv_out"))}
    assert {name: leaf.shape for name, leaf in trunk.items()} == {k: v.shape for k, v in encoder.items()}


def test_size_is_the_papers():
    discriminator = Discriminator(unet=UNet())
    found = jax.eval_shape(
        discriminator.init, jax.random.key(0), *discriminator.input_shapes(image_size=64, sar_channels=1)
    )
    head = {name: leaf.shape for name, leaf in flatten_dict(found["params"]["head"], sep="/").items()}
    assert head["conv1/kernel"] == (3, 3, 1024, 1024)
    assert head["conv2/kernel"] == (4, 4, 1024, 1024)
    assert head["logit/kernel"] == (1024, 1)


def test_from_unet_copies_the_trunk_and_keeps_the_head():
    teacher, fresh = params(UNET, 0), params(DISCRIMINATOR, 1)
    started = from_unet(teacher, fresh)
    assert jax.tree.structure(started) == jax.tree.structure(fresh)
    for name, leaf in flatten_dict(started["unet"], sep="/").items():
        source = flatten_dict(teacher, sep="/")[name]
        np.testing.assert_array_equal(leaf, source)
        assert leaf.unsafe_buffer_pointer() != source.unsafe_buffer_pointer()
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (started["head"], fresh["head"])), strict=True))


def test_head_sees_what_the_unet_encodes():
    teacher = params(UNET, 0)
    started = from_unet(teacher, params(DISCRIMINATOR, 1))
    x_t, t, x_hat, s, sar = inputs()
    encode = jax.jit(lambda *inputs: UNET.apply({"params": teacher}, *inputs, method="encode").features)
    features = jnp.concatenate([encode(x_t, t, sar), encode(x_hat, s, sar)], axis=-1)
    expected = DISCRIMINATOR.apply(
        {"params": started}, features, method=lambda discriminator, features: discriminator.head(features)
    )
    np.testing.assert_allclose(apply(started, *inputs()), expected, atol=1e-5)


def test_unet_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"conv_in/kernel is \(3, 3, 5, 32\) in the U-Net and \(3, 3, 4, 32\)"):
        from_unet(params(UNET, 0, sar_channels=2), params(DISCRIMINATOR, 0))
    without = UNET.clone(attention=(False, False))
    with pytest.raises(ValueError, match="The U-Net has no down_1/attention_0"):
        from_unet(params(without, 0), params(DISCRIMINATOR, 0))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (6, 10)])
def test_logits_are_one_per_example(height, width):
    logits = apply(params(DISCRIMINATOR, 0), *inputs(height, width))
    assert logits.shape == (3,)
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()


def test_bfloat16_returns_float32_near_float32():
    weights = params(DISCRIMINATOR, 0)
    exact = apply(weights, *inputs())
    coarse = Discriminator(unet=UNET.clone(dtype=jnp.bfloat16))
    found = jax.jit(coarse.apply)({"params": weights}, *inputs())
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, atol=0.1)


def test_gradient_reaches_every_parameter_and_the_shown_image():
    x_t, t, x_hat, s, sar = inputs()

    def loss(weights, x_hat):
        return jnp.sum(jnp.square(DISCRIMINATOR.apply({"params": weights}, x_t, t, x_hat, s, sar) - 1))

    grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(params(DISCRIMINATOR, 0), x_hat)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        # A bias of all keys alike shifts every score of a softmax alike: no gradient in exact arithmetic.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert np.abs(leaf).max() > 1e-6, path


def test_image_without_two_by_two_features_is_refused():
    message = r"Image height and width \(2 x 8\) must be at least 4 for the discriminator"
    with pytest.raises(ValueError, match=message):
        DISCRIMINATOR.check_image_size(2, 8)
    with pytest.raises(ValueError, match="must be divisible by 2"):
        DISCRIMINATOR.check_image_size(8, 9)


def test_patch_heads_score_every_position_of_every_level():
    discriminator = Discriminator(unet=UNET, patches=True)
    weights = params(discriminator, 1)
    assert weights.keys() == {"unet", "heads_0", "heads_1"}
    assert weights["heads_0"]["conv1"]["kernel"].shape == (3, 3, 64, 64)
    logits = jax.jit(discriminator.apply)({"params": weights}, *inputs())
    assert logits.shape == (3, 8 * 8 + 4 * 4) and logits.dtype == jnp.float32
    # The finest head sees few pixels: a change in a corner leaves the logits of the other corners as they are, but for
    # what the norms carry over.
    x_t, t, x_hat, s, sar = inputs()
    moved = jax.jit(discriminator.apply)(
        {"params": weights}, x_t, t, x_hat + 0.5 * (np.arange(8) == 0)[None, None, :, None], s, sar
    )
    change = np.abs(np.asarray(moved - logits))[:, :64].reshape(3, 8, 8).mean(axis=(0, 1))
    assert change[0] > 2 * change[7]


def test_patch_heads_start_from_the_teacher_and_every_parameter_learns():
    discriminator, teacher = Discriminator(unet=UNET, patches=True), params(UNET, 0)
    started = from_unet(teacher, params(discriminator, 1))
    np.testing.assert_array_equal(started["unet"]["conv_in"]["kernel"], teacher["conv_in"]["kernel"])
    loss = lambda weights: jnp.sum(jnp.square(discriminator.apply({"params": weights}, *inputs()) - 1))  # noqa: E731
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(started)):
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert np.abs(leaf).max() > 1e-6, path


def test_patch_heads_need_no_two_by_two_features():
    Discriminator(unet=UNET, patches=True).check_image_size(2, 2)
