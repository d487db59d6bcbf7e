import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.evaluation import evaluate, translations
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.metrics.linear_baseline import LinearBaseline


@pytest.fixture
def run(tmp_path, untimed, examples):
    def run(contenders, *, count=5, batch_size=8, **settings):
        pairs = examples(count)
        batch = pairs.batch()
        return evaluate.run(
            contenders,
            pairs,
            linear_baseline=lambda: LinearBaseline.fit(np.asarray(batch.sar), np.asarray(batch.optical), window=3),
            measures=settings.pop("measures", Measures()),
            directory=tmp_path,
            batch_size=batch_size,
            rng=jax.random.key(0),
            **settings,
        )

    return run


def test_a_network_with_a_constant_error_scores_its_closed_form(run, contender):
    results = run([contender("ddpm", 100), contender("ddim", 4), contender("lcm", 2)])
    expected = -20 * np.log10(0.1 / 2)
    for result in results.methods:
        # Rounded to 8 bits, which moves an error of 12.75 levels by half a level at most.
        np.testing.assert_allclose(result.metrics["psnr"], np.full(5, expected), atol=0.4)
        assert results.value(result, "sharpness") == pytest.approx(1, rel=0.02)
        assert results.value(result, "psnr") == pytest.approx(expected, abs=0.2)
        assert result.metrics["colour_shift"].mean() > 1
    assert [result.kind for result in results.methods] == ["teacher", "teacher", "student"]


def test_the_spread_of_samples_is_compared_with_their_error(run, contender, from_noise, tmp_path, monkeypatch):
    chosen = contender("ddim", 2, model=from_noise)
    results = run([contender("ddim", 1), chosen], sampled=chosen, num_samples=3)
    name, found = results.spread
    assert name == "DDIM, 2 steps" and found.num_samples == 3 and found.nominal == 0.5
    folders = [tmp_path / f"teacher-ddim-2{end}" for end in ("", "-sample-2", "-sample-3")]
    images = np.stack([np.asarray(Image.open(folder / "p1.png")) for folder in folders])
    assert (images[0] != images[1]).mean() > 0.9 and (images[1] != images[2]).mean() > 0.9
    low, high = images.min(axis=0), images.max(axis=0)
    truth = results.optical([1])[0]
    assert found.coverage[1] == pytest.approx(((low <= truth) & (truth <= high)).mean())
    assert [result.num_steps for result in results.methods] == [1, 2]  # Further samples are no further methods.
    monkeypatch.setattr(translations, "_fill", lambda *args, **kw: pytest.fail("translated again"))
    again = run([contender("ddim", 1), chosen], sampled=chosen, num_samples=3)
    np.testing.assert_array_equal(again.spread.calibration.coverage, found.coverage)


def test_what_is_measured_is_what_is_on_the_disk(run, contender, tmp_path):
    results = run([contender("ddim", 1)])
    (result,) = results.methods
    assert sorted(path.name for path in (tmp_path / "teacher-ddim-1").glob("*.png")) == [f"p{i}.png" for i in range(5)]
    error = (result.images(range(5)) / 255 - results.optical(range(5)) / 255) ** 2
    np.testing.assert_allclose(result.metrics["psnr"], -10 * np.log10(error.mean(axis=(1, 2, 3))), rtol=1e-5)


def test_the_floor_is_measured_on_the_same_examples(run, contender):
    results = run([contender("ddim", 1)])
    assert results.linear.num_steps == 0
    # The relation is linear, the linear baseline therefore exact but for rounding.
    assert (results.linear.metrics["psnr"] > 50).all()


def test_results_say_what_the_examples_are(run, contender):
    results = run([contender("ddim", 1)], count=3)
    assert results.ids == ["p0", "p1", "p2"]
    assert results.groups == {"season": ["spring", "fall", "spring"]}
    assert results.image_size == (12, 12)
    assert results.sar([0, 2]).shape == (2, 12, 12, 1)
    assert results.optical([1]).dtype == np.uint8
    assert len(results.truth_sharpness) == 3


def test_remarks_of_the_measures_are_handed_on(run, contender):
    assert run([contender("ddim", 1)], measures=Measures(remarks=("not at hand",))).remarks == ("not at hand",)


def test_a_network_that_always_says_the_same_is_named(run, contender, caplog):
    results = run([contender("ddim", 2, gain=0.0), contender("ddim", 1)])
    (remark,) = results.remarks
    assert remark.startswith("All 5 translations of DDIM, 2 steps are the same image")
    assert remark in caplog.text


def test_a_trained_on_network_is_translated_again(run, contender):
    before = run([contender("ddim", 1)]).methods[0].metrics["psnr"]
    after = run([contender("ddim", 1, gain=0.4)]).methods[0].metrics["psnr"]
    assert (before != after).all()


def test_a_method_that_does_not_fit_is_refused_before_anything_runs(run, contender, monkeypatch):
    monkeypatch.setattr(evaluate, "translate_missing", lambda *args, **kw: pytest.fail("computed something"))
    student = contender("lcm", 1)
    wrong = dataclasses.replace(student, method=contender("ddim", 1).method)
    with pytest.raises(ValueError, match="sample it with lcm, not with 'ddim'"):
        run([contender("ddim", 1), wrong])


def test_two_networks_of_one_name_are_refused(run, contender):
    with pytest.raises(ValueError, match="have one name: DDIM, 1 step"):
        run([contender("ddim", 1), contender("ddim", 1, gain=0.2)])
