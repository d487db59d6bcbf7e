import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.diffusion.losses import ADVERSARIAL
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.stages.adversarial import REAL, Adversarial
from sar2opt_jax.stages.distill import Distill

RNG = jax.random.key(0)


@pytest.fixture
def stage(convolution, discriminator, discriminator_params):
    return Adversarial(
        model=convolution,
        optimizer=optax.sgd(0.1),
        schedule=make_schedule("scaled_linear"),
        prediction="v",
        discriminator=discriminator,
        init_discriminator=lambda rng, teacher: discriminator_params,
    )


@pytest.fixture
def state(stage, params):
    """Mid-way: target and student differ from the teacher."""
    state = stage.init(RNG, {"unet": params})
    student = state.student._replace(params=jax.tree.map(lambda x: x + 0.1, params))
    return state._replace(step=jnp.int32(7), student=student, target=jax.tree.map(lambda x: x - 0.1, params))


def seen_by_the_discriminator(stage, state, batch):
    """The pair, the goal and the student's output of a step, computed apart from it."""
    pair = stage.pair_at(state.teacher, batch, *stage.draw(RNG, state.step, batch))
    goal = stage.consistency(state.target, batch.sar)(pair.x_s, pair.s)
    return pair, goal, stage.consistency(state.student.params, batch.sar)(pair.x_t, pair.t)


def assert_trees_close(found, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, expected)


def test_init_makes_the_discriminator_from_the_teacher(stage, params):
    calls = []

    def init_discriminator(rng, teacher):
        calls.append(rng)
        return {"trunk": teacher["kernel"]}

    state = dataclasses.replace(stage, init_discriminator=init_discriminator).init(RNG, {"unet": params})
    assert calls == [RNG] and state.step == 0
    np.testing.assert_array_equal(state.discriminator.params["trunk"], params["kernel"])
    for name in params:
        for copied in (state.student.params, state.target, state.teacher):
            np.testing.assert_array_equal(copied[name], params[name])


def test_init_without_a_teacher_is_refused(stage):
    with pytest.raises(ValueError, match="Distillation starts from a teacher's export; got none"):
        stage.init(RNG, None)


def test_a_state_can_be_donated_even_if_the_discriminator_starts_as_the_teacher(stage, params):
    stage = dataclasses.replace(stage, init_discriminator=lambda rng, teacher: teacher)
    grads = jax.tree.map(jnp.ones_like, params)
    update = jax.jit(stage.update, donate_argnums=0)
    state = update(stage.init(RNG, {"unet": params}), {"student": grads, "discriminator": grads})
    assert state.step == 1
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_discriminator_descends_its_loss_at_the_student_before_its_update(stage, state, batch, name, real):
    stage = dataclasses.replace(stage, adversarial_loss=name, real=real)
    grads, metrics = stage.gradients(state, batch, RNG)
    pair, goal, x_hat = seen_by_the_discriminator(stage, state, batch)
    image = goal if real == "target" else batch.optical

    def loss(params):
        real_logits, fake_logits = (
            stage.discriminator(params, pair.x_t, pair.t, shown, pair.s, batch.sar) for shown in (image, x_hat)
        )
        return jnp.mean(ADVERSARIAL[name].discriminator(real_logits, fake_logits)), (real_logits, fake_logits)

    (value, logits), expected = jax.value_and_grad(loss, has_aux=True)(state.discriminator.params)
    assert_trees_close(grads["discriminator"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss/discriminator"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["logits/real"], np.mean(logits[0]), rtol=1e-5)
    np.testing.assert_allclose(metrics["logits/fake"], np.mean(logits[1]), rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_student_descends_both_losses_with_the_discriminator_held(stage, state, batch, weight):
    stage = dataclasses.replace(stage, adversarial_weight=weight)
    grads, metrics = stage.gradients(state, batch, RNG)
    pair, goal, _ = seen_by_the_discriminator(stage, state, batch)

    def generator_loss(student):
        x_hat = stage.consistency(student, batch.sar)(pair.x_t, pair.t)
        logits = stage.discriminator(state.discriminator.params, pair.x_t, pair.t, x_hat, pair.s, batch.sar)
        return jnp.mean(jax.nn.softplus(-logits))

    value, generator = jax.value_and_grad(generator_loss)(state.student.params)
    consistency = jax.grad(lambda student: stage.consistency_loss(student, batch, pair, goal)[0])(state.student.params)
    expected = jax.tree.map(lambda c, g: c + weight * g, consistency, generator)
    assert_trees_close(grads["student"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss/generator"], value, rtol=1e-5)


def test_without_weight_the_student_learns_as_in_distillation(stage, batch, params):
    shared = {f.name: getattr(stage, f.name) for f in dataclasses.fields(Distill)}
    distill = Distill(**shared)
    stage = dataclasses.replace(stage, adversarial_weight=0.0)
    plain, plain_metrics = distill.gradients(distill.init(RNG, {"unet": params}), batch, RNG)
    grads, metrics = stage.gradients(stage.init(RNG, {"unet": params}), batch, RNG)
    assert_trees_close(grads["student"], plain["student"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(metrics["loss/consistency"], plain_metrics["loss/consistency"], rtol=1e-6)


def test_the_discriminator_is_shown_the_noisy_image_at_t_and_the_other_image_at_s(stage, state, batch):
    calls = []

    def discriminator(params, *inputs):
        calls.append(inputs)
        return jnp.zeros(4) * params["weight"][0, 0]

    stage = dataclasses.replace(stage, discriminator=discriminator, real="optical")
    pair, _, x_hat = seen_by_the_discriminator(stage, state, batch)
    stage.discriminator_loss(state.discriminator.params, batch, pair, batch.optical, x_hat)
    for (x_t, t, image, s, sar), expected in zip(calls, (batch.optical, x_hat), strict=True):
        assert x_t is pair.x_t and t is pair.t and s is pair.s and sar is batch.sar and image is expected


def test_gradients_of_halves_average_to_those_of_the_batch(stage, state, batch):
    gradients = jax.jit(stage.gradients)
    whole, metrics = gradients(state, batch, RNG)
    halves = [gradients(state, jax.tree.map(lambda x, h=h: x[2 * h : 2 * h + 2], batch), RNG) for h in range(2)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
    assert_trees_close(mean, (whole, metrics), rtol=1e-4, atol=1e-6)


def test_update_moves_both_networks_then_the_target_and_never_the_teacher(stage, params, discriminator_params):
    state = stage.init(RNG, {"unet": params})
    grads = {
        "student": jax.tree.map(jnp.ones_like, params),
        "discriminator": jax.tree.map(jnp.ones_like, discriminator_params),
    }
    new = stage.update(state, grads)
    assert new.step == 1
    for name, start in params.items():
        np.testing.assert_allclose(new.student.params[name], start - 0.1, atol=1e-6)
        np.testing.assert_allclose(new.target[name], start - 0.05 * 0.1, atol=1e-6)
        np.testing.assert_array_equal(new.teacher[name], start)
    for name, start in discriminator_params.items():
        np.testing.assert_allclose(new.discriminator.params[name], start - 0.1, atol=1e-6)


def test_export_hands_on_the_discriminator_too(stage, state):
    export = stage.export(state)
    assert export.keys() == {"unet", "discriminator"}
    assert export["unet"] is state.student.params and export["discriminator"] is state.discriminator.params
    assert dataclasses.replace(stage, export_target=True).export(state)["unet"] is state.target


def test_a_step_has_its_recorded_numbers(stage, state, batch, assert_recorded):
    grads, metrics = stage.gradients(state, batch, RNG)
    new = stage.update(state, grads)
    found = {name: float(value) for name, value in sorted(metrics.items())} | {
        "gradient of kernel": float(jnp.linalg.norm(grads["student"]["kernel"].ravel())),
        "gradient of weight": float(jnp.linalg.norm(grads["discriminator"]["weight"].ravel())),
        "student": float(new.student.params["bias"][0]),
        "target": float(new.target["bias"][0]),
        "discriminator": float(new.discriminator.params["bias"][0]),
    }
    expected = {
        "accuracy/fake": 0.0,
        "accuracy/real": 1.0,
        "logits/fake": 0.10602745,
        "logits/real": 0.08483828,
        "loss/consistency": 0.6847676,
        "loss/discriminator": 1.3993559,
        "loss/generator": 0.6416243,
        "gradient of kernel": 0.3524759,
        "gradient of weight": 0.03428787,
        "student": 1.8512574,
        "target": 1.6632777,
        "discriminator": 0.28078124,
    }
    assert_recorded(found, expected)


@pytest.mark.parametrize(("name", "weights"), [("linear", [19 / 999, 1]), ("noisiest", [0, 1])])
def test_adversarial_losses_count_by_the_weight_of_their_time(stage, name, weights):
    stage = dataclasses.replace(stage, time_weight=name)
    each, t = jnp.array([[1.0, 3.0], [10.0, 20.0]]), jnp.array([19, 999])
    np.testing.assert_allclose(stage.mean_over_times(each, t), np.mean(weights * np.array([2.0, 15.0])), rtol=1e-6)
    np.testing.assert_allclose(dataclasses.replace(stage, time_weight="constant").mean_over_times(each, t), 8.5)


def test_time_weights_reach_both_losses_and_the_metrics_stay_plain(stage, state, batch):
    weighted = dataclasses.replace(stage, time_weight="noisiest")
    batch = batch._replace(index=jnp.arange(4, dtype=jnp.int32))
    _, plain = stage.gradients(state, batch, RNG)
    grads, metrics = weighted.gradients(state, batch, RNG)
    assert not np.any(stage.pair_at(state.teacher, batch, *stage.draw(RNG, state.step, batch)).t == 999)
    np.testing.assert_array_equal(grads["discriminator"]["weight"], 0)
    for name in ("loss/generator", "loss/discriminator"):
        np.testing.assert_allclose(metrics[name], plain[name], rtol=1e-6)


def test_the_judged_image_may_be_shown_at_the_clean_time(stage, state, batch):
    calls = []

    def discriminator(params, *inputs):
        calls.append(inputs)
        return jnp.zeros((4, 2)) * params["weight"][0, 0]

    stage = dataclasses.replace(stage, discriminator=discriminator, judged_at="clean")
    pair, _, x_hat = seen_by_the_discriminator(stage, state, batch)
    stage.discriminator_loss(state.discriminator.params, batch, pair, batch.optical, x_hat)
    for _, t, _, s, _ in calls:
        assert t is pair.t
        np.testing.assert_array_equal(s, np.zeros(4))
        assert s.dtype == pair.s.dtype


def test_the_discriminator_may_have_an_optimizer_of_its_own(stage, params, discriminator_params):
    stage = dataclasses.replace(stage, discriminator_optimizer=optax.sgd(3.0))
    state = stage.init(RNG, {"unet": params})
    ones = {
        "student": jax.tree.map(jnp.ones_like, params),
        "discriminator": jax.tree.map(jnp.ones_like, discriminator_params),
    }
    new = stage.update(state, ones)
    np.testing.assert_allclose(new.student.params["bias"], params["bias"] - 0.1, atol=1e-6)
    np.testing.assert_allclose(new.discriminator.params["bias"], discriminator_params["bias"] - 3, atol=1e-6)


def test_accuracy_is_that_of_the_logits(stage, state, batch):
    logits = iter([jnp.array([1.0, 2, -1, 3]), jnp.array([-1.0, -2, -1, 3])])  # real, generated
    stage = dataclasses.replace(stage, discriminator=lambda params, *inputs: next(logits) + 0 * params["weight"][0, 0])
    pair, _, x_hat = seen_by_the_discriminator(stage, state, batch)
    _, metrics = stage.discriminator_loss(state.discriminator.params, batch, pair, batch.optical, x_hat)
    assert (metrics["accuracy/real"], metrics["accuracy/fake"]) == (0.75, 0.75)
    assert stage.remark(metrics) is None
    assert "adversarial.optimizer.learning_rate" in stage.remark({"accuracy/real": 0.6, "accuracy/fake": 0.4})
