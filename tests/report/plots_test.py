import io

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from sar2opt_jax.report import curves, plots

STUDY = [
    *((sampler, n) for sampler in ("ddpm", "ddim", "dpm_solver_pp") for n in (1, 2, 3, 4, 5, 8, 16, 50, 100, 1000)),
    *(("lcm", n) for n in (1, 2, 3, 4, 5, 8, 16, 25, 50)),
    ("generator", 1),
]


def rendered(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def panels(figure) -> dict:
    """The panels of a figure, without the second axes of some, by their titles."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_steps_has_a_panel_for_each_quantity(fabricate):
    titles = ["PSNR (dB)", "SSIM", "LPIPS", "Colour shift (ΔE)", "Sharpness", "Fréchet (AlexNet)"]
    assert list(panels(plots.steps(fabricate()))) == titles
    assert list(panels(plots.steps(fabricate(keys=("psnr", "sharpness"), distances=("fid",))))) == [
        "PSNR (dB)",
        "Sharpness",
        "FID",
    ]


def test_steps_draws_one_line_per_series_and_the_levels(fabricate):
    figure = plots.steps(fabricate())
    assert rendered(figure).size
    psnr, sharpness = panels(figure)["PSNR (dB)"], panels(figure)["Sharpness"]
    drawn = lines(psnr)
    assert list(drawn) == ["DDPM", "DDIM", "DPM++", "Student", "Linear baseline"]
    np.testing.assert_array_equal(drawn["DDIM"].get_xydata(), [[1, 18.5], [4, 19.5], [8, 20.5]])
    np.testing.assert_array_equal(drawn["DDPM"].get_xydata(), [[1000, 17.5]])
    np.testing.assert_array_equal(drawn["Linear baseline"].get_ydata(), [16.5, 16.5])
    original = [line for line in psnr.lines if line.get_label().startswith("_")]
    assert [list(line.get_ydata()) for line in original] == [[17.5, 17.5]]
    np.testing.assert_array_equal(psnr.get_xticks(), [1, 4, 8, 100, 1000])
    np.testing.assert_array_equal(lines(sharpness)["Truth"].get_ydata(), [1, 1])


def test_a_floor_far_off_is_named_and_does_not_crush_the_rest(fabricate):
    results = fabricate([("ddim", 1), ("ddim", 8)])
    results.linear.metrics["psnr"][:] = 2.0
    axes = panels(plots.steps(results))["PSNR (dB)"]
    assert "Linear baseline" not in lines(axes)
    assert "↓ linear baseline 2.00" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > 15


def test_speed_draws_all_methods_over_their_times(fabricate):
    figure = plots.speed(fabricate())
    assert rendered(figure).size
    assert list(panels(figure)) == ["PSNR (dB)", "Fréchet (AlexNet)"]
    axes = panels(figure)["PSNR (dB)"]
    np.testing.assert_array_equal(lines(axes)["Student"].get_xydata(), [[5, 22.5], [20, 23.5]])
    texts = [text.get_text() for text in axes.texts]
    assert {"Original", "1", "4", "8"} <= set(texts)


def test_the_scale_above_says_how_many_times_faster(fabricate):
    above = [axes for axes in plots.speed(fabricate()).axes if not axes.get_title(loc="left")]
    ticks = dict(zip(above[0].get_xticks(), (t.get_text() for t in above[0].get_xticklabels()), strict=True))
    assert ticks == {5000: "1×", 500: "10×", 50: "100×", 5: "1,000×"}


def test_labels_do_not_cover_one_another(fabricate):
    figure = plots.speed(fabricate(STUDY, psnr=[20] * 4))  # In PSNR, three points or four at the same place.
    rendered(figure)
    for axes in panels(figure).values():
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) > 10
        # Half a pixel of antialiasing is no overlap.
        hit = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.padded(-3).overlaps(b.padded(-3))]
        assert not hit


def test_ticks_of_many_step_counts_keep_their_distance(fabricate):
    axes = panels(plots.steps(fabricate(STUDY)))["PSNR (dB)"]
    ticks = axes.get_xticks()
    assert {1, 10, 100, 1000} & {n for _, n in STUDY} <= set(ticks)
    assert np.diff(np.log(ticks)).min() > 0.4


@pytest.mark.parametrize("methods", [[("ddpm", 10)], [("lcm", 1)], [("generator", 1)], [], STUDY])
def test_figures_can_do_with_few_methods_and_many(fabricate, methods):
    results = fabricate(methods)
    assert rendered(plots.steps(results)).size
    assert rendered(plots.speed(results)).size


def test_names_are_no_formulas_and_what_the_font_lacks_is_a_question_mark(fabricate):
    results = fabricate([("ddpm", 1000), ("generator", 1)], name="方$\\frac$")
    for figure in (plots.steps(results), plots.speed(results)):
        assert not any(text.get_parse_math() for text in figure.findobj(Text))
        assert rendered(figure).size
        assert "?$\\frac$" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("psnr", [[np.inf] * 4, [np.nan, 16, 17, 18]])
def test_figures_survive_values_that_are_not_finite(fabricate, psnr):
    results = fabricate(psnr=psnr)
    assert rendered(plots.steps(results)).size
    assert rendered(plots.speed(results)).size


def test_a_panel_by_itself_is_that_of_the_figure(fabricate):
    results = fabricate()
    (axes,) = plots.panel(results, "psnr", curves.draw_steps, size=(3, 2)).axes
    assert list(lines(axes)) == list(lines(panels(plots.steps(results))["PSNR (dB)"]))
