import pytest

from sar2opt_jax.report import styles


def test_the_known_series_have_the_same_colours_in_all_reports(fabricate):
    full, part = styles.styles(fabricate()), styles.styles(fabricate([("lcm", 4)]))
    assert part["Student"] == full["Student"]
    assert [full[name].name for name in ("DDIM", "DPM++", "Student", "DDPM", "Linear baseline")] == [
        "c0",
        "c1",
        "c2",
        "original",
        "linear",
    ]


def test_series_beyond_the_palette_differ_by_their_markers(fabricate):
    results = fabricate([("lcm", 4)] * 20)
    for i, result in enumerate(results.methods):
        object.__setattr__(result, "name", f"net{i}")
    looks = styles.styles(results)
    drawn = [(look.colour, look.marker) for name, look in looks.items() if name.startswith("Net")]
    assert len(set(drawn)) == 20


@pytest.mark.parametrize(
    ("text", "expected"), [("Colour shift (ΔE) ↑ −1 ∞ …", None), ("图 1", "? 1"), ("a\nb\tc", "a b c"), ("\x07🛰", "??")]
)
def test_what_the_font_lacks_becomes_a_question_mark(text, expected):
    assert styles.legible(text) == (text if expected is None else expected)
