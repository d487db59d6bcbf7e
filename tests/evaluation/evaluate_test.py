import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.diffusion.translation import Method, Translator
from sar2opt_jax.evaluation import evaluate, metrics
from sar2opt_jax.evaluation.evaluate import Contender, Results
from sar2opt_jax.evaluation.floor import LinearFloor
from sar2opt_jax.types import Array, Batch, Params

SIDE = 12
SCHEDULE = make_schedule("cosine", num_steps=100)


@pytest.fixture
def untimed(monkeypatch):
    """Latency needs a compilation of its own, which most tests can do without."""
    monkeypatch.setattr(evaluate, "latency_ms", lambda function, *args, repeats: 1.0)


def from_sar(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
    """Knows the truth: grey and proportional to the SAR image, whatever the noise."""
    del x_t, t
    return params["gain"] * jnp.repeat(sar, 3, axis=-1)


def from_noise(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
    del t
    return params["gain"] * x_t + 0.5 * sar.mean(axis=-1, keepdims=True)


def contender(sampler: str, num_steps: int, *, model=from_sar, gain: float = 0.5, name: str = "") -> Contender:
    return Contender(
        name=name or ("student" if sampler == "lcm" else "teacher"),
        translator=Translator(
            model=model, schedule=SCHEDULE, prediction="x_0", solver_steps=50 if sampler == "lcm" else None
        ),
        params={"gain": np.float32(gain)},
        method=Method(sampler=sampler, num_steps=num_steps),
    )


def examples(count: int) -> tuple[Batch, list[str]]:
    sar = np.random.default_rng(0).uniform(-1, 1, (count, SIDE, SIDE, 1)).astype(np.float32)
    optical = 0.5 * np.repeat(sar, 3, axis=-1) + np.float32(0.1)
    return Batch(optical, sar, np.arange(10, 10 + count, dtype=np.int32)), [f"p{i}" for i in range(count)]


def run(contenders: list[Contender], *, count: int = 5, batch_size: int = 5, take: int | None = None, **kw) -> Results:
    batch, ids = examples(count)
    floor = LinearFloor.fit(np.asarray(batch.sar), np.asarray(batch.optical), window=3)
    batch = Batch(*(array[:take] for array in batch))
    rng = jax.random.key(0)
    return evaluate.run(contenders, batch, ids[:take], floor=floor, batch_size=batch_size, rng=rng, **kw)


@pytest.mark.usefixtures("untimed")
def test_a_network_with_a_constant_error_scores_its_closed_form():
    results = run([contender("ddpm", 100), contender("ddim", 4), contender("lcm", 2)])
    expected = -20 * np.log10(0.1 / 2)
    for result in results.methods:
        # The consistency function leaves c_skip x_t, of order 1e-5, beside the network's output.
        np.testing.assert_allclose(result.metrics["psnr"], np.full(5, expected), rtol=1e-3)
        assert results.relative_sharpness(result) == pytest.approx(1, rel=1e-3)
        assert result.mean("psnr") == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("untimed")
def test_the_floor_is_measured_on_the_same_examples():
    results = run([contender("ddim", 1)])
    assert results.floor.num_steps == 0
    # The relation is linear, the floor therefore exact.
    assert (results.floor.metrics["psnr"] > 80).all()


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("batch_size", [2, 8])
def test_results_do_not_depend_on_the_batch_size(batch_size):
    contenders = [contender("ddpm", 10, model=from_noise)]
    (whole,), (parts,) = (run(contenders, batch_size=size).methods for size in (5, batch_size))
    np.testing.assert_allclose(whole.images, parts.images, atol=1e-5)
    for name in whole.metrics:
        np.testing.assert_allclose(whole.metrics[name], parts.metrics[name], rtol=1e-4)


@pytest.mark.usefixtures("untimed")
def test_an_example_does_not_depend_on_its_company():
    contenders = [contender("ddpm", 10, model=from_noise)]
    alone, together = run(contenders, take=2), run(contenders)
    np.testing.assert_allclose(alone.methods[0].images, together.methods[0].images[:2], atol=1e-5)
    assert np.abs(together.methods[0].images[0] - together.methods[0].images[1]).max() > 0.1


@pytest.mark.usefixtures("untimed")
def test_methods_start_from_the_same_noise():
    # One step of either sampler is the network's x_0 at the noisiest time.
    one, other = run([contender(name, 1, model=from_noise) for name in ("ddim", "dpm_solver_pp")]).methods
    np.testing.assert_allclose(one.images, other.images, atol=1e-5)


@pytest.mark.usefixtures("untimed")
def test_results_keep_as_many_images_as_asked_for():
    results = run([contender("ddim", 1, gain=5.0)], num_images=2)
    (result,) = results.methods
    assert results.sar.shape == (2, SIDE, SIDE, 1)
    assert result.images.shape == results.optical.shape == results.floor.images.shape == (2, SIDE, SIDE, 3)
    assert len(result.metrics["psnr"]) == len(results.ids) == len(results.truth_sharpness) == 5
    assert np.abs(result.images).max() <= 1
    truth = metrics.sharpness(metrics.to_unit(jnp.asarray(examples(5)[0].optical)))
    np.testing.assert_allclose(results.truth_sharpness, truth, rtol=1e-5)


def test_speed_up_is_against_the_ancestral_sampler_with_most_steps():
    results = run([contender("ddpm", 10), contender("ddpm", 100)])
    short, long = results.methods
    assert results.original is long
    assert results.speed_up(long) == 1
    assert results.speed_up(short) == pytest.approx(long.ms_per_image / short.ms_per_image)
    assert results.speed_up(results.floor) is None


def test_titles_are_those_of_the_paper():
    named = [("linear", None), ("teacher", "ddpm"), ("teacher", "dpm_solver_pp"), ("student", "lcm"), ("CD", "lcm")]
    assert [evaluate.title(*pair) for pair in named] == ["Linear floor", "Original", "DPM++", "Student", "CD"]


def test_a_method_that_does_not_fit_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(LinearFloor, "predict", lambda *args: pytest.fail("computed something"))
    student = contender("lcm", 1)
    wrong = Contender(
        name="student",
        translator=student.translator,
        params=student.params,
        method=Method(sampler="ddim", num_steps=1),
    )
    with pytest.raises(ValueError, match="sample it with lcm, not with 'ddim'"):
        run([contender("ddim", 1), wrong])


@pytest.mark.usefixtures("untimed")
def test_translations_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="Student, 2 steps: translations are not finite"):
        run([contender("lcm", 2, gain=np.nan)])


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"batch_size must be at least 1; got 0"):
        run([contender("ddim", 1)], batch_size=0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((1.9, 0.3, 0.8, 0.5), 500.0), ((2.1, 0.3, 0.3, 0.3), 2_100.0)],
    ids=["median after warm-up", "one run of a slow method"],
)
def test_latency(monkeypatch, seconds, expected):
    clock = [0.0]
    durations = iter(seconds)

    def compiled(argument: Array) -> Array:
        clock[0] += next(durations)
        return argument

    function = SimpleNamespace(lower=lambda *args: SimpleNamespace(compile=lambda: compiled))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert evaluate.latency_ms(function, np.zeros(1), repeats=3) == pytest.approx(expected)
