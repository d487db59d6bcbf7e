import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from sar2opt_jax.models.init import init_params
from sar2opt_jax.models.unet import UNet

HERE = pathlib.Path(__file__).parent
REFERENCE = runpy.run_path(str(HERE / "make_unet_reference.py"))
SMALL = UNet(widths=(32, 64), blocks_per_level=1, attention=(False, True), norm_groups=8)
apply = jax.jit(lambda params, *inputs: SMALL.apply({"params": params}, *inputs))


def shapes(unet, *, size=32, sar_channels=1):
    inputs = unet.input_shapes(image_size=size, sar_channels=sar_channels)
    return flatten_dict(jax.eval_shape(unet.init, jax.random.key(0), *inputs)["params"], sep="/")


def filled(unet):
    """Parameters without zeros, so that nothing is hidden."""
    params = {name: REFERENCE["fill"](name, leaf.shape) for name, leaf in shapes(unet).items()}
    return unflatten_dict(params, sep="/")


def inputs(height, width, *, batch=2):
    generator = np.random.default_rng(0)
    x_t = generator.standard_normal((batch, height, width, 3), np.float32)
    t = np.array([0, 999], np.int32)[:batch]
    return x_t, t, generator.uniform(-1, 1, (batch, height, width, 1)).astype(np.float32)


@pytest.mark.parametrize(("sar_channels", "parameters"), [(1, 113_674_371), (2, 113_674_371 + 3 * 3 * 128)])
def test_parameter_count_is_the_papers(sar_channels, parameters):
    found = shapes(UNet(), sar_channels=sar_channels)
    assert sum(leaf.size for leaf in found.values()) == parameters
    assert all(leaf.dtype == jnp.float32 for leaf in found.values())


def test_attention_is_in_the_fifth_level_its_mirror_and_the_middle_only():
    blocks = {"/".join(name.split("/")[:2]) for name in shapes(UNet()) if "attention" in name}
    assert blocks == {
        *(f"down_4/attention_{i}" for i in range(2)),
        "middle/attention_0",
        *(f"up_1/attention_{i}" for i in range(3)),
    }


def test_output_equals_diffusers():
    reference = np.load(HERE / "unet_reference.npz")
    unet = UNet(widths=REFERENCE["WIDTHS"])
    found = jax.jit(unet.apply)({"params": filled(unet)}, *REFERENCE["inputs"]())
    scale = np.abs(reference["output"]).max()
    np.testing.assert_allclose(found, reference["output"], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (16, 34)])
def test_output_has_the_shape_of_the_image(height, width):
    output = jax.eval_shape(SMALL.apply, {"params": filled(SMALL)}, *inputs(height, width))
    assert output.shape == (2, height, width, 3)
    assert output.dtype == jnp.float32


def test_examples_do_not_see_each_other():
    x_t, t, sar = inputs(8, 8)
    together = apply(filled(SMALL), x_t, t, sar)
    alone = apply(filled(SMALL), x_t[1:], t[1:], sar[1:])
    np.testing.assert_allclose(together[1:], alone, atol=1e-5)


def test_bfloat16_returns_float32_near_float32():
    params, arguments = filled(SMALL), inputs(16, 16)
    exact = np.asarray(apply(params, *arguments))
    found = jax.jit(SMALL.clone(dtype=jnp.bfloat16).apply)({"params": params}, *arguments)
    assert found.dtype == jnp.float32
    difference = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-4 < difference < 5e-2  # It does compute in bfloat16, and that costs about a hundredth.


def test_bfloat16_keeps_the_end_in_float32():
    arguments = inputs(8, 8)
    jaxpr = jax.make_jaxpr(SMALL.clone(dtype=jnp.bfloat16).apply)({"params": filled(SMALL)}, *arguments).jaxpr
    convolutions = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "custom_vjp_call"]
    kinds = [eqn.outvars[0].aval.dtype for eqn in convolutions]
    assert len(kinds) == 25
    assert kinds[-1] == jnp.float32
    assert set(kinds[:-1]) == {jnp.dtype(jnp.bfloat16)}


def test_gradient_reaches_every_parameter_and_input():
    params, (x_t, t, sar) = filled(SMALL), inputs(8, 8)

    def loss(params, x_t, sar):
        return jnp.mean(jnp.square(SMALL.apply({"params": params}, x_t, t, sar)))

    grads = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(params, x_t, sar)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        # A bias of all keys alike shifts every score of a softmax alike: no gradient in exact arithmetic.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert np.abs(leaf).max() > 1e-6, path
        assert np.isfinite(leaf).all(), path


def test_rematerialised_blocks_take_less_memory_for_the_same_gradients():
    deep = {"widths": (8, 8), "blocks_per_level": 3, "attention": (False, True), "norm_groups": 4}
    params, arguments = filled(UNet(**deep)), inputs(32, 32)

    def loss(remat):
        unet = UNet(**deep, remat=remat)
        return lambda params: jnp.square(unet.apply({"params": params}, *arguments)).mean()

    expected, found = (jax.jit(jax.grad(loss(remat)))(params) for remat in ("none", "blocks"))
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6 * scale), found, expected)

    def saved(remat):
        """Numbers that the backward pass is given; XLA for a CPU undoes the rest, so that its memory shows nothing."""
        backward = jax.eval_shape(lambda params: jax.vjp(loss(remat), params)[1], params)
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert saved("blocks") < 0.3 * saved("none")


def test_image_size_that_does_not_halve_is_refused():
    message = r"Image height and width \(48 x 100\) must be divisible by 32: the U-Net halves them 5 times\."
    with pytest.raises(ValueError, match=message):
        UNet().check_image_size(48, 100)
    with pytest.raises(ValueError, match="must be divisible by 2"):
        SMALL.apply({"params": filled(SMALL)}, *inputs(8, 9))
    UNet().check_image_size(256, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (32, 48)}, r"widths \(32, 48\) must all be multiples of norm_groups \(32\)"),
        ({"norm_groups": 24}, r"widths \(32, 64\) must all be multiples of norm_groups \(24\)"),
        ({"widths": ()}, r"widths \(\) must all be multiples of norm_groups"),
        ({"head_width": 12}, r"widths \(32, 64\) must all be multiples of head_width \(12\)"),
        (
            {"head_width": 64, "attention": (True, False)},
            r"widths \(32, 64\) must all be multiples of head_width \(64\), where there is attention",
        ),
        ({"attention": (True,)}, r"attention \(True,\) .* it has 1 entries, widths has 2"),
        ({"blocks_per_level": 0}, r"blocks_per_level must be at least 1; got 0"),
        ({"remat": "all"}, r"Unknown remat 'all'; known: none, blocks"),
        ({"dtype": jnp.float16}, r"dtype must be float32 or bfloat16; got float16"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**({"widths": (32, 64), "attention": (False, True)} | settings))


def test_a_head_may_be_wider_than_levels_without_attention():
    one_head = UNet(widths=(32, 64), attention=(False, True), head_width=64)
    assert shapes(one_head) == shapes(UNet(widths=(32, 64), attention=(False, True)))


def test_init_fills_by_fan_in_and_is_repeatable():
    first, second, other = (
        flatten_dict(init_params(SMALL, jax.random.key(seed), image_size=8, sar_channels=1), sep="/")
        for seed in (0, 0, 1)
    )
    assert {name: leaf.shape for name, leaf in first.items()} == {k: v.shape for k, v in shapes(SMALL).items()}
    for name, leaf in first.items():
        np.testing.assert_array_equal(leaf, second[name])
        assert leaf.dtype == jnp.float32
        if name.endswith("kernel"):
            assert not np.array_equal(leaf, other[name])
    for layer, fan_in, gain in (
        ("down_1/resnet_0/conv1", 3 * 3 * 32, 1.0),
        ("down_1/resnet_0/conv2", 3 * 3 * 64, 0.1),
        ("middle/attention_0/out", 64, 0.1),
        ("middle/attention_0/query", 64, 1.0),
        ("conv_out", 3 * 3 * 32, 0.01),
    ):
        assert np.std(first[f"{layer}/kernel"]) * np.sqrt(fan_in) == pytest.approx(gain, rel=0.1)
    assert np.all(first["down_0/resnet_0/norm1/scale"] == 1)
    assert np.all(first["conv_in/bias"] == 0)
