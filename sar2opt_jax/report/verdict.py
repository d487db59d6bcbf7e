"""The sentences that a report opens with: who wins, made from the numbers, whoever it is."""

from collections.abc import Sequence
from typing import NamedTuple

from sar2opt_jax.evaluation.results import QUANTITIES, Result, Results
from sar2opt_jax.report import selection
from sar2opt_jax.report.tables import called, significant

MEASURES = (("psnr",), ("ssim",), selection.LEARNED, ("colour_shift",))
"""What two methods are compared by: the first of each that was measured."""


class Verdict(NamedTuple):
    """One short sentence, and what stands behind it."""

    lead: str
    text: str


class Duel(NamedTuple):
    """In which measures the headline method is clearly better than a rival, clearly worse, or neither."""

    rival: Result
    wins: list[str]
    losses: list[str]
    open: list[str]


def verdict(results: Results) -> Verdict:
    """Whether the headline method is better than what it must be better than.

    A difference counts where the 95% interval of the difference, image by image, excludes zero. A floor or a baseline
    that wins in more measures than it loses takes the lead sentence.
    """
    headline, original = results.headline, results.original
    if headline is results.linear or len(results.ids) < 2:
        return Verdict("No verdict.", "There is nothing to compare, or a single image, which is no basis for one.")
    floors = (results.linear, *(r for r in results.methods if r.kind == "generator"))
    rivals = (*floors, original, selection.fastest_rival(results))
    distinct = {id(rival): rival for rival in rivals if rival is not None and rival is not headline}
    duels = [duel(results, rival) for rival in distinct.values()]
    own = _capital(called(results, headline))
    lost = [d for d in duels if d.rival in floors and len(d.losses) > len(d.wins)]
    against = next((d for d in duels if d.rival is original), duels[0])
    if lost:
        names = _and([called(results, d.rival) for d in lost])
        lead = f"{_capital(names)} {'win' if len(lost) > 1 else 'wins'}."
    elif len(against.wins) > len(against.losses):
        lead = f"{own} beats {called(results, against.rival)}."
    elif len(against.wins) < len(against.losses):
        lead = f"{own} falls short of {called(results, against.rival)}."
    else:
        lead = f"{own} is on a par with {called(results, against.rival)}."
    measures = [label for labels in against[1:] for label in labels]
    clauses = "; ".join(_clause(results, d, all_of=len(measures)) for d in duels)
    basis = f"{len(results.ids):,} images, one training run; a difference counts where its 95% interval excludes zero"
    return Verdict(lead, f"By {_and([*_ordered(measures)])}, {called(results, headline)} {clauses} ({basis}).")


def duel(results: Results, rival: Result) -> Duel:
    """The headline method against ``rival``, in each of ``MEASURES``."""
    found = Duel(rival, [], [], [])
    for key in filter(None, (selection.first_measured(results, keys) for keys in MEASURES)):
        quantity = QUANTITIES[key]
        interval = results.interval(results.headline, key, against=rival)
        if interval is None or interval[0] <= 0 <= interval[1]:
            side = found.open
        else:
            side = found.wins if (interval[0] > 0) == (quantity.better == "higher") else found.losses
        side.append(quantity.label)
    return found


def _clause(results: Results, found: Duel, *, all_of: int) -> str:
    """``beats the original in 1,000 steps in all four at 241× its speed``."""
    rival, parts = called(results, found.rival), []
    for verb, labels in (
        ("beats", found.wins),
        ("loses to", found.losses),
        ("is not clearly different from", found.open),
    ):
        if labels:
            where = "in all of them" if len(labels) == all_of else f"in {_and([*map(_plain, labels)])}"
            parts.append(f"{verb} {'it' if parts else rival} {where}")
    own, other = results.headline.ms_per_image, found.rival.ms_per_image
    if found.rival is results.original and own and other:
        parts[-1] += f", at {significant(other / own)}× its speed"
    return _and(parts)


def _ordered(labels: Sequence[str]) -> list[str]:
    """In the order of ``MEASURES``; in lower case where they are words."""
    order = [QUANTITIES[key].label for keys in MEASURES for key in keys]
    return [_plain(label) for label in sorted(labels, key=order.index)]


def _plain(label: str) -> str:
    return label if label.isupper() or "-" in label else label.lower()


def _capital(text: str) -> str:
    """A sentence begins with a capital letter, but no name is changed: ``pix2pix`` stays as it is."""
    return text[0].upper() + text[1:] if text.startswith("the ") else text


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
