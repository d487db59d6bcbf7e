"""What is measured on validation images, with a stage and a network that are formulas."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.metrics import fidelity
from sar2opt_jax.run.validation import Validation, is_higher_better
from sar2opt_jax.types import make_key

SIDE = 16


class State(NamedTuple):
    step: Any
    gain: Any


class Stage:
    """Its loss is its gain times the mean radar value, plus noise of its key, whatever its step."""

    def gradients(self, state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)
        loss = state.gain * jnp.mean(batch.sar) + jax.random.normal(rng)
        return {"unet": jnp.zeros(3)}, {"loss/made_up": loss, "logits/real": loss}


def translate(networks, sar, rng):
    del rng
    return networks["unet"]["gain"] * jnp.repeat(sar, 3, axis=-1)


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    pairs = [
        {
            "sar": rng.integers(0, 256, (SIDE, SIDE, 1), np.uint8),
            "optical": rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8),
            "id": f"p{number}",
        }
        for number in range(3)
    ]
    return Examples(pairs, num_examples=3, image_size=SIDE)


def at(gain, step=0):
    return State(jnp.int32(step), jnp.float32(gain)), {"unet": {"gain": np.float32(gain)}}


def test_losses_and_quality_are_means_over_the_images(examples):
    stage = Validation(examples=examples, measures=Measures()).of(Stage(), translate, make_key(0))
    found = stage.metrics(5, *at(0.5))
    assert found.keys() == {"validation/loss/made_up", "validation/psnr", "validation/ssim"}
    grey = np.round(127.5 * (0.5 * (examples.sar(range(3)) / 127.5 - 1) + 1)).repeat(3, axis=-1) / 255
    truth = examples.optical(range(3)) / 255
    np.testing.assert_allclose(
        found["validation/psnr"], np.mean(fidelity.psnr(np.float32(grey), np.float32(truth))), rtol=1e-4
    )


def test_the_noise_of_the_loss_is_the_same_at_every_step(examples):
    stage = Validation(examples=examples, measures=Measures()).of(Stage(), translate, make_key(0))
    assert stage.metrics(5, *at(0.5, step=5)) == stage.metrics(9, *at(0.5, step=9))
    assert stage.metrics(10, *at(0.4, step=9)) != stage.metrics(9, *at(0.5, step=9))


def test_a_picture_shows_radar_truth_and_translation(examples):
    stage = Validation(examples=examples, measures=None).of(Stage(), translate, make_key(0))
    assert stage.metrics(5, *at(1.0)) == {}
    picture = stage.picture(5, at(1.0)[1])
    assert picture.shape == (3 * 64 + 2 * 2, 3 * 64 + 2 * 2, 3)
    np.testing.assert_array_equal(picture[:64, :64], picture[:64, -64:])  # It is translated to itself.


def test_images_are_translated_once_for_picture_and_metrics(examples):
    calls = []

    def counted(networks, sar, rng):
        jax.debug.callback(lambda: calls.append(1))
        return translate(networks, sar, rng)

    stage = Validation(examples=examples, measures=Measures()).of(Stage(), counted, make_key(0))
    stage.metrics(5, *at(0.5))
    stage.picture(5, at(0.5)[1])
    jax.effects_barrier()
    assert len(calls) == 1
    stage.picture(6, at(0.5)[1])
    jax.effects_barrier()
    assert len(calls) == 2


def test_translations_that_are_not_finite_have_no_quality(examples):
    stage = Validation(examples=examples, measures=Measures()).of(Stage(), translate, make_key(0))
    found = stage.metrics(5, *at(np.nan))
    assert np.isnan(found["validation/psnr"]) and np.isnan(found["validation/ssim"])
    assert stage.picture(5, at(np.nan)[1]).dtype == np.uint8


def test_quality_is_better_where_it_is_higher_and_losses_where_they_are_lower():
    assert is_higher_better("validation/psnr") and is_higher_better("validation/ssim")
    for name in ("validation/lpips_alexnet", "validation/loss/teacher", "loss/teacher"):
        assert not is_higher_better(name)
