import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.diffusion import losses
from sar2opt_jax.diffusion.schedule import PREDICTIONS, make_schedule, over_image
from sar2opt_jax.stages.teacher import Draws, Teacher

RNG = jax.random.key(0)
SCHEDULE = make_schedule("scaled_linear")


@pytest.fixture
def teacher(convolution, params):
    return Teacher(
        model=convolution, init_params=lambda rng: params, optimizer=optax.sgd(0.1), schedule=SCHEDULE, prediction="v"
    )


def fixed_draws(batch, seed=0):
    rng = np.random.default_rng(seed)
    eps, perturbation = (jnp.asarray(rng.normal(size=batch.optical.shape), jnp.float32) for _ in range(2))
    return Draws(t=jnp.array([0, 300, 700, 999]), eps=eps, perturbation=0.1 * perturbation)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_knows_the_image_is_the_optimum(teacher, batch, prediction):
    # x_0 is a function of the condition, so the exact output is known; it is scaled by a parameter.
    def model(params, x_t, t, sar):
        x_0 = jnp.repeat(sar, 3, axis=-1)
        return params["scale"] * SCHEDULE.target(x_0, SCHEDULE.to_eps(x_0, x_t, t), t, prediction=prediction)

    batch = batch._replace(optical=jnp.repeat(batch.sar, 3, axis=-1))
    draws = fixed_draws(batch)._replace(perturbation=jnp.zeros_like(batch.optical))
    teacher = dataclasses.replace(teacher, model=model, prediction=prediction)
    loss_and_slope = jax.value_and_grad(lambda scale: teacher.loss({"scale": scale}, batch, draws))
    target = SCHEDULE.target(batch.optical, draws.eps, draws.t, prediction=prediction)
    power = np.mean(np.square(target))
    for scale in (0.5, 1.0, 2.0):
        loss, slope = loss_and_slope(jnp.float32(scale))
        np.testing.assert_allclose(loss, (scale - 1) ** 2 * power, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(slope, 2 * (scale - 1) * power, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_is_the_weighted_mean_over_examples(teacher, batch, params, prediction):
    draws = fixed_draws(batch)
    teacher = dataclasses.replace(teacher, prediction=prediction, min_snr_gamma=5.0)
    x_t = SCHEDULE.add_noise(batch.optical, draws.eps + draws.perturbation, draws.t)
    target = SCHEDULE.target(batch.optical, draws.eps, draws.t, prediction=prediction)
    error = np.mean(np.square(teacher.model(params, x_t, draws.t, batch.sar) - target), axis=(1, 2, 3))
    weight = losses.min_snr_weight(SCHEDULE.snr(draws.t), gamma=5.0, prediction=prediction)
    np.testing.assert_allclose(teacher.loss(params, batch, draws), np.mean(weight * error), rtol=1e-5)
    unweighted = dataclasses.replace(teacher, min_snr_gamma=None)
    np.testing.assert_allclose(unweighted.loss(params, batch, draws), np.mean(error), rtol=1e-5)


def test_perturbation_is_seen_by_the_network_and_not_asked_of_it(teacher, batch):
    # A network that takes all noise for eps is wrong by just the perturbation.
    def model(params, x_t, t, sar):
        return (x_t - over_image(SCHEDULE.alpha(t), x_t) * batch.optical) / over_image(SCHEDULE.sigma(t), x_t)

    draws = fixed_draws(batch)
    teacher = dataclasses.replace(teacher, model=model, prediction="eps")
    np.testing.assert_allclose(teacher.loss({}, batch, draws), np.mean(np.square(draws.perturbation)), rtol=1e-4)


def test_draws_are_uniform_times_and_standard_normal_noise(teacher, batch):
    many = batch._replace(
        optical=jnp.zeros((2000, 4, 4, 3)), sar=jnp.zeros((2000, 4, 4, 1)), index=jnp.arange(2000, dtype=jnp.int32)
    )
    plain = teacher.draw(RNG, jnp.int32(0), many)
    assert plain.t.min() >= 0 and plain.t.max() <= 999
    np.testing.assert_allclose(np.histogram(plain.t, bins=10, range=(0, 1000))[0] / 2000, 0.1, atol=0.03)
    np.testing.assert_allclose([np.mean(plain.eps), np.std(plain.eps)], [0, 1], atol=0.01)
    assert not np.any(plain.perturbation)

    settings = dataclasses.replace(teacher, noise_offset=0.5, input_perturbation=0.1)
    offset = settings.draw(RNG, jnp.int32(0), many)
    np.testing.assert_allclose(np.std(offset.perturbation), 0.1, rtol=0.01)
    np.testing.assert_array_equal(offset.t, plain.t)
    # One constant per example and channel, of standard deviation 0.5.
    added = np.asarray(offset.eps - plain.eps)
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1], added.shape), atol=1e-6)
    np.testing.assert_allclose(np.std(added[:, 0, 0]), 0.5, rtol=0.05)
    assert abs(np.corrcoef(added[:, 0, 0].T)[0, 1]) < 0.1


def test_gradients_of_halves_average_to_those_of_the_batch(teacher, batch):
    state = teacher.init(RNG)
    gradients = jax.jit(teacher.gradients)
    whole, metrics = gradients(state, batch, RNG)
    halves = [gradients(state, jax.tree.map(lambda x, h=h: x[2 * h : 2 * h + 2], batch), RNG) for h in range(2)]
    for name, grad in whole["unet"].items():
        np.testing.assert_allclose((halves[0][0]["unet"][name] + halves[1][0]["unet"][name]) / 2, grad, atol=1e-5)
    np.testing.assert_allclose(np.mean([h[1]["loss/teacher"] for h in halves]), metrics["loss/teacher"], rtol=1e-5)


def test_draws_change_with_step_and_index(teacher, batch):
    draws = teacher.draw(RNG, jnp.int32(0), batch)
    later = teacher.draw(RNG, jnp.int32(1), batch)
    elsewhere = teacher.draw(RNG, jnp.int32(0), batch._replace(index=batch.index + 4))
    for other in (later, elsewhere):
        assert not np.any(np.asarray(other.eps) == np.asarray(draws.eps))


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (8, 0.5), (90, 0.91), (10**6, 0.9999)])
def test_moving_average_warms_up(teacher, params, step, decay):
    state = teacher.init(RNG)._replace(step=jnp.int32(step))
    new = teacher.update(state, {"unet": jax.tree.map(jnp.ones_like, params)})
    assert new.step == step + 1
    for name, start in params.items():
        np.testing.assert_allclose(new.unet.params[name], start - 0.1, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(new.ema[name], start - 0.1 * (1 - decay), rtol=1e-5, atol=1e-6)


def test_export_is_the_moving_average(teacher, params):
    state = teacher.update(teacher.init(RNG), {"unet": jax.tree.map(jnp.ones_like, params)})
    export = teacher.export(state)
    assert export.keys() == {"unet"} and export["unet"] is state.ema


def test_init_owns_its_buffers_and_goes_on_from_an_export(teacher, params):
    given = jax.tree.map(lambda x: x + 1, params)
    for export, expected in ((None, params), ({"unet": given}, given)):
        state = teacher.init(RNG, export)
        assert state.step == 0
        for name in params:
            np.testing.assert_array_equal(state.unet.params[name], expected[name])
            np.testing.assert_array_equal(state.ema[name], expected[name])
        # Donation refuses a buffer that stands twice in the state.
        state = jax.jit(teacher.update, donate_argnums=0)(state, {"unet": jax.tree.map(jnp.ones_like, params)})
        assert state.step == 1
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(given))


def test_a_step_has_its_recorded_numbers(teacher, batch, assert_recorded):
    teacher = dataclasses.replace(teacher, min_snr_gamma=5.0, noise_offset=0.1, input_perturbation=0.1)
    state = teacher.init(RNG)
    grads, metrics = teacher.gradients(state, batch, RNG)
    new = teacher.update(state, grads)
    found = {
        "loss/teacher": float(metrics["loss/teacher"]),
        "gradient of kernel": float(jnp.linalg.norm(grads["unet"]["kernel"].ravel())),
        "gradient of bias": float(grads["unet"]["bias"][0]),
        "params": float(new.unet.params["bias"][0]),
        "ema": float(new.ema["bias"][0]),
    }
    expected = {
        "loss/teacher": 0.36449613,
        "gradient of kernel": 0.19455174,
        "gradient of bias": 0.04862426,
        "params": 1.7485217,
        "ema": 1.7490078,
    }
    assert_recorded(found, expected)
