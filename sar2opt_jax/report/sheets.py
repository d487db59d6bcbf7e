"""Sheets of images with what is written beside them, for a page as for a picture file."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from sar2opt_jax.evaluation.results import QUANTITIES, Result, Results, steps_text
from sar2opt_jax.metrics.colour import COLOUR_BLOCK, low_pass
from sar2opt_jax.report import selection
from sar2opt_jax.report.tables import method_text, number

COLOUR_EXAMPLES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """Images of one kind, one below the other.

    Attributes:
      title: what they are.
      role: ``sar`` or ``truth``, with which the translations of a row are compared; otherwise empty.
      lines: what stands below the title.
      images: [n, height, width, 3] uint8.
      captions: below each image; empty, or n of them.
    """

    title: str
    role: str = ""
    lines: tuple[str, ...] = ()
    images: np.ndarray
    captions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What they are, in words: ``Student, 4 steps``."""
        return ", ".join((self.title, *self.lines[:1]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """Columns in groups.

    Attributes:
      groups: a title, which may be empty, and columns.
      rows: what stands above each row of images; empty, or one for each.
      notes: lines below all.
    """

    groups: tuple[tuple[str, tuple[Column, ...]], ...]
    rows: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of all groups."""
        return tuple(column for _, columns in self.groups for column in columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheets:
    """All that a report shows.

    Attributes:
      opening: one image, which is neither good nor bad.
      samplers: figure 1.
      examples: best, median and worst.
      colours: without detail.
    """

    opening: Sheet
    samplers: Sheet
    examples: Sheet
    colours: Sheet


def make(results: Results, *, figure_steps: int, rows: int) -> Sheets:
    """The sheets of a report.

    Args:
      results: of an evaluation.
      figure_steps: with how many steps DDIM and DPM++ are shown.
      rows: examples in figure 1, at most.
    """
    return Sheets(
        opening=_compare(results, [selection.median(results)], selection.opening(results, figure_steps=figure_steps)),
        samplers=samplers(results, figure_steps=figure_steps, rows=rows),
        examples=examples(results, figure_steps=figure_steps),
        colours=colours(results, figure_steps=figure_steps),
    )


def samplers(results: Results, *, figure_steps: int, rows: int) -> Sheet:
    """SAR | truth | GAN baselines | DDIM | DPM++ | original | student, as figure 1 of arXiv 2407.06095.

    Args:
      results: of an evaluation.
      figure_steps: which number of steps of DDIM and DPM++ is shown.
      rows: how many examples, at most; the first, not chosen ones.
    """
    positions = list(range(min(rows, len(results.ids))))

    def column(result: Result) -> Column:
        quality = (
            f"{number(results.value(result, 'psnr'), 1)} dB",
            f"sharpness {number(results.value(result, 'sharpness'), 2)}",
        )
        return Column(title=results.title(result), lines=(*_steps(result), *quality), images=_images(result, positions))

    groups = selection.side_by_side(results, figure_steps=figure_steps)
    total = f"means over all {len(results.ids):,} evaluated images" if len(results.ids) > 1 else "of the only image"
    notes = (
        f"PSNR in dB and sharpness relative to the truth: {total}.",
        "PSNR rewards blur: read the two together.",
    )
    return Sheet(
        groups=(
            ("", (_sar(results, positions), _truth(results, positions))),
            *((title, tuple(map(column, methods))) for title, methods in groups),
        ),
        notes=notes,
    )


def examples(results: Results, *, figure_steps: int) -> Sheet:
    """Best, median and worst translations of the headline method, with their numbers and the others' of the same."""
    positions = [position for _, _, position in selection.examples(results)]
    methods = selection.compared(results, figure_steps=figure_steps, baselines=False)
    sheet = _compare(results, positions, methods)
    ranking = QUANTITIES[selection.ranking_key(results)].label
    note = f"Ranked by the {ranking} of: {method_text(results, results.headline)}."
    return dataclasses.replace(sheet, rows=example_rows(results), notes=(note,))


def example_rows(results: Results) -> tuple[tuple[str, str], ...]:
    """A title for each row of ``examples``, and which image it shows."""
    chosen, total = selection.examples(results), len(results.ids)
    return tuple(
        (title, f"rank {rank:,} of {total:,} · {short(results.ids[position])}") for title, rank, position in chosen
    )


def colours(results: Results, *, figure_steps: int) -> Sheet:
    """Truth and translations as the mean colours of the areas that the colour shift compares."""
    order = selection.ranked(results)
    count = min(COLOUR_EXAMPLES, len(order))
    # Evenly from the best to the worst, so that nobody chose them.
    positions = [order[round(i * (len(order) - 1) / max(1, count - 1))] for i in range(count)]
    columns = [
        Column(
            title=results.title(result),
            lines=_steps(result),
            images=blocks(_images(result, positions)),
            captions=_captions(results, result, positions, ("colour_shift",)),
        )
        for result in selection.compared(results, figure_steps=figure_steps)
    ]
    truth = _truth(results, positions)
    averaged = Column(title="Truth", lines=("averaged",), images=blocks(truth.images))
    rows = tuple(("", short(results.ids[position])) for position in positions)
    return Sheet(groups=(("", (truth,)), ("Mean colours of areas", (averaged, *columns))), rows=rows)


def blocks(images: np.ndarray) -> np.ndarray:
    """Mean colours of areas of ``COLOUR_BLOCK`` x ``COLOUR_BLOCK`` pixels, one pixel each, as ``low_pass`` has them.

    Images smaller than an area, whose colour shift cannot be measured, are one area each.

    Args:
      images: [n, height, width, 3] uint8.
    """
    small = min(images.shape[1:3]) < COLOUR_BLOCK
    means = images.mean(axis=(1, 2), keepdims=True) if small else np.asarray(low_pass(jnp.asarray(images)))
    return np.rint(means).astype(np.uint8)


def short(name: str, *, length: int = 60) -> str:
    """A name without its middle where it is too long for a figure."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def _compare(results: Results, positions: Sequence[int], methods: Sequence[Result]) -> Sheet:
    keys = ("psnr", selection.first_measured(results, (*selection.LEARNED, "ssim")))
    columns = tuple(
        Column(
            title=results.title(result),
            lines=_steps(result),
            images=_images(result, positions),
            captions=_captions(results, result, positions, [key for key in keys if key]),
        )
        for result in methods
    )
    return Sheet(groups=(("", (_sar(results, positions), _truth(results, positions))), ("", columns)))


def _captions(results: Results, result: Result, positions: Sequence[int], keys: Sequence[str]) -> tuple[str, ...]:
    captions = []
    for position in positions:
        numbers = []
        for key in (key for key in keys if key in result.metrics):
            quantity = QUANTITIES[key]
            text = number(float(results.per_image(result, key)[position]), quantity.digits)
            numbers.append(f"{text} {quantity.unit}" if quantity.unit else f"{quantity.label} {text}")
        captions.append(" · ".join(numbers))
    return tuple(captions)


def _steps(result: Result) -> tuple[str, ...]:
    return (steps_text(result.num_steps),) if result.num_steps else ()


def _sar(results: Results, positions: Sequence[int]) -> Column:
    """The first radar channel as grey."""
    sar = np.asarray(results.sar(positions))
    return Column(title="SAR", role="sar", lines=("input",), images=np.repeat(sar[..., :1], 3, axis=-1))


def _truth(results: Results, positions: Sequence[int]) -> Column:
    return Column(title="Truth", role="truth", lines=("optical",), images=np.asarray(results.optical(positions)))


def _images(result: Result, positions: Sequence[int]) -> np.ndarray:
    return np.asarray(result.images(positions))
