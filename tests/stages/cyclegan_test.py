import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.stages.cyclegan import NETWORKS, CycleGAN
from sar2opt_jax.translator import generate

RNG = jax.random.key(0)


def back(params, x_t, t, optical):
    """The way back: three channels to one, the empty image beside them."""
    return jnp.concatenate([x_t, optical], axis=-1) @ params["mix"] + t.reshape(-1, 1, 1, 1)


@pytest.fixture
def backward_params():
    return {"mix": jnp.asarray(np.random.default_rng(3).normal(size=(4, 1)) / 2, jnp.float32)}


@pytest.fixture
def stage(convolution, params, backward_params, patch_discriminator, patch_params):
    return CycleGAN(
        generator=functools.partial(generate, convolution),
        backward=functools.partial(generate, back, channels=1),
        init_params=lambda rng: params,
        init_backward=lambda rng: backward_params,
        discriminator=patch_discriminator,
        init_discriminator=lambda rng: patch_params(3),
        init_sar_discriminator=lambda rng: patch_params(1),
        optimizer=optax.sgd(0.1),
    )


def to_optical(stage, generator, sar):
    (model,) = stage.generator.args
    return jnp.tanh(model(generator, jnp.zeros((4, 8, 8, 3)), jnp.zeros(4, jnp.int32), sar))


def to_sar(backward, optical):
    return jnp.tanh(optical @ backward["mix"][1:])


def assert_trees_close(found, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, expected)


@pytest.mark.parametrize("cycle_weight", [0.0, 10.0])
def test_generators_descend_the_objective_with_the_discriminators_held(stage, batch, cycle_weight):
    stage = dataclasses.replace(stage, cycle_weight=cycle_weight)
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)

    def loss(generator, backward):
        optical, sar = to_optical(stage, generator, batch.sar), to_sar(backward, batch.optical)
        terms = {
            "loss/generator": jnp.mean((stage.discriminator(state.discriminator.params, optical) - 1) ** 2),
            "loss/backward": jnp.mean((stage.discriminator(state.sar_discriminator.params, sar) - 1) ** 2),
            "loss/sar_cycle": jnp.mean(jnp.abs(to_sar(backward, optical) - batch.sar)),
            "loss/optical_cycle": jnp.mean(jnp.abs(to_optical(stage, generator, sar) - batch.optical)),
        }
        generator_terms, backward_terms, *cycles = terms.values()
        return generator_terms + backward_terms + cycle_weight * sum(cycles), terms

    (generator, backward), terms = jax.grad(loss, argnums=(0, 1), has_aux=True)(
        state.generator.params, state.backward.params
    )
    assert_trees_close(grads["generator"], generator, rtol=1e-4, atol=1e-5)
    assert_trees_close(grads["backward"], backward, rtol=1e-4, atol=1e-5)
    for name, value in terms.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


def test_discriminators_descend_half_their_losses_at_the_generators_before_their_update(stage, batch):
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)
    optical = to_optical(stage, state.generator.params, batch.sar)
    sar = to_sar(state.backward.params, batch.optical)
    for prefix, real, fake in (("", batch.optical, optical), ("sar_", batch.sar, sar)):
        name = f"{prefix}discriminator"

        def loss(params, real=real, fake=fake):
            on_real, on_fake = (stage.discriminator(params, images) for images in (real, fake))
            return jnp.mean((on_real - 1) ** 2 + on_fake**2) / 2, (on_real, on_fake)

        (value, (on_real, on_fake)), expected = jax.value_and_grad(loss, has_aux=True)(getattr(state, name).params)
        assert_trees_close(grads[name], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(metrics[f"loss/{name}"], value, rtol=1e-5)
        np.testing.assert_allclose(metrics[f"logits/{prefix}real"], np.mean(on_real), rtol=1e-5)
        np.testing.assert_allclose(metrics[f"logits/{prefix}fake"], np.mean(on_fake), rtol=1e-5)


def test_pairing_is_never_used(stage, batch):
    state = stage.init(RNG, None)
    paired = stage.gradients(state, batch, RNG)
    mixed = stage.gradients(state, batch._replace(optical=batch.optical[::-1]), RNG)
    assert_trees_close(mixed, paired, rtol=1e-4, atol=1e-6)


def test_step_is_the_same_however_it_is_spread(stage, batch, assert_step_is_the_same_however_spread):
    assert_step_is_the_same_however_spread(stage, batch, RNG)


def test_update_moves_every_network_by_its_own_gradient(stage):
    state = stage.init(RNG, None)
    grads = {
        name: jax.tree.map(lambda x, i=i: jnp.full_like(x, i + 1), getattr(state, name).params)
        for i, name in enumerate(NETWORKS)
    }
    new = stage.update(state, grads)
    assert new.step == 1
    for i, name in enumerate(NETWORKS):
        expected = jax.tree.map(lambda x, i=i: x - 0.1 * (i + 1), getattr(state, name).params)
        assert_trees_close(getattr(new, name).params, expected, atol=1e-6)


def test_init_takes_four_keys_and_each_network_has_its_own_maker(stage, params, backward_params, patch_params):
    keys = []

    def kept(made):
        return lambda rng: keys.append(jax.random.key_data(rng).tolist()) or made

    stage = dataclasses.replace(
        stage,
        init_params=kept(params),
        init_backward=kept(backward_params),
        init_discriminator=kept(patch_params(3)),
        init_sar_discriminator=kept(patch_params(1)),
    )
    state = stage.init(RNG, {"unet": {"kernel": jnp.zeros(1)}})
    assert len({str(key) for key in keys}) == 4
    assert state.step == 0 and state.generator.params is params and state.backward.params is backward_params
    assert state.discriminator.params["weight"].shape == (3, 5)
    assert state.sar_discriminator.params["weight"].shape == (1, 5)


def test_export_is_of_the_way_there(stage, batch):
    state = stage.init(RNG, None)
    export = stage.export(state)
    assert export["unet"] is state.generator.params and export["discriminator"] is state.discriminator.params
    assert export["backward"] is state.backward.params
    expected = to_optical(stage, state.generator.params, batch.sar)
    np.testing.assert_allclose(stage.generator(export["unet"], batch.sar), expected, rtol=1e-5, atol=1e-6)


def test_a_step_has_its_recorded_numbers(stage, batch, assert_recorded):
    state = stage.init(RNG, None)
    grads, metrics = stage.gradients(state, batch, RNG)
    new = stage.update(state, grads)
    found = {name: float(value) for name, value in sorted(metrics.items())} | {
        "gradient of kernel": float(jnp.linalg.norm(grads["generator"]["kernel"].ravel())),
        "gradient of mix": float(jnp.linalg.norm(grads["backward"]["mix"].ravel())),
        "discriminator": float(new.discriminator.params["bias"][0]),
        "sar_discriminator": float(new.sar_discriminator.params["bias"][0]),
    }
    expected = {
        "accuracy/fake": 1.0,
        "accuracy/real": 0.0,
        "accuracy/sar_fake": 0.578125,
        "accuracy/sar_real": 0.4375,
        "logits/fake": -0.39079145,
        "logits/real": -0.45921829,
        "logits/sar_fake": 0.41542149,
        "logits/sar_real": 0.43838349,
        "loss/backward": 0.45999154,
        "loss/discriminator": 1.2731565,
        "loss/generator": 2.0367317,
        "loss/optical_cycle": 0.53922844,
        "loss/sar_cycle": 0.51322842,
        "loss/sar_discriminator": 0.35724688,
        "gradient of kernel": 7.6068974,
        "gradient of mix": 1.1677313,
        "discriminator": -0.20579998,
        "sar_discriminator": 0.46099406,
    }
    assert_recorded(found, expected)
