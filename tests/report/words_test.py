import pytest

from sar2opt_jax.report import markdown, page, sheets, tables, words
from sar2opt_jax.report.about import About

TEXTS = ("Original", "original", "DDIM", "DPM++", "tudent", "teacher", "GAN")


def texts(results, *, figure_steps: int = 8) -> tuple[str, str]:
    """The report as Markdown and as a page without its config, both of all its words."""
    about, rows = About(title="run", facts={}, config={}), tables.rows_of(results)
    pictures = sheets.make(results, figure_steps=figure_steps, rows=2)
    return (
        markdown.render(results, about, rows, figure_steps=figure_steps),
        page.render(results, about, rows, pictures, figure_steps=figure_steps).split("<body>")[1].split("<script>")[0],
    )


@pytest.mark.parametrize(
    ("methods", "named"),
    [
        ([("generator", 1)], {"GAN"}),
        ([("ddim", 8)], {"DDIM", "teacher"}),
        ([("dpm_solver_pp", 8)], {"DPM++", "teacher"}),
        ([("ddpm", 1000)], {"Original", "original", "teacher"}),
        ([("lcm", 4)], {"tudent", "teacher"}),
        ([], set()),
    ],
)
def test_a_report_has_no_word_on_what_is_not_in_it(fabricate, methods, named):
    for text in texts(fabricate(methods)):
        # The teacher is a class of the page's style and a section only where there is one.
        assert {word for word in TEXTS if word in text.replace("var(--original)", "")} == named


def test_a_full_report_says_what_each_method_is(fabricate):
    method = words.columns(fabricate())[0]
    assert "*Original*: the teacher by the ancestral sampler it was trained for, in 1,000 steps." in method
    assert "*DDIM* and *DPM++*: the same teacher with samplers that take fewer steps." in method
    assert "*Student*: the network distilled from the teacher." in method
    like = words.reading(fabricate())[2]
    assert "the student with the original" in like and "the student with DDIM and DPM++ **at the same" in like


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ([("ddim", 8), ("ddim", 4), ("dpm_solver_pp", 8)], "DDIM and DPM++ are shown with 8 steps."),
        ([("ddim", 8), ("dpm_solver_pp", 4)], "DDIM is shown with 8 steps."),
        ([("ddim", 4), ("ddpm", 8), ("lcm", 8)], ""),
    ],
)
def test_figure_1_says_which_samplers_it_shows(fabricate, methods, expected):
    results = fabricate(methods)
    assert words.shown(results, figure_steps=8) == expected
    for text in texts(results):
        assert ("shown with" in text) == bool(expected)
        assert expected in text


def test_speed_and_intervals_are_explained_where_there_are_any(fabricate):
    def all_of(results) -> str:
        return " ".join(words.columns(results))

    assert "ms per image" not in all_of(fabricate(timed=False)) and "Speed-up" not in all_of(fabricate(timed=False))
    assert "Speed-up" not in all_of(fabricate([("lcm", 4)])) and "ms per image" in all_of(fabricate([("lcm", 4)]))
    assert "Intervals" not in all_of(fabricate(count=1)) and "Intervals" in all_of(fabricate())
