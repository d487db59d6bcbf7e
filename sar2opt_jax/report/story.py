"""The few numbers that a report opens with: what the headline method is, measured against its natural rivals."""

from typing import NamedTuple

import numpy as np

from sar2opt_jax.evaluation.results import QUANTITIES, Result, Results
from sar2opt_jax.metrics import inception, lpips
from sar2opt_jax.report import selection
from sar2opt_jax.report.tables import called, interval_text, method_text, number, significant

COUNT = 4
ENOUGH_IMAGES = {"fid": inception.WIDTH, "frechet_alexnet": lpips.FEATURES_WIDTH}
"""From how many images on a distance between sets may be a headline: of fewer than it has features, their covariance
is singular, and the distance tells more of how many images there are than of how they look."""


class Headline(NamedTuple):
    """A number and what it says.

    Attributes:
      label: what was measured.
      value: the number.
      unit: its unit, or nothing.
      text: one or two sentences, which hold whichever way the number goes.
    """

    label: str
    value: str
    unit: str
    text: str


def headlines(results: Results) -> list[Headline]:
    """At most ``COUNT`` of them: fidelity, speed, colour and texture first, then what was measured of the rest."""
    told = (_fidelity(results), _speed(results), _colour(results), *_textures(results))
    return [headline for headline in told if headline is not None][:COUNT]


def _fidelity(results: Results) -> Headline:
    headline = results.headline
    rival = _reference(results)
    if rival is headline:
        return _plain(results, "psnr")
    with np.errstate(invalid="ignore"):
        difference = float(np.mean(results.per_image(headline, "psnr") - results.per_image(rival, "psnr")))
    interval = results.interval(headline, "psnr", against=rival)
    ends = f", 95% interval {interval_text(interval, 2, sign=True)}" if interval else ""
    clear = " The interval includes zero." if interval and interval[0] <= 0 <= interval[1] else ""
    text = f"{method_text(results, headline)}, minus {called(results, rival)}, image by image{ends}.{clear}"
    label = f"PSNR against the {results.title(rival).lower()}"
    return Headline(label, number(difference, 2, sign=True), "dB", text)


def _speed(results: Results) -> Headline | None:
    headline, original = results.headline, results.original
    if headline.ms_per_image is None:
        return None
    own = f"{significant(headline.ms_per_image)} ms per image"
    factor = results.speed_up(headline)
    if factor is None or original is None or headline is original:
        value = significant(headline.ms_per_image)
        return Headline("Latency", value, "ms", f"For one image alone: {method_text(results, headline)}.")
    instead = f"{own} instead of {significant(original.ms_per_image)}"
    text = f"{method_text(results, headline)}, against {called(results, original)}: {instead}."
    return Headline("Speed-up", significant(factor, suffix="×"), "", text)


def _colour(results: Results) -> Headline | None:
    return _beside(results, "colour_shift", _reference(results))


def _textures(results: Results) -> list[Headline | None]:
    """What blur does not win, the most telling first: one distance between sets, of enough images, then the others."""
    enough = [key for key, least in ENOUGH_IMAGES.items() if len(results.ids) >= least]
    distance = selection.first_measured(results, enough)
    rival = selection.fastest_rival(results) or _reference(results)
    keys = (distance, *selection.LEARNED[:1], "sharpness", "ssim")
    return [_beside(results, key, rival) for key in keys if key is not None]


def _beside(results: Results, key: str, rival: Result) -> Headline | None:
    """The headline method's own number, with a rival's in the text."""
    headline = results.headline
    if key not in results.quantities:
        return None
    if rival is headline:
        return _plain(results, key)
    quantity = QUANTITIES[key]
    better = {"higher": "Higher is better.", "lower": "Lower is better.", "one": "1 is the truth."}[quantity.better]
    value, other = (number(results.value(r, key), quantity.digits) for r in (headline, rival))
    text = f"{method_text(results, headline)}; {called(results, rival)} has {other}. {better}"
    return Headline(quantity.label, value, quantity.unit, text)


def _plain(results: Results, key: str) -> Headline:
    quantity = QUANTITIES[key]
    value = number(results.value(results.headline, key), quantity.digits)
    return Headline(quantity.label, value, quantity.unit, f"{method_text(results, results.headline)}.")


def _reference(results: Results) -> Result:
    """The original, which all else is measured against; the linear baseline where there is no other original."""
    original = results.original
    return results.linear if original is None or original is results.headline else original
