"""Certainty of the choice of a tap: choices on resampled validation samples, and gains that include the choice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.errors import ContractError
from geofm_eval.memo import once
from geofm_eval.results.comparison import Subject
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import ChosenTap, best_of, candidates, losses_of, sign
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.reselection import chosen_each, near_best


@dataclass(frozen=True)
class Reselection:
    """The chosen tap and taps that are about as good on validation.

    For each of the candidates ``taps``, shallow to deep, ``shares`` is the proportion of resamples of the validation
    samples that choose it, and ``errors`` the paired standard error of its difference to the chosen tap. ``near`` are
    the chosen tap and candidates whose validation score is at most one such error lower.
    """

    chosen: ChosenTap
    taps: tuple[str, ...]
    shares: tuple[float, ...]
    errors: tuple[float, ...]
    near: tuple[str, ...]

    @property
    def share(self) -> dict[str, float]:
        """Share of resamples that choose a tap, by tap."""
        return dict(zip(self.taps, self.shares, strict=True))

    @property
    def words(self) -> str:
        """Name the near taps: ``any of block04 to block08``; ``block04 alone``."""
        return f"any of {runs(self.near, self.taps)}" if len(self.near) > 1 else f"{self.chosen.tap} alone"


@once
def reselect(subject: Subject, fraction: str, pairs: Pairs) -> Reselection | None:
    """Choose again on every resample of the validation samples, which are the same for all taps.

    Returns:
        None with fewer than two candidates, or if a record (of an older version) has no resamples.
    """
    found = candidates(subject, fraction)
    resampled = [pairs.resamples(subject.taps[one.tap], fraction) for one in found]
    known = [one for one in resampled if one is not None]
    if len(found) < 2 or len(known) < len(found) or len({len(one) for one in known}) > 1:
        return None
    turned, losses = sign(found[0].score) * np.stack(known), losses_of(found)
    best, errors, near = near_best([sign(one.score) * one.val_score for one in found], losses, turned)
    counts = np.bincount(chosen_each(turned, losses), minlength=len(found))
    return Reselection(
        found[best],
        tuple(one.tap for one in found),
        tuple((counts / counts.sum()).tolist()),
        tuple(errors.tolist()),
        tuple(one.tap for one, kept in zip(found, near, strict=True) if kept),
    )


def runs(some: Sequence[str], taps: Sequence[str]) -> str:
    """Some of the taps in words, three and more neighbours as one run: ``embed, block04 to block08``."""
    groups: list[list[str]] = []
    for tap in taps:
        if tap in some:
            neighbour = bool(groups) and taps.index(groups[-1][-1]) == taps.index(tap) - 1
            groups[-1].append(tap) if neighbour else groups.append([tap])
    parts = [[f"{group[0]} to {group[-1]}"] if len(group) > 2 else group for group in groups]
    return ", ".join(part for group in parts for part in group)


@once
def selected_difference(subject: Subject, base: str, fraction: str, pairs: Pairs) -> Difference | None:
    """Test score of the chosen tap minus that of a fixed one, with an interval that includes how the tap was chosen.

    Without per-item outcomes of all re-selected taps the interval rests on the chosen tap's own and on the scores of
    the others. Without resamples the choice is taken as given. For cross-validated data, the outcomes are those of the
    taps that the folds chose, so that they contain the choice.

    Returns:
        None where validation chooses nothing, or the base has no score.
    """
    found = candidates(subject, fraction)
    if not found or subject.score(base, fraction) is None:
        return None
    chosen, end = best_of(found), subject.taps[base]
    if subject.nested is not None and fraction in subject.nested.choices:
        return pairs.difference(subject.nested.record, end, fraction)
    own = pairs.difference(subject.taps[chosen.tap], end, fraction)
    again = reselect(subject, fraction, pairs)
    if again is None or own.low is None:
        return own
    taps = {tap: share for tap, share in again.share.items() if share > 0}
    records, shares = [subject.taps[tap] for tap in taps], list(taps.values())
    if any(record.outcomes_sha256 is None for record in (*records, end)):
        each = [Difference(record.scores[fraction].value - end.scores[fraction].value) for record in records]
        return with_selection(own, each, shares, None)
    each = [pairs.difference(record, end, fraction) for record in records]
    return with_selection(own, each, shares, pairs.mean_difference([(one, end, fraction) for one in records], shares))


def with_selection(
    own: Difference, each: Sequence[Difference], shares: Sequence[float], mean: Difference | None
) -> Difference:
    """Return the gain of the chosen tap with an interval that includes the choice.

    Validation and test samples are independent. A proportion w_t of the validation resamples chooses tap t, whose gain
    on the test samples is g_t. The variance of the gain of the chosen tap is that of the mean gain, sum w_t g_t, over
    test samples, plus that of g_t over the re-selected taps: test noise that taps do not share makes the first smaller
    and the second larger by the same amount, and is counted once. It is at least the mean of the variances of the g_t,
    and at least that of the chosen tap's own gain. ``docs/intervals.md`` has the coverage.

    Args:
        own: gain of the chosen tap, with its paired interval.
        each: gain of every re-selected tap.
        shares: proportion of the resamples that choose it.
        mean: their weighted mean with its paired interval; None if outcomes are unknown: the variance over test samples
            is then that of ``own``.
    """
    if len(each) < 2:
        return own
    gains, weights = np.array([one.value for one in each]), np.array(shares)
    between = t_quantile((1 + LEVEL) / 2, math.inf) ** 2 * float(weights @ np.square(gains - weights @ gains))
    least, freedom = _half(own) ** 2 + between, own.freedom
    if mean is not None and all(one.low is not None for one in (*each, mean)):
        within = sum(share * _half(one) ** 2 for share, one in zip(shares, each, strict=True))
        least, freedom = max(within, _half(mean) ** 2 + between), min(own.freedom, mean.freedom)
    added = math.sqrt(max(least - _half(own) ** 2, 0.0))
    below, above = (math.hypot(reach, added) for reach in _reach(own))
    return Difference(own.value, own.value - below, own.value + above, freedom)


def _half(difference: Difference) -> float:
    return sum(_reach(difference)) / 2


def _reach(difference: Difference) -> tuple[float, float]:
    if difference.low is None or difference.high is None:
        raise ContractError(
            f"found the difference {difference.value:.4g} without an interval, expected one with an interval; give "
            "scores with per-sample outcomes"
        )
    return difference.value - difference.low, difference.high - difference.value
