import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.diffusion import losses
from sar2opt_jax.diffusion.schedule import make_schedule


def pair(seed: int = 0) -> tuple[jnp.ndarray, jnp.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=(3, 4, 5, 2)), jnp.float32) for _ in range(2))


def test_squared_error_is_the_mean_per_example():
    a, b = pair()
    expected = np.mean(np.square(np.float64(a) - np.float64(b)), axis=(1, 2, 3))
    np.testing.assert_allclose(losses.squared_error(a, b), expected, rtol=1e-5)


def test_absolute_error_is_the_mean_per_example():
    a, b = pair()
    expected = np.mean(np.abs(np.float64(a) - np.float64(b)), axis=(1, 2, 3))
    np.testing.assert_allclose(losses.absolute_error(a, b), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("c", [1e-3, 0.03])
def test_pseudo_huber_equals_its_formula_without_cancellation(scale, c):
    a, b = pair()
    b = a + scale * b
    error = np.float64(b) - np.float64(a)
    expected = np.mean(np.sqrt(error**2 + c**2) - c, axis=(1, 2, 3))
    np.testing.assert_allclose(losses.pseudo_huber(b, a, huber_c=c), expected, rtol=1e-4)


def test_pseudo_huber_is_quadratic_then_linear():
    x = jnp.array([1e-5, 1.0]).reshape(2, 1, 1, 1)
    small, large = losses.pseudo_huber(x, jnp.zeros_like(x), huber_c=1e-3)
    np.testing.assert_allclose(small, 1e-5**2 / (2 * 1e-3), rtol=1e-3)
    np.testing.assert_allclose(large, 1 - 1e-3, rtol=1e-5)


def test_pseudo_huber_has_a_bounded_gradient_that_vanishes_at_zero():
    def derivative(error):
        return jax.grad(lambda e: losses.pseudo_huber(e.reshape(1, 1, 1, 1), jnp.zeros((1, 1, 1, 1)))[0])(error)

    errors = np.float32([-1.0, -1e-3, 0.0, 1e-3, 1.0])
    found = [derivative(jnp.float32(e)) for e in errors]
    np.testing.assert_allclose(found, errors / np.sqrt(errors**2 + 1e-6), rtol=1e-5)
    assert found[2] == 0


@pytest.mark.parametrize("name", losses.CONSISTENCY)
def test_consistency_losses_are_zero_between_equals_and_shaped_by_example(name):
    a, b = pair()
    np.testing.assert_array_equal(losses.CONSISTENCY[name](a, a), np.zeros(3))
    assert np.all(losses.CONSISTENCY[name](a, b) > 0)


def test_min_snr_weights_equal_their_table():
    snr = jnp.array([0.0, 1.0, 5.0, 100.0])
    weights = {p: losses.min_snr_weight(snr[1:], gamma=5.0, prediction=p).tolist() for p in ("eps", "v", "x_0")}
    expected = {"eps": [1, 1, 0.05], "v": [1 / 2, 5 / 6, 5 / 101], "x_0": [1, 5, 5]}
    for prediction, values in expected.items():
        np.testing.assert_allclose(weights[prediction], values, rtol=1e-6)
    # At zero terminal SNR the weight of a v- or x_0-network is zero: nothing is learned at that time itself.
    for prediction in ("v", "x_0"):
        assert losses.min_snr_weight(snr[:1], gamma=5.0, prediction=prediction) == 0


def test_min_snr_weights_make_one_loss_of_the_three_predictions():
    schedule = make_schedule("scaled_linear")
    rng = np.random.default_rng(0)
    x_0, eps, error = (jnp.asarray(rng.normal(size=(5, 2, 2, 3)), jnp.float32) for _ in range(3))
    t = jnp.array([1, 100, 300, 600, 999])
    x_t = schedule.add_noise(x_0, eps, t)

    def weighted(prediction: str) -> jnp.ndarray:
        target = schedule.target(x_0, eps, t, prediction=prediction)
        # The same wrong estimate of x_0, seen as this network's output.
        wrong_x_0 = x_0 + error
        wrong_eps = schedule.to_eps(wrong_x_0, x_t, t)
        output = schedule.target(wrong_x_0, wrong_eps, t, prediction=prediction)
        weight = losses.min_snr_weight(schedule.snr(t), gamma=5.0, prediction=prediction)
        return weight * losses.squared_error(output, target)

    expected = jnp.minimum(schedule.snr(t), 5.0) * losses.squared_error(x_0 + error, x_0)
    for prediction in ("eps", "v", "x_0"):
        np.testing.assert_allclose(weighted(prediction), expected, rtol=1e-3)


def test_gan_losses_at_logit_zero():
    zero = jnp.zeros(2)
    expected = {"non_saturating": (np.log(2), 2 * np.log(2)), "hinge": (0.0, 2.0), "wasserstein": (0.0, 0.0)}
    expected |= {"least_squares": (1.0, 1.0)}
    assert losses.ADVERSARIAL.keys() == expected.keys()
    for name, (generator, discriminator) in expected.items():
        pair = losses.ADVERSARIAL[name]
        np.testing.assert_allclose(pair.generator(zero), [generator] * 2, rtol=1e-6)
        np.testing.assert_allclose(pair.discriminator(zero, zero), [discriminator] * 2, rtol=1e-6)


def test_gan_losses_equal_their_formulas():
    real, fake = np.array([-2.0, 0.5, 3.0]), np.array([1.5, -0.5, -4.0])
    expected = {
        "non_saturating": (np.log1p(np.exp(-fake)), np.log1p(np.exp(-real)) + np.log1p(np.exp(fake))),
        "hinge": (-fake, np.maximum(1 - real, 0) + np.maximum(1 + fake, 0)),
        "wasserstein": (-fake, fake - real),
        "least_squares": ((fake - 1) ** 2, (real - 1) ** 2 + fake**2),
    }
    for name, (generator, discriminator) in expected.items():
        pair = losses.ADVERSARIAL[name]
        np.testing.assert_allclose(pair.generator(jnp.float32(fake)), generator, rtol=1e-5)
        np.testing.assert_allclose(pair.discriminator(jnp.float32(real), jnp.float32(fake)), discriminator, rtol=1e-5)


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_generator_and_discriminator_pull_the_logit_apart(name):
    pair, logit = losses.ADVERSARIAL[name], jnp.float32(0.5)  # Between the least squares' targets, 0 and 1.
    assert jax.grad(pair.generator)(logit) < 0
    real, fake = jax.grad(pair.discriminator, argnums=(0, 1))(logit, logit)
    assert real < 0 < fake
