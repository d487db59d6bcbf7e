import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.stages.pix2pix import Pix2Pix
from sar2opt_jax.translator import generate

RNG = jax.random.key(0)


@pytest.fixture
def stage(convolution, params, patch_discriminator, patch_params):
    return Pix2Pix(
        generator=functools.partial(generate, convolution),
        init_params=lambda rng: params,
        discriminator=patch_discriminator,
        init_discriminator=lambda rng: patch_params(4),
        optimizer=optax.sgd(0.1),  # Shows gradients of a wrong scale, which Adam hides.
    )


def translated(stage, generator, batch):
    """G(sar), written out."""
    t = jnp.zeros(4, jnp.int32)
    (model,) = stage.generator.args
    return jnp.tanh(model(generator, jnp.zeros((4, 8, 8, 3)), t, batch.sar))


def logits(stage, discriminator, batch, image):
    return stage.discriminator(discriminator, jnp.concatenate([batch.sar, image], axis=-1))


def assert_trees_close(found, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, expected)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_discriminator_descends_half_its_loss_at_the_generator_before_its_update(stage, batch, name):
    stage = dataclasses.replace(stage, loss=name)
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)
    fake = translated(stage, state.generator.params, batch)

    def loss(discriminator):
        real, generated = (logits(stage, discriminator, batch, image) for image in (batch.optical, fake))
        return jnp.mean(ADVERSARIAL[name].discriminator(real, generated)) / 2, (real, generated)

    (value, (real, generated)), expected = jax.value_and_grad(loss, has_aux=True)(state.discriminator.params)
    assert_trees_close(grads["discriminator"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss/discriminator"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["logits/real"], np.mean(real), rtol=1e-5)
    np.testing.assert_allclose(metrics["logits/fake"], np.mean(generated), rtol=1e-5)


@pytest.mark.parametrize(("l1_weight", "adversarial_weight"), [(100.0, 1.0), (0.0, 1.0), (3.0, 0.5)])
def test_generator_descends_both_losses_with_the_discriminator_held(stage, batch, l1_weight, adversarial_weight):
    stage = dataclasses.replace(stage, l1_weight=l1_weight, adversarial_weight=adversarial_weight)
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)

    def loss(generator):
        fake = translated(stage, generator, batch)
        adversarial = jnp.mean(jax.nn.softplus(-logits(stage, state.discriminator.params, batch, fake)))
        l1 = jnp.mean(jnp.abs(fake - batch.optical))
        return adversarial_weight * adversarial + l1_weight * l1, (adversarial, l1)

    expected, (adversarial, l1) = jax.grad(loss, has_aux=True)(state.generator.params)
    assert_trees_close(grads["generator"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["loss/generator"], adversarial, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/l1"], l1, rtol=1e-5)


def test_without_adversarial_weight_it_is_the_regression_in_closed_form(stage, batch):
    # A network that is one number: d/dw |tanh(w sar) - optical| = sign(tanh(w sar) - optical) sar / cosh(w sar)^2.
    stage = dataclasses.replace(
        stage,
        generator=functools.partial(
            generate, lambda params, x_t, t, sar: params["w"].reshape(1, 1, 1, 1) * jnp.repeat(sar, 3, axis=-1)
        ),
        init_params=lambda rng: {"w": jnp.float32(0.7)},
        adversarial_weight=0.0,
    )
    grads, _ = stage.gradients(stage.init(RNG, None), batch, RNG)
    sar = np.repeat(np.float64(batch.sar), 3, axis=-1)
    sign = np.sign(np.tanh(0.7 * sar) - np.float64(batch.optical))
    np.testing.assert_allclose(grads["generator"]["w"], 100 * np.mean(sign * sar / np.cosh(0.7 * sar) ** 2), rtol=1e-4)


def test_network_is_shown_no_image_at_time_zero(stage, batch):
    calls = []

    def model(params, x_t, t, sar):
        calls.append((x_t, t, sar))
        return params["kernel"].sum() * jnp.ones((4, 8, 8, 3))

    stage = dataclasses.replace(stage, generator=functools.partial(generate, model))
    state = stage.init(RNG, None)
    stage.generator_loss(state.generator.params, state.discriminator.params, batch)
    ((x_t, t, sar),) = calls
    np.testing.assert_array_equal(x_t, np.zeros((4, 8, 8, 3)))
    np.testing.assert_array_equal(t, np.zeros(4, np.int32))
    assert sar is batch.sar


def test_step_is_the_same_however_it_is_spread(stage, batch, assert_step_is_the_same_however_spread):
    assert_step_is_the_same_however_spread(stage, batch, RNG)


def test_update_moves_both_networks(stage, params, patch_params):
    state = stage.init(RNG, None)
    grads = {
        "generator": jax.tree.map(jnp.ones_like, params),
        "discriminator": jax.tree.map(lambda x: 2 * jnp.ones_like(x), patch_params(4)),
    }
    new = stage.update(state, grads)
    assert new.step == 1
    for name, start in params.items():
        np.testing.assert_allclose(new.generator.params[name], start - 0.1, atol=1e-6)
    for name, start in patch_params(4).items():
        np.testing.assert_allclose(new.discriminator.params[name], start - 0.2, atol=1e-6)


def test_init_takes_two_keys_and_nothing_from_other_stages(stage, params, patch_params):
    keys = []

    def kept(made):
        return lambda rng: keys.append(jax.random.key_data(rng).tolist()) or made

    stage = dataclasses.replace(stage, init_params=kept(params), init_discriminator=kept(patch_params(4)))
    state = stage.init(RNG, {"unet": {"kernel": jnp.zeros(1)}})
    assert len({str(key) for key in keys}) == 2
    assert state.step == 0 and state.generator.params is params


def test_export_is_of_the_generator(stage, batch):
    state = stage.init(RNG, None)
    export = stage.export(state)
    assert export.keys() == {"unet", "discriminator"}
    assert export["unet"] is state.generator.params and export["discriminator"] is state.discriminator.params
    expected = translated(stage, state.generator.params, batch)
    np.testing.assert_allclose(stage.generator(export["unet"], batch.sar), expected, rtol=1e-5, atol=1e-6)


def test_a_step_has_its_recorded_numbers(stage, batch, assert_recorded):
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)
    new = stage.update(state, grads)
    found = {name: float(value) for name, value in sorted(metrics.items())} | {
        "gradient of kernel": float(jnp.linalg.norm(grads["generator"]["kernel"].ravel())),
        "gradient of weight": float(jnp.linalg.norm(grads["discriminator"]["weight"].ravel())),
        "generator": float(new.generator.params["kernel"][1, 1, 3, 0]),
        "discriminator": float(new.discriminator.params["bias"][0]),
    }
    expected = {
        "accuracy/fake": 1.0,
        "accuracy/real": 0.109375,
        "logits/fake": -0.65459394,
        "logits/real": -0.6114617,
        "loss/discriminator": 0.74413931,
        "loss/generator": 1.0747004,
        "loss/l1": 0.52482295,
        "gradient of kernel": 7.5000935,
        "gradient of weight": 0.04070824,
        "generator": 0.025601674,
        "discriminator": -0.64131248,
    }
    assert_recorded(found, expected)
