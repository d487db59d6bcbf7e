import dataclasses

import numpy as np
import pytest

from sar2opt_jax.report import story, tables

PSNR, FLOOR = "PSNR against the original", "PSNR against the linear baseline"


def told(results) -> dict[str, story.Headline]:
    return {headline.label: headline for headline in story.headlines(results)}


def test_the_headline_method_is_set_against_its_natural_rivals(fabricate):
    found = told(fabricate())
    assert list(found) == ["PSNR against the original", "Speed-up", "Colour shift", "LPIPS"]
    assert (found[PSNR].value, found[PSNR].unit) == ("+6.00", "dB")
    assert found[PSNR].text == (
        "Student, 4 steps, minus the original in 1,000 steps, image by image, 95% interval +6.00 to +6.00."
    )
    assert found["Speed-up"].text.endswith("against the original in 1,000 steps: 20.0 ms per image instead of 5,000.")
    assert found["Colour shift"].text == "Student, 4 steps; the original in 1,000 steps has 8.50. Lower is better."
    assert "DDIM in 4 steps has 0.620" in found["LPIPS"].text


@pytest.mark.parametrize(
    ("distances", "keys", "count", "label"),
    [
        (("fid",), ("psnr", "lpips_alexnet", "sharpness"), 2047, "LPIPS"),
        (("fid",), ("psnr", "lpips_alexnet", "sharpness"), 2048, "FID"),
        (("fid", "frechet_alexnet"), ("psnr", "sharpness"), 2047, "Fréchet (AlexNet)"),
        (("frechet_alexnet",), ("psnr", "lpips_alexnet", "sharpness"), 255, "LPIPS"),
        (("frechet_alexnet",), ("psnr", "lpips_alexnet", "sharpness"), 256, "Fréchet (AlexNet)"),
        (("frechet_alexnet",), ("psnr", "sharpness"), 16, "Sharpness"),
    ],
)
def test_distance_between_sets_is_a_headline_of_enough_images_only(fabricate, distances, keys, count, label):
    found = story.headlines(fabricate(count=count, keys=keys, distances=distances))
    assert [headline.label for headline in found][:3] == [PSNR, "Speed-up", label]
    assert len({headline.label for headline in found}) == len(found)


def test_names_may_hold_a_comma(fabricate):
    results = fabricate([("ddpm", 1000), ("ddim", 4), ("lcm", 4)], name="b, tuned")
    assert "; b, tuned, DDIM in 4 steps has" in told(results)["LPIPS"].text
    (table,) = tables.by_group(dataclasses.replace(results, groups={"season": list("abab")}), figure_steps=4)["season"][
        :1
    ]
    assert [tuple(head) for head in table.heads[2:]] == [
        ("Original", "1,000 steps"),
        ("b, tuned, DDIM", "4 steps"),
        ("B, tuned", "4 steps"),
    ]


def test_a_difference_that_may_be_none_is_called_so(fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    results.methods[1].metrics["psnr"][:] = results.methods[0].metrics["psnr"] + [-1, 1, -1, 1.5]
    text = told(results)[PSNR].text
    low, high = results.interval(results.methods[1], "psnr", against=results.methods[0])
    assert low < 0 < high
    assert text.endswith(f"95% interval −{-low:.2f} to +{high:.2f}. The interval includes zero.")


def test_a_worse_student_is_told_as_plainly(fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    results.methods[1].metrics["psnr"][:] -= 3
    assert told(results)[PSNR].value == "−2.00"


def test_without_an_original_the_floor_is_the_rival(fabricate):
    found = told(fabricate([("ddim", 8), ("lcm", 4)]))
    assert "minus the linear baseline" in found[FLOOR].text
    assert (found["Latency"].value, found["Latency"].unit) == ("20.0", "ms")


def test_the_original_alone_is_set_against_the_floor(fabricate):
    found = told(fabricate([("ddpm", 1000)]))
    assert (found[FLOOR].value, found["Latency"].value) == ("+1.00", "5,000")


@pytest.mark.parametrize("settings", [{"methods": []}, {"count": 1}, {"psnr": [np.inf] * 4}, {"timed": False}])
def test_there_is_something_to_tell_of_any_results(fabricate, settings):
    found = story.headlines(fabricate(**settings))
    assert 1 <= len(found) <= story.COUNT
    assert not any("nan" in text or "None" in text for headline in found for text in headline)
