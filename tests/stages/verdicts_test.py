import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.stages import verdicts

LOGITS = jnp.array([-2.0, -0.1, 0.2, 3.0])


@pytest.mark.parametrize(
    ("loss", "real", "fake"), [("non_saturating", 0.5, 0.5), ("hinge", 0.5, 0.5), ("least_squares", 0.25, 0.75)]
)
def test_accuracy_counts_logits_on_the_right_side_of_the_threshold(loss, real, fake):
    found = verdicts.accuracy(LOGITS, LOGITS.reshape(2, 2), loss=loss, name="sar_")
    assert {name: float(value) for name, value in found.items()} == {
        "accuracy/sar_real": real,
        "accuracy/sar_fake": fake,
    }


def test_a_discriminator_that_has_learned_nothing_is_right_for_none():
    found = verdicts.accuracy(jnp.zeros(4), jnp.zeros(4), loss="non_saturating")
    np.testing.assert_array_equal([found["accuracy/real"], found["accuracy/fake"]], 0)


def test_logits_without_a_threshold_have_no_accuracy():
    assert verdicts.accuracy(LOGITS, LOGITS, loss="wasserstein") == {}


def test_a_coin_is_remarked_on_and_an_adversary_is_not():
    def remark(real, fake, name=""):
        metrics = {f"accuracy/{name}real": real, f"accuracy/{name}fake": fake}
        return verdicts.remark(metrics, way_out="change it.", name=name)

    assert remark(0.9, 0.3) is None
    assert remark(1.0, 0.0) == (
        "the discriminator ended as a coin: right for 50% of the images (50 % is a guess), so that it taught next to "
        "nothing; change it."
    )
    assert "the sar discriminator ended as a coin" in remark(0.5, 0.5, "sar_")
    assert verdicts.remark({"loss/teacher": 0.1}, way_out="") is None
