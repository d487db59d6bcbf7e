import dataclasses
import io

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from sar2opt_jax.report import panels, sheets


def rendered(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def samplers(results, *, rows: int = 8):
    return panels.draw(sheets.samplers(results, figure_steps=8, rows=rows))


def test_samplers_shows_the_columns_of_the_paper_in_order(fabricate):
    # Every method has a grey of its own; here they are, read from left to right through the first row of images.
    pixels = rendered(samplers(fabricate()))
    below = np.flatnonzero((pixels[:, panels.MARGIN + 1] == 10).all(axis=-1))[0]
    line = pixels[below + 100, :, 0].astype(int)
    greys = [grey for grey in [line[0], *line[1:][np.diff(line) != 0]] if grey != 255]
    # SAR, truth, DDIM 8, DPM++ 8, original, student 1, student 4
    assert greys == [10, 30, 100, 110, 70, 120, 130]


def test_images_are_shown_pixel_by_pixel(fabricate):
    pixels = rendered(samplers(fabricate(), rows=1))
    here = (pixels == 10).all(axis=-1)
    rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here[:, : panels.MARGIN + 300].all(axis=0) == 0)
    assert len(rows) == panels.CELL_PIXELS
    assert np.flatnonzero(here[rows[0]])[0] == panels.MARGIN
    assert here[rows[0] : rows[-1] + 1, panels.MARGIN : panels.MARGIN + panels.CELL_PIXELS].all()
    assert columns.size


def test_titles_name_method_steps_and_quality(fabricate):
    found = texts(samplers(fabricate()))
    titles = ["SAR", "Truth", "DDIM", "DPM++", "Original", "Student", "Student"]
    assert [text for text in found if text in titles] == titles
    assert {"1,000 steps", "1 step", "TEACHER", "STUDENT", "20.5 dB", "sharpness 0.90"} <= set(found)


def test_a_teacher_alone_has_no_student(fabricate):
    assert "STUDENT" not in texts(samplers(fabricate([("ddpm", 1000), ("ddim", 8)])))


def test_no_more_rows_are_shown_than_asked_for(fabricate):
    one, two = (rendered(samplers(fabricate(), rows=rows)).shape[0] for rows in (1, 2))
    assert two - one == panels.CELL_PIXELS + panels.GAP


def test_examples_name_rank_and_image(fabricate):
    found = texts(panels.draw(sheets.examples(fabricate(ids=["a$b$", "b", "c", "d"]), figure_steps=8)))
    assert [text for text in found if text in ("Best", "Median", "Worst")] == ["Best", "Median", "Worst"]
    assert "rank 1 of 4 · a$b$" in found
    assert "22.00 dB · LPIPS 0.430" in found  # The student's first image.


def test_colour_shows_areas_and_a_bar_for_each_method(fabricate):
    results = fabricate()
    figure = panels.colour(sheets.colours(results, figure_steps=8), results, figure_steps=8)
    assert rendered(figure).size
    bars = next(axes for axes in figure.axes if axes.patches)
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert names == ["Linear baseline", "Original, 1,000 steps", "DDIM, 8 steps", "Student, 4 steps"]
    np.testing.assert_allclose([patch.get_width() for patch in bars.patches], [9, 8.5, 7, 5.5])
    assert "5.50 ΔE" in texts(figure)


@pytest.mark.parametrize("name", ["a$\\frac$", "a$b$", "方法\nb"])
def test_names_are_drawn_as_they_are_as_far_as_the_font_goes(fabricate, name):
    results = fabricate([("ddpm", 1000), ("lcm", 4)], name=name, ids=[name] * 4)
    sheet = sheets.make(results, figure_steps=8, rows=2)
    figures = [
        panels.draw(sheet.samplers),
        panels.draw(sheet.examples),
        panels.colour(sheet.colours, results, figure_steps=8),
    ]
    for figure in figures:
        assert rendered(figure).size
        assert not any(text.get_parse_math() for text in figure.findobj(Text))
    expected = name.replace("方法\n", "?? ")
    assert f"rank 1 of 4 · {expected}" in texts(figures[1])
    (bars,) = (axes for axes in figures[2].axes if axes.patches)
    label = bars.get_yticklabels()[-1].get_text()
    assert label == f"{expected[0].upper()}{expected[1:]}, 4 steps"


def test_colour_without_its_measure_shows_the_areas_alone(fabricate):
    results = fabricate(keys=("psnr", "ssim", "sharpness"))
    figure = panels.colour(sheets.colours(results, figure_steps=8), results, figure_steps=8)
    assert len(figure.axes) == 1


@pytest.mark.parametrize("shape", [(5, 3), (16, 24), (7, 7)])
def test_images_of_fewer_pixels_fill_the_same_area(shape):
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(1, *shape, 1).repeat(3, axis=-1)
    sheet = sheets.Sheet(
        groups=(
            ("", (sheets.Column(title="large", images=np.zeros((1, 40, 24, 3), np.uint8)),)),
            ("", (sheets.Column(title="small", images=images),)),
        )
    )
    assert rendered(panels.draw(sheet)).size
    assert dataclasses.replace(sheet).columns[1].name == "small"
