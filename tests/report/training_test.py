import pytest

from sar2opt_jax.report import training
from sar2opt_jax.report.about import About
from sar2opt_jax.report.history import StageLog

STAGES = (
    StageLog(
        name="teacher",
        steps=900,
        seconds=125.0,
        skipped=0,
        curves={
            "loss/teacher": {1: 0.5, 2: 0.25},
            "validation/loss/teacher": {1: 0.6, 2: 0.3},
            "validation/psnr": {1: 10.0, 2: 12.0},
            "validation/ssim": {2: 0.5},
        },
    ),
    StageLog(name="adversarial", steps=150, seconds=None, skipped=3, curves={"validation/psnr": {1: 12.0, 2: 13.0}}),
)
NETWORKS = {
    "teacher": {"stage": "teacher", "parameters": 1234},
    "other": {"stage": "adversarial", "parameters": 5},
    "student": {"stage": "adversarial", "parameters": 6789},
}


def test_a_stage_has_its_own_networks_parameters_and_its_time():
    about = About(title="acd", facts={}, config={}, networks=NETWORKS, training=STAGES)
    table = training.table(about)
    assert table is not None
    assert [(row.label, *(cell.text for cell in row.cells)) for row in table.sections[0].rows] == [
        ("teacher", "900", "1,234", "2 min 5 s", "7.20", ""),
        ("adversarial", "150", "6,789", "", "", "3"),
    ]
    assert training.table(About(title="acd", facts={}, config={})) is None


def test_panels_are_losses_of_a_stage_and_one_metric_of_all_stages():
    losses, psnr = training.panels(STAGES)
    assert (losses.title, list(losses.lines)) == ("Losses, teacher", ["teacher", "teacher, validation"])
    assert (psnr.title, psnr.better, list(psnr.lines)) == (
        "Validation: PSNR (dB)",
        "higher",
        ["teacher", "adversarial"],
    )


def test_a_loss_of_validation_images_has_the_colour_of_its_loss_and_dashes():
    losses, _ = training.panels(STAGES)
    (axes,) = training.draw(losses, size=(3, 2)).axes
    first, second = axes.lines
    assert first.get_color() == second.get_color()
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.3, "0.3 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_durations_are_told_in_two_units(seconds, text):
    assert training.duration(seconds) == text
