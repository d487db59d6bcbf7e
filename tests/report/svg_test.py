from matplotlib.figure import Figure

from sar2opt_jax.report import svg
from sar2opt_jax.report.styles import COLOURS, INK


def drawn(text: str = "title") -> Figure:
    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([0, 1], [1, 2], color=COLOURS[0], marker="o")
    axes.set_title(text, color=INK, parse_math=False)
    return figure


def test_colours_are_the_pages_and_fonts_too():
    text = svg.element(drawn(), name="a", description="A line.")
    assert "var(--c0)" in text and "var(--ink)" in text and "#0072b2" not in text.lower()
    assert "font-family" not in text
    assert 'aria-label="A line."' in text


def test_nothing_of_a_file_is_left():
    text = svg.element(drawn(), name="a", description="")
    assert "http" not in text and "<?xml" not in text and "<style" not in text and "DOCTYPE" not in text
    assert text.startswith("<svg ") and text.endswith("</svg>")


def test_identifiers_of_two_figures_differ():
    one, two = (set(svg.re.findall(r' id="([^"]+)"', svg.element(drawn(), name=name, description=""))) for name in "ab")
    assert one and two and not one & two


def test_text_is_escaped():
    text = svg.element(drawn("<b> $x$ &"), name="a", description='"<b>"')
    assert "&lt;b&gt; $x$ &amp;" in text
    assert 'aria-label="&quot;&lt;b&gt;&quot;"' in text
