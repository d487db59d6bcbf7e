"""Where the picture is invented: what the spread of several translations says of their error."""

from matplotlib.figure import Figure

from sar2opt_jax.evaluation.results import Spread
from sar2opt_jax.metrics.distances import bootstrap
from sar2opt_jax.report.curves import DOTTED, dress
from sar2opt_jax.report.styles import COLOURS, DPI, GREY, INK, plain

TITLE = "Error against deviation"
SIZE = (4.4, 3.4)
AGREEING = 1.0
"""Grey levels: samples that deviate less than this are one image to a reader."""


def text(spread: Spread) -> str:
    """What was measured, and what it says, in Markdown."""
    name, measured = spread
    interval = bootstrap(measured.coverage) if len(measured.coverage) > 1 else None
    between = f" ({interval[0]:.0%} – {interval[1]:.0%})" if interval else ""
    found = float(measured.coverage.mean())
    sentences = [
        f"{name} translated every image {measured.num_samples} times. The central {measured.nominal:.0%} of these "
        f"translations hold the true value of {found:.0%}{between} of the pixels' colours; it would be "
        f"{measured.nominal:.0%} if the truth were one more translation."
    ]
    if measured.deviation[-1] < AGREEING:
        sentences.append(
            "This method all but ignores the noise it starts from: its deviation says nothing of what is invented."
        )
    elif found < measured.nominal:
        sentences.append(
            "The translations agree with each other more than with the truth, so that the deviation **understates** "
            "the error: where it is large the picture is invented, where it is small it may still be wrong."
        )
    else:
        sentences.append("The deviation is no smaller than the error: where it is large, the picture is invented.")
    return " ".join(sentences)


def draw(spread: Spread, *, size: tuple[float, float] = SIZE, printed: bool = True) -> Figure:
    """The error of the mean of the samples over their deviation, in groups of equally many pixels.

    Args:
      spread: of several translations of each image.
      size: in inches.
      printed: whether it is a file of its own; else for a page in whose font it is set.
    """
    measured = spread.calibration
    width, height = size
    ground = "white" if printed else "none"
    figure = Figure(figsize=size, dpi=DPI, facecolor=ground)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.52 / width, right=1 - 0.14 / width, top=1 - 0.36 / height, bottom=0.48 / height)
    axes.set_facecolor(ground)
    end = 1.06 * max(measured.deviation.max(), measured.error.max(), AGREEING)
    axes.plot((0, end), (0, end), color=GREY, linewidth=1.3, linestyle=DOTTED, zorder=2)
    look = {"markeredgecolor": "white", "markeredgewidth": 0.8, "color": COLOURS[0]}
    axes.plot(measured.deviation, measured.error, marker="o", markersize=6, linewidth=1.6, zorder=3, **look)
    dress(axes, TITLE, "Deviation of the translations (grey levels)", better="lower")
    axes.set_title("dotted: the error is the deviation", loc="right", size=7.5, color=GREY, pad=9)
    axes.set_ylabel("Error of their mean (grey levels)", size=8, color=INK)
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    plain(figure, printed=printed)
    return figure
