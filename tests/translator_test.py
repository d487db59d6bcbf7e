import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion.schedule import PREDICTIONS, make_schedule, over_image
from sar2opt_jax.translator import KINDS, Method, Translator

SCHEDULE = make_schedule("scaled_linear")
TEACHER_METHODS = [Method(sampler=name, num_steps=3) for name in ("ddpm", "ddim", "dpm_solver_pp")]
SAR = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 4, 4, 1)), jnp.float32)
RNGS = jax.random.split(jax.random.key(0), 3)


def knows_the_image(prediction: str):
    """A perfect network for images that are the radar image in three channels, with a gain that spoils it."""

    def model(params, x_t, t, sar):
        x_0 = params["gain"] * jnp.repeat(sar, 3, axis=-1)
        return SCHEDULE.target(x_0, SCHEDULE.to_eps(x_0, x_t, t), t, prediction=prediction)

    return model


def translator(prediction: str = "v", **settings) -> Translator:
    return Translator(model=knows_the_image(prediction), schedule=SCHEDULE, prediction=prediction, **settings)


@pytest.mark.parametrize(
    ("prediction", "sampler"), [*((p, "ddim") for p in PREDICTIONS), ("eps", "ddpm"), ("v", "dpm_solver_pp")]
)
def test_a_perfect_teacher_translates_perfectly(prediction, sampler):
    method = Method(sampler=sampler, num_steps=3)
    found = translator(prediction)({"gain": jnp.ones(())}, SAR, RNGS, method=method)
    np.testing.assert_allclose(found, np.repeat(SAR, 3, axis=-1), atol=2e-5)


@pytest.mark.parametrize("num_steps", [1, 4])
def test_a_perfect_student_translates_perfectly(num_steps):
    found = translator(solver_steps=50)(
        {"gain": jnp.ones(())}, SAR, RNGS, method=Method(sampler="lcm", num_steps=num_steps)
    )
    np.testing.assert_allclose(found, np.repeat(SAR, 3, axis=-1), atol=1e-4)


def test_a_teacher_is_clipped_and_a_student_is_not():
    params = {"gain": jnp.full((), 2.0)}
    beyond = 2 * np.repeat(SAR, 3, axis=-1)
    teacher = translator()(params, SAR, RNGS, method=Method(sampler="ddim", num_steps=2))
    np.testing.assert_allclose(teacher, np.clip(beyond, -1, 1), atol=1e-5)
    student = translator(solver_steps=50)(params, SAR, RNGS, method=Method(sampler="lcm", num_steps=2))
    np.testing.assert_allclose(student, beyond, atol=1e-4)


def test_a_generator_is_its_network_without_an_image_at_time_zero():
    def model(params, x_t, t, sar):
        x_t = x_t + over_image(t / 1000, x_t)  # Zero both, or they would show.
        return x_t + params["gain"] * jnp.repeat(sar, 3, axis=-1)

    translate = Translator(model=model, schedule=SCHEDULE, prediction="eps", is_generator=True)
    found = translate({"gain": jnp.full((), 2.0)}, SAR, RNGS, method=Method(sampler="direct", num_steps=1))
    np.testing.assert_allclose(found, np.tanh(2 * np.repeat(SAR, 3, axis=-1)), atol=1e-6)


def test_kind_follows_from_the_settings():
    kinds = [translator(**settings).kind for settings in ({}, {"solver_steps": 50}, {"is_generator": True})]
    assert kinds == list(KINDS)
    with pytest.raises(ValueError, match="A generator is not distilled at a grid; got solver_steps 50"):
        translator(solver_steps=50, is_generator=True)


@pytest.mark.parametrize("method", [*TEACHER_METHODS, Method(sampler="lcm", num_steps=3)], ids=lambda m: m.sampler)
def test_a_translation_depends_on_its_key_and_not_on_its_company(method):
    def model(params, x_t, t, sar):
        return 0.9 * x_t + 0.1 * sar * over_image(t / 1000, x_t)

    settings = {"solver_steps": 50} if method.sampler == "lcm" else {}
    translate = Translator(model=model, schedule=SCHEDULE, prediction="v", **settings)
    together = translate({}, SAR, RNGS, method=method)
    alone = translate({}, SAR[1:2], RNGS[1:2], method=method)
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-6, atol=1e-6)
    other = translate({}, SAR[1:2], RNGS[2:3], method=method)
    assert np.max(np.abs(other - alone)) > 0.1


def test_the_noise_at_the_start_is_standard_normal_and_not_that_of_a_step():
    # The network returns its input: one step is x_T itself, two steps mix it with the noise of step 0.
    translate = Translator(model=lambda params, x_t, t, sar: x_t, schedule=SCHEDULE, prediction="x_0", solver_steps=50)
    sar = jnp.zeros((1, 128, 128, 1))
    x_T, mixed = (translate({}, sar, RNGS[:1], method=Method(sampler="lcm", num_steps=n)) for n in (1, 2))
    step_noise = (mixed - SCHEDULE.alpha(499) * x_T) / SCHEDULE.sigma(499)
    for noise in (x_T, step_noise):
        np.testing.assert_allclose([np.mean(noise), np.std(noise)], [0, 1], atol=0.02)
    assert abs(np.mean(x_T * step_noise)) < 0.02


def test_eta_reaches_ddim():
    def model(params, x_t, t, sar):
        return 0.9 * x_t + 0.1 * sar

    translate = Translator(model=model, schedule=SCHEDULE, prediction="v")
    ancestral, one, none = (
        translate({}, SAR, RNGS, method=Method(sampler=sampler, num_steps=5, eta=eta))
        for sampler, eta in (("ddpm", 0.0), ("ddim", 1.0), ("ddim", 0.0))
    )
    np.testing.assert_allclose(one, ancestral, atol=2e-5)
    assert np.max(np.abs(none - one)) > 0.1


def test_the_usual_method_suits_the_network():
    teacher, student = translator(), translator(solver_steps=50)
    assert student.method() == Method(sampler="lcm", num_steps=4)
    assert student.method(num_steps=1) == Method(sampler="lcm", num_steps=1)
    assert translator(is_generator=True).method() == Method(sampler="direct", num_steps=1)
    assert teacher.method() == Method(sampler="ddim", num_steps=50)
    assert teacher.method(sampler="ddpm") == Method(sampler="ddpm", num_steps=1000)
    assert teacher.method(sampler="dpm_solver_pp", num_steps=8) == Method(sampler="dpm_solver_pp", num_steps=8)
    with pytest.raises(ValueError, match="must be 1 to 1000; got 0"):
        teacher.method(num_steps=0)


def test_number_of_steps_that_a_network_states_is_that_of_its_usual_sampler():
    student, teacher = translator(solver_steps=50, usual_steps=2), translator(usual_steps=20)
    assert student.method() == Method(sampler="lcm", num_steps=2) == student.method(sampler="lcm")
    assert student.method(num_steps=8).num_steps == 8
    assert [teacher.method(sampler=name).num_steps for name in ("ddim", "ddpm", "dpm_solver_pp")] == [20, 1000, 50]


def test_the_usual_method_of_a_short_schedule_has_no_more_steps_than_it():
    short = dataclasses.replace(translator(), schedule=make_schedule("cosine", num_steps=20))
    assert short.method().num_steps == 20
    assert dataclasses.replace(short, solver_steps=2).method().num_steps == 2


def test_grids_are_chosen_by_method():
    teacher, student = translator(), translator(solver_steps=50)
    assert teacher.timesteps(Method(sampler="ddim", num_steps=2))[0].tolist() == [999, 499]
    assert teacher.timesteps(Method(sampler="ddim", num_steps=2, spacing="leading"))[0].tolist() == [500, 0]
    assert student.timesteps(Method(sampler="lcm", num_steps=4))[0].tolist() == [999, 759, 499, 259]
    coarse = dataclasses.replace(student, solver_steps=10)
    assert coarse.timesteps(Method(sampler="lcm", num_steps=4))[0].tolist() == [999, 799, 499, 299]


@pytest.mark.parametrize(
    ("settings", "method", "message"),
    [
        ({}, Method(sampler="euler", num_steps=2), "Unknown sampler 'euler'; known: ddpm, ddim, dpm_solver_pp, lcm"),
        ({}, Method(sampler="ddim", num_steps=2, spacing="karras"), "Unknown spacing 'karras'; known: trailing"),
        (
            {},
            Method(sampler="lcm", num_steps=2),
            "is a teacher: sample it with ddpm, ddim or dpm_solver_pp, not with 'lcm'",
        ),
        (
            {"solver_steps": 50},
            Method(sampler="ddim", num_steps=2),
            "is a student: sample it with lcm, not with 'ddim'",
        ),
        ({}, Method(sampler="direct", num_steps=1), "is a teacher: .* not with 'direct'"),
        (
            {"is_generator": True},
            Method(sampler="ddim", num_steps=1),
            "is a generator: sample it with direct, not with 'ddim'",
        ),
        ({"is_generator": True}, Method(sampler="direct", num_steps=2), "A one-step generator takes 1 step; got 2"),
        ({"solver_steps": 50}, Method(sampler="lcm", num_steps=51), "A student takes 1 to 50 steps"),
        ({}, Method(sampler="ddim", num_steps=2, eta=1.5), "eta is 0 to 1, and 0 but for ddim; got 1.5 with ddim"),
        ({}, Method(sampler="ddpm", num_steps=2, eta=0.5), "eta is 0 to 1, and 0 but for ddim; got 0.5 with ddpm"),
        ({}, Method(sampler="ddim", num_steps=1001), "number of sampling steps must be 1 to 1000; got 1001"),
    ],
)
def test_methods_that_do_not_fit_are_named(settings, method, message):
    with pytest.raises(ValueError, match=message):
        translator(**settings).timesteps(method)


def test_gamma_reaches_the_consistency_sampler():
    def model(params, x_t, t, sar):
        return 0.9 * x_t + 0.1 * sar

    translate = Translator(model=model, schedule=SCHEDULE, prediction="x_0", solver_steps=50)
    new, kept = (translate({}, SAR, RNGS, method=Method(sampler="lcm", num_steps=2, gamma=g)) for g in (1.0, 0.0))
    assert np.abs(new - kept).max() > 0.1


@pytest.mark.parametrize(("sampler", "gamma"), [("lcm", 1.5), ("lcm", -0.1), ("ddim", 0.5)])
def test_gamma_out_of_range_or_of_another_sampler_is_refused(sampler, gamma):
    settings = {"solver_steps": 50} if sampler == "lcm" else {}
    with pytest.raises(ValueError, match=f"gamma is 0 to 1, and 1 but for lcm; got {gamma} with {sampler}"):
        translator(**settings).timesteps(Method(sampler=sampler, num_steps=2, gamma=gamma))
