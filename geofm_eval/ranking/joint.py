"""Ranks of scores that err together: parametric resamples, median ranks with intervals, and probabilities."""

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

AT_ONCE = 500
"""Resamples whose subjects are compared pair by pair at once: those of all together would fill the memory."""

ROUNDING = 1e-12
"""Share of the largest eigenvalue of a covariance below which one is none."""

EQUAL = 1e-9
"""Scores closer than this are equal: rounding alone sets them apart."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of k subjects; 1 is best.

    Args:
        median: (k,) median rank over the resamples, ties sharing the mean of the ranks that they take.
        low: (k,) lower end of its interval.
        high: (k,) upper end.
        best: (k,) probability of being best; those that share the first rank share it.
        above: (k, k) probability of the row's subject being above the column's, ties counting half.
    """

    median: Floats
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    best: Floats
    above: Floats


def resample_scores(
    values: Sequence[float], scores: Sequence[tuple[Source, ...]], resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Draw what k true scores may be, given the measured ones and the sources of their errors.

    Every source adds a deviation of its own: multivariate t with the covariance that its units give the k scores
    and its own degrees of freedom, since the variance of few units is itself uncertain. This is a bootstrap over
    items crossed with draws or seeds, in its parametric form: scores with a source in common get the same resamples of
    it, hence paired differences, and five groups or three seeds get the tails that a percentile bootstrap lacks.

    Args:
        values: (k,) measured scores, more being better.
        scores: of each the sources of its error.
        resamples: number of resamples.
        seed: the same for the same settings.

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
    """How sure a weighted sum of scores is, such as a mean of differences over settings.

    Of every source the parts are summed with the weights of their scores, so that what scores have in common stays in
    it. Degrees of freedom of units follow from how uneven their sums are, and are joined as in
    :func:`geofm_eval.stats.standard_error.joined`.

    Args:
        weights: (k,).
        scores: of each the sources of its error.
    """
    sums: dict[str, Source] = {}
    for weight, own in zip(weights, scores, strict=True):
        for source in own:
            scaled = replace(source, parts=weight * source.parts, mixed=weight * source.mixed)
            sums[source.name] = _added(sums[source.name], scaled) if source.name in sums else scaled
    draws, units = ([one for one in sums.values() if one.drawn is drawn] for drawn in (True, False))
    variances = [(float(np.square(one.parts).sum()), uneven_freedom(one.parts)) for one in units]
    return joined(
        (sum(variance for variance, _ in variances), joint_freedom(variances)),
        [(float(np.square(one.parts).sum()), one.freedom) for one in draws],
        sum(float(np.square(one.mixed).sum()) for one in draws),
    )


def weighted_interval(value: float, weights: Sequence[float], scores: Sequence[tuple[Source, ...]]) -> Difference:
    """A weighted sum of scores with its 95 % interval: Student's t around ``value``, which is the sum itself."""
    if not any(scores):
        return Difference(value, value, value)
    spread = weighted_spread(weights, scores)
    half = spread.half_width(LEVEL)
    return Difference(value, value - half, value + half, spread.tails)


def _added(one: Source, other: Source) -> Source:
    """Add two scores' parts of one source; draws have the same degrees of freedom in both."""
    return replace(one, parts=one.parts + other.parts, mixed=one.mixed + other.mixed)


def ranks(drawn: Floats, level: float = RANK_LEVEL) -> Ranks:
    """Ranks of subjects over resamples of their scores.

    An interval runs from the best rank that ties leave open to the worst: where all subjects are equal in every
    resample, it is [1, k] for all of them.

    Args:
        drawn: (resamples, k) scores, more being better.
        level: nominal coverage of the intervals.
    """
    first, last, above = _placed(drawn, EQUAL * (1 + float(np.median(np.abs(drawn)))))
    tail = (1 - level) / 2
    lead = (first == 1) / (first == 1).sum(1, keepdims=True)
    return Ranks(
        median=np.asarray(np.median((first + last) / 2, axis=0), dtype=np.float64),
        low=np.quantile(first, tail, axis=0, method="inverted_cdf").astype(np.int64),
        high=np.quantile(last, 1 - tail, axis=0, method="inverted_cdf").astype(np.int64),
        best=np.asarray(lead.mean(0), dtype=np.float64),
        above=np.asarray(above, dtype=np.float64),
    )


def _placed(drawn: Floats, tie: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return (resamples, k) best and worst ranks within ties, and (k, k) probability of being above, ties half."""
    count, subjects = drawn.shape
    first, last = (np.empty(drawn.shape, dtype=np.int64) for _ in range(2))
    behind, ahead = (np.zeros((subjects, subjects), dtype=np.int64) for _ in range(2))
    for start in range(0, count, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        gap = drawn[part, :, None] - drawn[part, None, :]
        lower, higher = gap < -tie, gap > tie
        first[part], last[part] = 1 + lower.sum(2), subjects - higher.sum(2)
        behind += lower.sum(0)
        ahead += higher.sum(0)
    return first, last, ahead / count + (1 - ahead / count - behind / count) / 2


def simultaneous_ranks(subjects: Sequence[str], worse: Mapping[tuple[str, str], bool]) -> dict[str, tuple[int, int]]:
    """Ranks that hold for all k subjects together: from 1 + those clearly better to k - those clearly worse.

    ``worse[a, b]`` says that b is clearly worse than a, adjusted over all pairs; absent pairs are not.
    """
    found = {}
    for name in subjects:
        better = sum(worse.get((other, name), False) for other in subjects)
        lesser = sum(worse.get((name, other), False) for other in subjects)
        found[name] = 1 + better, len(subjects) - lesser
    return found
