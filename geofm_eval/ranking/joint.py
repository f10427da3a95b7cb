"""Ranks of scores with correlated errors: parametric resamples, median ranks with intervals, and probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.ranking.sources import Source, joint_covariance
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import Floats, joint_freedom
from geofm_eval.stats.standard_error import Spread, joined, uneven_freedom

RANK_LEVEL = 0.90
"""Nominal coverage of rank intervals."""

RESAMPLES = 10_000

AT_ONCE = 1000
"""Resamples in which one subject is compared with all others at a time, which limits memory."""

ROUNDING = 1e-12
"""Eigenvalues of a covariance below this proportion of the largest one count as 0."""

EQUAL = 1e-9
"""Scores closer than this differ by rounding only."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of k subjects over resamples; 1 is best.

    ``median`` (k,) has intervals from ``low`` to ``high``, and ties share the mean of their ranks. ``best`` (k,) is the
    probability of being best, split between ties; ``above`` (k, k) that of the row's subject being above the column's,
    where ties count half.
    """

    median: Floats
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    best: Floats
    above: Floats


def resample_scores(
    values: Sequence[float], scores: Sequence[tuple[Source, ...]], resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Draw k true scores, given the measured ones and the sources of their errors.

    Every source adds a deviation: multivariate t with the covariance that its units give the k scores and its own
    degrees of freedom, because a variance from few units is uncertain. This is a parametric bootstrap over samples
    crossed with draws or seeds: scores share the resamples of a common source, so differences are paired, and five
    groups or three seeds have the tails that a percentile bootstrap lacks.

    Args:
        values: (k,) measured scores, higher is better.
        scores: sources of the error of each.
        resamples: number of resamples.
        seed: equal for the same settings.

    Returns:
        (resamples, k).

    Raises:
        ContractError: not one tuple of sources per score, or a score that is not finite.
    """
    centre = np.asarray(values, dtype=np.float64)
    if len(centre) != len(scores) or not np.isfinite(centre).all():
        raise ContractError(f"expected {len(scores)} finite scores, one per tuple of sources, found {list(values)}")
    rng = np.random.default_rng([seed, len(centre)])
    drawn = np.tile(centre, (resamples, 1))
    for places, covariance, freedom in joint_covariance(scores):
        strength, directions = np.linalg.eigh(covariance)
        # Rounding leaves what equal scores differ by a strength of this order instead of none.
        root = directions * np.sqrt(np.where(strength > ROUNDING * strength[-1], strength, 0.0))
        normal = rng.standard_normal((resamples, len(places))) @ root.T
        drawn[:, places] += normal / np.sqrt(rng.chisquare(freedom, (resamples, 1)) / freedom)
    return drawn


def weighted_spread(weights: Sequence[float], scores: Sequence[tuple[Source, ...]]) -> Spread:
    """Return the variance of a weighted sum of scores, for example a mean of differences over settings.

    The parts of every source are summed with the ``weights`` (k,) of their scores, which keeps common errors. Degrees
    of freedom of units follow from the unevenness of their sums, see :func:`geofm_eval.stats.standard_error.joined`.
    """
    sums: dict[str, Source] = {}
    for weight, own in zip(weights, scores, strict=True):
        for source in own:
            known = sums.get(source.name)
            parts, mixed = weight * source.parts, weight * source.mixed
            if known is not None:
                # Draws have the same degrees of freedom in all scores.
                source, parts, mixed = known, known.parts + parts, known.mixed + mixed
            sums[source.name] = replace(source, parts=parts, mixed=mixed)
    draws, units = ([one for one in sums.values() if one.drawn is drawn] for drawn in (True, False))
    variances = [(float(np.square(one.parts).sum()), uneven_freedom(one.parts)) for one in units]
    return joined(
        (sum(variance for variance, _ in variances), joint_freedom(variances)),
        [(float(np.square(one.parts).sum()), one.freedom) for one in draws],
        sum(float(np.square(one.mixed).sum()) for one in draws),
    )


def weighted_interval(value: float, weights: Sequence[float], scores: Sequence[tuple[Source, ...]]) -> Difference:
    """Return a weighted sum of scores, ``value``, with its 95 % t interval."""
    if not any(scores):
        return Difference(value, value, value)
    spread = weighted_spread(weights, scores)
    half = spread.half_width(LEVEL)
    return Difference(value, value - half, value + half, spread.tails)


def ranks(drawn: Floats, level: float = RANK_LEVEL) -> Ranks:
    """Return the ranks of subjects over resamples of their scores.

    Intervals include all ranks that ties leave open: if all subjects are equal in every resample, they are [1, k].

    Args:
        drawn: (resamples, k) scores, higher is better.
        level: nominal coverage of the intervals.
    """
    first, last, above = _placed(drawn, EQUAL * (1 + float(np.median(np.abs(drawn)))))
    tail, leads = (1 - level) / 2, first == 1
    lead = np.ascontiguousarray((leads / leads.sum(0)).T)
    return Ranks(
        median=np.asarray(np.median(first + last, axis=1) / 2, dtype=np.float64),
        low=np.quantile(first, tail, axis=1, method="inverted_cdf").astype(np.int64),
        high=np.quantile(last, 1 - tail, axis=1, method="inverted_cdf").astype(np.int64),
        best=np.asarray(lead.mean(0), dtype=np.float64),
        above=np.asarray(above, dtype=np.float64),
    )


def _placed(drawn: Floats, tie: float) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return (k, resamples) best and worst ranks within ties, and (k, k) probability of being above, ties half."""
    count, subjects = drawn.shape
    scores = np.ascontiguousarray(drawn.T)
    first, last = np.ones(scores.shape, dtype=np.int32), np.full(scores.shape, subjects, dtype=np.int32)
    behind = np.zeros((subjects, subjects), dtype=np.int64)
    for start in range(0, count, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        for place, own in enumerate(scores[:, part]):
            lower = own - scores[:, part] < -tie
            first[place, part] += lower.sum(0, dtype=np.int32)
            last[:, part] -= lower
            behind[place] += np.count_nonzero(lower, axis=1)
    ahead = behind.T
    return first, last, ahead / count + (1 - ahead / count - behind / count) / 2


def simultaneous_ranks(subjects: Sequence[str], worse: Mapping[tuple[str, str], bool]) -> dict[str, tuple[int, int]]:
    """Return ranks that hold for all k subjects together: from 1 + number clearly better to k - number clearly worse.

    ``worse[a, b]``: b is clearly worse than a, adjusted over all pairs. Absent pairs do not differ clearly.
    """
    found = {}
    for name in subjects:
        better = sum(worse.get((other, name), False) for other in subjects)
        lesser = sum(worse.get((name, other), False) for other in subjects)
        found[name] = 1 + better, len(subjects) - lesser
    return found
