import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sar2opt_jax.diffusion import times
from sar2opt_jax.diffusion.consistency import boundary
from sar2opt_jax.diffusion.schedule import PREDICTIONS, make_schedule
from sar2opt_jax.stages.distill import Distill

RNG = jax.random.key(0)
SCHEDULE = make_schedule("scaled_linear")
INDEX = jnp.array([0, 1, 25, 49])
"""Solver indices of the four examples: the step to s = 0, the one above it, the middle, the noisiest."""


@pytest.fixture
def stage(convolution):
    return Distill(model=convolution, optimizer=optax.sgd(0.1), schedule=SCHEDULE, prediction="v")


@pytest.fixture
def eps(batch):
    return jnp.asarray(np.random.default_rng(3).normal(size=batch.optical.shape), jnp.float32)


def knows_the_image(prediction):
    """A network that is exact where the optical image is three times the radar image."""

    def model(params, x_t, t, sar):
        x_0 = params["gain"] * jnp.repeat(sar, 3, axis=-1)
        return SCHEDULE.target(x_0, SCHEDULE.to_eps(x_0, x_t, t), t, prediction=prediction)

    return model


def predicts_a_constant(params, x_t, t, sar):
    return jnp.broadcast_to(params["level"].reshape(1, 1, 1, 1), x_t.shape)


def test_everything_starts_from_the_teacher(stage, params):
    state = stage.init(RNG, {"unet": params})
    assert state.step == 0
    for name in params:
        for copied in (state.student.params, state.target, state.teacher):
            np.testing.assert_array_equal(copied[name], params[name])


def test_init_without_a_teacher_is_refused(stage):
    with pytest.raises(ValueError, match="Distillation starts from a teacher's export; got none"):
        stage.init(RNG, None)


def test_a_state_can_be_donated_and_leaves_the_export_alone(stage, params):
    grads = {"student": jax.tree.map(jnp.ones_like, params)}
    state = jax.jit(stage.update, donate_argnums=0)(stage.init(RNG, {"unet": params}), grads)
    assert state.step == 1
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))


def test_draws_cover_the_solver_grid_and_belong_to_examples(stage, batch):
    many = batch._replace(optical=jnp.zeros((2000, 2, 2, 3)), index=jnp.arange(2000, dtype=jnp.int32))
    i, eps = stage.draw(RNG, jnp.int32(0), many)
    assert np.array_equal(np.unique(i), np.arange(50))
    np.testing.assert_allclose(np.histogram(i, bins=5)[0] / 2000, 0.2, atol=0.04)
    np.testing.assert_allclose([np.mean(eps), np.std(eps)], [0, 1], atol=0.02)
    part_i, part_eps = stage.draw(RNG, jnp.int32(0), many._replace(index=many.index[7:9]))
    np.testing.assert_array_equal(part_i, i[7:9])
    np.testing.assert_array_equal(part_eps, eps[7:9])
    assert not np.any(np.asarray(stage.draw(RNG, jnp.int32(1), many)[1]) == np.asarray(eps))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_pair_is_two_points_on_the_path_of_an_exact_teacher(stage, batch, eps, prediction):
    batch = batch._replace(optical=jnp.repeat(batch.sar, 3, axis=-1))
    stage = dataclasses.replace(stage, model=knows_the_image(prediction), prediction=prediction)
    pair = stage.pair_at({"gain": jnp.float32(1)}, batch, INDEX, eps)
    assert pair.t.tolist() == [19, 39, 519, 999]
    assert pair.s.tolist() == [0, 19, 499, 979]
    for x, t in ((pair.x_t, pair.t), (pair.x_s, pair.s)):
        np.testing.assert_allclose(x, SCHEDULE.add_noise(batch.optical, eps, t), atol=2e-5)


def test_the_teacher_of_a_pair_is_not_clipped(stage, batch, eps):
    stage = dataclasses.replace(stage, model=predicts_a_constant, prediction="x_0")
    pair = stage.pair_at({"level": jnp.float32(3)}, batch, INDEX, eps)
    x_0 = jnp.full_like(eps, 3.0)
    expected = SCHEDULE.add_noise(x_0, SCHEDULE.to_eps(x_0, pair.x_t, pair.t), pair.s)
    np.testing.assert_allclose(pair.x_s, expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["pseudo_huber", "l2"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_exact_teacher_is_consistent_from_the_start(stage, batch, eps, prediction, loss):
    # All points of a path to a point mass have the same x_0. Exempt is s = 0, where f is the identity and so keeps
    # the noise of alpha_bar_0: 0.03.
    batch = batch._replace(optical=jnp.repeat(batch.sar, 3, axis=-1))
    stage = dataclasses.replace(stage, model=knows_the_image(prediction), prediction=prediction, loss=loss)
    params = {"gain": jnp.float32(1)}
    pair = stage.pair_at(params, batch, INDEX, eps)
    f = stage.consistency(params, batch.sar)
    distance = stage.distance(f(pair.x_t, pair.t), f(pair.x_s, pair.s))
    np.testing.assert_allclose(distance[1:], np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(f(pair.x_t, pair.t)[1:], batch.optical[1:], atol=1e-4)
    np.testing.assert_array_equal(f(pair.x_s, pair.s)[0], pair.x_s[0])


def test_no_gradient_reaches_the_target(stage, batch):
    # Networks that predict the constant b: f = c_skip x + c_out b, so dL/db = 2 mean(c_out (f_t - f_s)) with the
    # target held; were it not held, c_out(s) would be subtracted and next to nothing left.
    stage = dataclasses.replace(stage, model=predicts_a_constant, prediction="x_0", loss="l2")
    state = stage.init(RNG, {"unet": {"level": jnp.float32(0.3)}})
    state = state._replace(target={"level": jnp.float32(-0.2)})
    grads, metrics = stage.gradients(state, batch, RNG)
    pair = stage.pair_at(state.teacher, batch, *stage.draw(RNG, state.step, batch))

    def f(level, x, t):
        c_skip, c_out = (c.reshape(4, 1, 1, 1) for c in boundary(t))
        return c_skip * x + c_out * level, c_out

    (x_hat, c_out), (goal, _) = f(0.3, pair.x_t, pair.t), f(-0.2, pair.x_s, pair.s)
    assert grads.keys() == {"student"}
    np.testing.assert_allclose(metrics["loss/consistency"], np.mean(np.square(x_hat - goal)), rtol=1e-5)
    np.testing.assert_allclose(grads["student"]["level"], np.mean(2 * c_out * (x_hat - goal)), rtol=1e-5)


def test_huber_c_and_sigma_data_reach_the_formulas(stage, batch, eps, params):
    pair = stage.pair_at(params, batch, INDEX, eps)
    zero = jnp.zeros_like(eps)
    wide = dataclasses.replace(stage, huber_c=0.5)
    expected = np.mean(np.sqrt(np.square(eps) + 0.25) - 0.5, axis=(1, 2, 3))
    np.testing.assert_allclose(wide.distance(eps, zero), expected, rtol=1e-5)
    narrow = dataclasses.replace(stage, sigma_data=1e4)  # So wide that f is nearly the identity everywhere.
    f_wide, f = (s.consistency(params, batch.sar)(pair.x_t, pair.t) for s in (narrow, stage))
    c_skip, c_out = (c.reshape(4, 1, 1, 1) for c in boundary(pair.t, sigma_data=1e4))
    x_0 = stage.denoiser(params, batch.sar)(pair.x_t, pair.t)
    np.testing.assert_allclose(f_wide, c_skip * pair.x_t + c_out * x_0, atol=1e-5)
    assert np.max(np.abs(f_wide - f)) > 0.1


def test_gradients_of_halves_average_to_those_of_the_batch(stage, batch, params):
    state = stage.init(RNG, {"unet": params})
    gradients = jax.jit(stage.gradients)
    whole, metrics = gradients(state, batch, RNG)
    halves = [gradients(state, jax.tree.map(lambda x, h=h: x[2 * h : 2 * h + 2], batch), RNG) for h in range(2)]
    for name, grad in whole["student"].items():
        mean = (halves[0][0]["student"][name] + halves[1][0]["student"][name]) / 2
        np.testing.assert_allclose(mean, grad, rtol=1e-3, atol=1e-5)
    mean = np.mean([h[1]["loss/consistency"] for h in halves])
    np.testing.assert_allclose(mean, metrics["loss/consistency"], rtol=1e-5)


def test_update_moves_the_student_then_the_target_and_never_the_teacher(stage, params):
    state = stage.init(RNG, {"unet": params})
    grads = {"student": jax.tree.map(jnp.ones_like, params)}
    one = stage.update(state, grads)
    two = stage.update(one, grads)
    assert (one.step, two.step) == (1, 2)
    for name, start in params.items():
        np.testing.assert_allclose(two.student.params[name], start - 0.2, atol=1e-6)
        np.testing.assert_allclose(one.target[name], start - 0.05 * 0.1, atol=1e-6)
        np.testing.assert_allclose(two.target[name], start - (0.95 * 0.05 * 0.1 + 0.05 * 0.2), atol=1e-6)
        np.testing.assert_array_equal(two.teacher[name], start)


def test_export_is_the_student_or_its_target(stage, params):
    state = stage.update(stage.init(RNG, {"unet": params}), {"student": jax.tree.map(jnp.ones_like, params)})
    export = stage.export(state)
    assert export.keys() == {"unet"} and export["unet"] is state.student.params
    assert dataclasses.replace(stage, export_target=True).export(state)["unet"] is state.target


def test_a_step_has_its_recorded_numbers(stage, batch, params, assert_recorded):
    state = stage.init(RNG, {"unet": params})
    state = state._replace(target=jax.tree.map(lambda x: x - 0.1, params))
    grads, metrics = stage.gradients(state, batch, RNG)
    new = stage.update(state, grads)
    found = {
        "loss/consistency": float(metrics["loss/consistency"]),
        "gradient of kernel": float(jnp.linalg.norm(grads["student"]["kernel"].ravel())),
        "gradient of bias": float(grads["student"]["bias"][0]),
        "student": float(new.student.params["bias"][0]),
        "target": float(new.target["bias"][0]),
    }
    expected = {
        "loss/consistency": 0.34819311,
        "gradient of kernel": 0.37364605,
        "gradient of bias": 0.08751122,
        "student": 1.7446330,
        "target": 1.6579465,
    }
    assert_recorded(found, expected)


def test_a_share_of_the_draws_is_at_sampling_times(stage, batch):
    many = batch._replace(optical=jnp.zeros((4000, 2, 2, 3)), index=jnp.arange(4000, dtype=jnp.int32))
    stage = dataclasses.replace(stage, sampling_times_share=0.6, sampling_steps=(1, 2))
    i, eps = stage.draw(RNG, jnp.int32(0), many)
    counts = np.bincount(i, minlength=50) / 4000
    # 999 is drawn for one step, and for half of two; 499 for the other half; all are drawn evenly besides.
    np.testing.assert_allclose(counts[[49, 24]], [0.6 * 0.75 + 0.008, 0.6 * 0.25 + 0.008], atol=0.03)
    assert np.all(np.delete(counts, [49, 24]) > 0)
    np.testing.assert_allclose(np.delete(counts, [49, 24]).sum(), 0.4 * 48 / 50, atol=0.03)
    plain = dataclasses.replace(stage, sampling_times_share=0.0).draw(RNG, jnp.int32(0), many)
    np.testing.assert_array_equal(eps, plain[1])


def test_a_share_is_noised_from_the_students_own_first_step(stage, batch):
    many = batch._replace(
        sar=jnp.zeros((1000, 2, 2, 1)), optical=jnp.zeros((1000, 2, 2, 3)), index=jnp.arange(1000, dtype=jnp.int32)
    )
    stage = dataclasses.replace(stage, model=predicts_a_constant, prediction="x_0", own_output_share=0.3)
    student, teacher = {"level": jnp.float32(0.75)}, {"level": jnp.float32(0)}
    i, _ = stage.draw(RNG, jnp.int32(0), many)
    starts = np.asarray(stage.starts(student, many, i, RNG, jnp.int32(0)))
    own = starts[:, 0, 0, 0] != 0
    np.testing.assert_allclose(own.mean(), 0.3, atol=0.05)
    # f(eps, T - 1) of a network whose estimate is 0.75: nearly that, whatever the noise.
    np.testing.assert_allclose(starts[own], 0.75, atol=0.01)
    assert not starts[~own].any()
    pair = stage.pair(student, teacher, many, RNG, jnp.int32(0))
    plain = dataclasses.replace(stage, own_output_share=0.0).pair(student, teacher, many, RNG, jnp.int32(0))
    np.testing.assert_array_equal(pair.t, plain.t)  # Times and noise are drawn as without.
    np.testing.assert_array_equal(pair.x_t[~own], plain.x_t[~own])
    of_image = np.sqrt(stage.schedule.alphas_bar)[np.asarray(pair.t)][:, None, None, None]
    np.testing.assert_allclose(pair.x_t, plain.x_t + of_image * starts, atol=1e-5)
    later = stage.starts(student, many, i, RNG, jnp.int32(1))[:, 0, 0, 0] != 0
    assert np.any(later != own)


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [999, 999, 999, 999]), (2, [999, 999, 999, 759]), (9, [999] * 3 + [499])]
)
def test_own_output_is_of_the_time_that_sampling_stood_at_before(stage, batch, steps, expected):
    """A network whose estimate is the time itself; at 19, 759, 999 and 259, sampled in four steps or in one."""
    stage = dataclasses.replace(
        stage,
        model=lambda params, x_t, t, sar: jnp.broadcast_to(t[:, None, None, None] / 1000, x_t.shape),
        prediction="x_0",
        sampling_steps=(1, 4),
        own_output_share=1.0,
        own_output_steps=steps,
    )
    i = jnp.searchsorted(times.solver_grid(1000, 50), jnp.array([19, 759, 999, 259]))
    starts = stage.starts({}, batch, i, RNG, jnp.int32(0))
    np.testing.assert_allclose(
        starts, jnp.broadcast_to(jnp.array(expected)[:, None, None, None] / 1000, starts.shape), atol=1e-3
    )


def test_own_output_is_what_multistep_sampling_passes(stage, batch):
    """As a point of the sampler: begun from noise, the same network's estimates, each noised anew to the next time."""
    seen = []

    def model(params, x_t, t, sar):
        seen.append(np.asarray(x_t))
        return 0.5 * x_t

    stage = dataclasses.replace(
        stage, model=model, prediction="x_0", sampling_steps=(4,), own_output_share=1.0, own_output_steps=3
    )
    starts = stage.starts({}, batch, jnp.full(4, 12), RNG, jnp.int32(0))  # t = 259
    first, second, third = seen
    np.testing.assert_allclose([first.mean(), first.std()], [0, 1], atol=0.2)
    for before, t, after in ((first, 759, second), (second, 499, third)):
        alpha, sigma = SCHEDULE.alphas_bar[t] ** 0.5, (1 - SCHEDULE.alphas_bar[t]) ** 0.5
        eps = (after - alpha * 0.5 * before) / sigma
        np.testing.assert_allclose([eps.mean(), eps.std()], [0, 1], atol=0.2)
        assert abs(np.corrcoef(eps.ravel(), before.ravel())[0, 1]) < 0.2
    np.testing.assert_allclose(starts, 0.5 * third, atol=1e-3)


@pytest.mark.parametrize(("name", "size"), [("l1", abs), ("pseudo_huber", lambda e: (e**2 + 1e-6) ** 0.5 - 1e-3)])
def test_reconstruction_is_the_distance_to_the_optical_image(stage, batch, eps, name, size):
    stage = dataclasses.replace(stage, model=predicts_a_constant, prediction="x_0")
    params = {"level": jnp.float32(0.25)}
    pair = stage.pair_at(params, batch, INDEX, eps)
    goal = jnp.zeros_like(batch.optical)
    plain, (x_hat, metrics) = stage.consistency_loss(params, batch, pair, goal)
    assert "loss/reconstruction" not in metrics
    weighted = dataclasses.replace(stage, reconstruction_weight=2.0, reconstruction_loss=name)
    loss, (_, metrics) = weighted.consistency_loss(params, batch, pair, goal)
    expected = np.mean([size(e) for e in np.float64(x_hat - batch.optical).ravel()])
    np.testing.assert_allclose(metrics["loss/reconstruction"], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, plain + 2 * expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/consistency"], plain, rtol=1e-6)
