import io

import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.diffusion.translation import Method
from sar2opt_jax.evaluation import plots
from sar2opt_jax.evaluation.evaluate import Result, Results

SIDE = 16
METHODS = [("ddpm", 1000), ("ddim", 1), ("ddim", 8), ("dpm_solver_pp", 8), ("lcm", 1), ("lcm", 4)]


def flat(level: float) -> np.ndarray:
    return np.full((2, SIDE, SIDE, 3), level, np.float32)


def scores(psnr: float) -> dict[str, np.ndarray]:
    return {"psnr": np.full(4, psnr), "ssim": np.full(4, 0.5), "sharpness": np.full(4, 0.02)}


def fabricate(methods=METHODS, *, psnr: float = 20.0) -> Results:
    return Results(
        ids=["a", "b", "c", "d"],
        sar=flat(-1)[..., :1],
        optical=flat(-0.8),
        image_size=(SIDE, SIDE),
        truth_sharpness=np.full(4, 0.04),
        floor=Result(name="linear", method=None, metrics=scores(15.0), images=flat(0)),
        methods=tuple(
            Result(
                name="student" if sampler == "lcm" else "teacher",
                method=Method(sampler=sampler, num_steps=steps),
                metrics=scores(psnr + i),
                images=flat(-0.6 + 0.2 * i),
                ms_per_image=float(steps),
            )
            for i, (sampler, steps) in enumerate(methods)
        ),
    )


def rendered(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def test_samplers_shows_the_columns_of_the_paper_in_order():
    # Every method has a grey of its own; here they are, read from left to right through the first row of images.
    pixels = rendered(plots.samplers(fabricate(), teacher_steps=8))
    line = pixels[plots.HEAD + 100, :, 0].astype(int)
    runs = [line[0], *line[1:][np.diff(line) != 0]]
    greys = [grey for grey in runs if grey != 255]
    levels = [-1, -0.8, -0.2, 0.0, -0.6, 0.2, 0.4]  # SAR, truth, DDIM 8, DPM++ 8, original, student 1, student 4
    np.testing.assert_allclose(greys, [round((level + 1) * 127.5) for level in levels], atol=1)


def test_samplers_shows_images_pixel_by_pixel():
    pixels = rendered(plots.samplers(fabricate()))
    black = (pixels == 0).all(axis=-1)
    rows = np.flatnonzero(black[:, plots.MARGIN + 1])
    scale = plots.CELL_PIXELS // SIDE
    assert len(rows) == 2 * SIDE * scale
    assert rows[0] == plots.HEAD
    assert np.flatnonzero(black[plots.HEAD + 1])[0] == plots.MARGIN


def test_samplers_titles_name_method_steps_and_quality():
    texts = [text.get_text() for text in plots.samplers(fabricate()).texts]
    titles = ["SAR", "Truth", "DDIM", "DPM++", "Original", "Student", "Student"]
    assert [text for text in texts if text in titles] == titles
    assert {"1000 steps", "1 step", "TEACHER", "STUDENT"} <= set(texts)
    assert "22.0 dB" in texts  # DDIM in 8 steps.
    assert "sharpness 0.50" in texts


def test_samplers_of_a_teacher_alone_has_no_student():
    figure = plots.samplers(fabricate([("ddpm", 1000), ("ddim", 8)]))
    assert "STUDENT" not in [text.get_text() for text in figure.texts]
    assert rendered(figure).shape[1] < 1200


def test_samplers_shows_no_more_rows_than_asked_for():
    one, two = (rendered(plots.samplers(fabricate(), rows=rows)).shape[0] for rows in (1, 8))
    assert two - one == plots.CELL_PIXELS + plots.GAP


def test_steps_draws_one_line_per_sampler():
    figure = plots.steps(fabricate())
    assert rendered(figure).size
    psnr, ssim, sharpness = figure.axes
    lines = {line.get_label(): line for line in psnr.lines}
    assert list(lines) == ["DDIM", "DPM++", "Student", "Original, 1000 steps", "Linear floor"]
    np.testing.assert_array_equal(lines["DDIM"].get_xydata(), [[1, 21], [8, 22]])
    np.testing.assert_array_equal(lines["Original, 1000 steps"].get_ydata(), [20, 20])
    np.testing.assert_array_equal(lines["Linear floor"].get_ydata(), [15, 15])
    np.testing.assert_array_equal(psnr.get_xticks(), [1, 4, 8])
    np.testing.assert_array_equal(ssim.lines[0].get_ydata(), [0.5, 0.5])
    assert [line.get_label() for line in sharpness.lines][-1] == "Truth"
    np.testing.assert_array_equal(sharpness.lines[0].get_ydata(), [0.5, 0.5])


@pytest.mark.parametrize("methods", [[("ddpm", 10)], [("lcm", 1)], []])
def test_figures_can_do_with_few_methods(methods):
    results = fabricate(methods)
    assert rendered(plots.samplers(results)).size
    assert rendered(plots.steps(results)).size


def test_figures_survive_a_perfect_score():
    results = fabricate(psnr=np.inf)
    assert rendered(plots.samplers(results)).size
    assert rendered(plots.steps(results)).size
