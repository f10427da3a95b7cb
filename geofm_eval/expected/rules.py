"""Widths of ranges: at least one decision, and a tolerance interval for trained cases.

Trained cases: the normal tolerance interval of Howe (1969, JASA 64) for the mean over m seeds, with variances pooled
over sibling cases (Smyth 2004, Statistical Applications in Genetics 3). scipy is imported only where it is needed.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geofm_eval.errors import ContractError
from geofm_eval.metric import metric_named

SEEDS = 3
"""Default number of seeds; lo and hi in a file hold for the mean over this number."""

FAMILY_ALARM = 0.05
"""Proportion of runs that may raise any false alarm."""

FAMILY_CASES = 100
"""Largest number of trained cases for which this holds; suite ``bench`` has 15."""

CONFIDENCE = 0.95
"""Confidence that a tolerance interval contains the stated proportion."""

FEWEST_SEEDS = 8
"""Minimum number of seeds; fewer are enough if siblings lend as many degrees of freedom."""

FINEST = 15
"""Maximum number of decimals; later ones are rounding errors in any unit."""


@dataclass(frozen=True)
class Pooled:
    """Pooled standard deviation of one seed, on the working scale.

    ``spread`` is s~ = sqrt((d0 s0^2 + nu s^2) / (d0 + nu)), ``freedom`` d0 + nu, at most that of all siblings together.
    """

    spread: float
    freedom: float


def to_scale(value: float, metric: str, items: int) -> float:
    """Return a score on the working scale: logit p, -log(1 - R2), or log of an error; increasing in the score.

    Proportions of 0 and 1 of n samples are replaced by 1/(2n) and 1 - 1/(2n), because the logit of a bound is infinite.

    Raises:
        ContractError: the metric is unknown.
    """
    kind, least = metric_named(metric).range_scale, 1 / (2 * items)
    if kind == "logit":
        share = min(max(value, least), 1 - least)
        return math.log(share / (1 - share))
    if kind == "unexplained":
        return -math.log(max(1 - value, least))
    return math.log(max(value, 1e-12))


def from_scale(value: float, metric: str) -> float:
    """The inverse of :func:`to_scale`."""
    kind = metric_named(metric).range_scale
    if kind == "logit":
        return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
    return 1 - math.exp(-value) if kind == "unexplained" else math.exp(value)


def howe_factor(n: int, freedom: float, content: float, seeds: int, confidence: float = CONFIDENCE) -> float:
    """Return Howe's factor k for the mean over ``seeds`` new seeds: mean +- k s.

    k = z_{(1+P)/2} sqrt(nu (1/m + 1/n) / chi2_{1-gamma, nu}); m = 1 is Howe's own formula.

    Args:
        n: number of seeds in the mean.
        freedom: nu, degrees of freedom of s.
        content: P, the proportion of new means in the interval.
        seeds: m.
        confidence: gamma.
    """
    from scipy.special import chdtri, ndtri

    # chdtri takes the upper tail: the quantile with gamma above it is chi2_{1-gamma}.
    ratio = 1.0 if math.isinf(freedom) else freedom / float(chdtri(freedom, confidence))
    return float(ndtri((1 + content) / 2)) * math.sqrt(ratio * (1 / seeds + 1 / n))


@functools.cache
def content_of(cases: int = FAMILY_CASES, alarm: float = FAMILY_ALARM) -> float:
    """Return P of one case such that ``cases`` of them raise any false alarm in a proportion ``alarm`` of runs.

    An alarm needs two means outside: over m seeds, and over these and m fresh ones. In units of their own errors, the
    two means correlate by sqrt(1/2). P = 2 Phi(c) - 1 with c from P(|Z1| > c, |Z2| > c) = alarm / cases.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    limit = brentq(lambda c: both_outside(c) - alarm / cases, 0.0, 10.0, xtol=1e-10)
    return float(2 * ndtr(limit) - 1)


def both_outside(limit: float) -> float:
    """Return P(|Z1| > c and |Z2| > c) of two standard normals with correlation sqrt(1/2), integrated over the first."""
    from scipy.integrate import quad
    from scipy.special import ndtr

    def density(z: float) -> float:
        mean, deviation = z * math.sqrt(0.5), math.sqrt(0.5)
        outside = ndtr((mean - limit) / deviation) + ndtr((-limit - mean) / deviation)
        return float(outside * math.exp(-z * z / 2) / math.sqrt(2 * math.pi))

    return 2 * float(quad(density, limit, limit + 12, epsabs=1e-12)[0])


def pooled(variance: float, freedom: int, siblings: Sequence[tuple[float, int]]) -> Pooled:
    """Shrink the variance of a case towards that of its siblings by empirical Bayes.

    Prior degrees of freedom d0 and variance s0^2 match the moments of log s^2 over the siblings, including the case
    (Smyth 2004, section 6.2). If the variances differ no more than by chance, all cases get s0^2. A case without
    siblings keeps its own. The freedom is at most that of all siblings together, as in limma.

    Args:
        variance: s^2 of the case.
        freedom: nu, its seeds minus one.
        siblings: (variance, freedom) of every sibling, including the case.

    Raises:
        ContractError: a case has only one seed.
    """
    if freedom < 1 or any(own < 1 for _, own in siblings):
        raise ContractError("a variance needs at least two seeds: train more with --seeds or --first-seed")
    if len(siblings) < 2:
        return Pooled(math.sqrt(variance), float(freedom))
    prior, centre = prior_of(siblings)
    spread = centre if math.isinf(prior) else (prior * centre + freedom * variance) / (prior + freedom)
    return Pooled(math.sqrt(spread), min(prior + freedom, float(sum(own for _, own in siblings))))


def prior_of(siblings: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return d0 and s0^2 of sibling variances; d0 is infinite if they differ no more than by chance."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import polygamma, psi

    variances = np.array([one for one, _ in siblings])
    half = np.array([own for _, own in siblings]) / 2
    middle = float(np.median(variances))
    if middle == 0:
        return math.inf, float(np.average(variances, weights=half))
    # One case whose seeds agree to the last digit must not decide, although the logarithm of 0 is infinite.
    logs = np.log(np.maximum(variances, 1e-5 * middle)) - psi(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= polygamma(1, 1e6):
        return math.inf, float(math.exp(logs.mean()))
    prior = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e6)
    return prior, float(math.exp(logs.mean() + psi(prior / 2) - math.log(prior / 2)))


def seed_range(
    mean: float, metric: str, items: int, found: Pooled, n: int, floor: float, seeds: int = SEEDS
) -> tuple[float, float]:
    """Return the range of the mean score over ``seeds`` seeds, in the metric's own unit.

    ``mean`` is over the ``n`` seeds that the range is set from, on ``items`` test samples; ``found`` is the pooled
    standard deviation of one seed on the working scale, and ``floor`` the minimum half width in the metric's own unit.
    """
    half = howe_factor(n, found.freedom, content_of(), seeds) * found.spread
    middle = to_scale(mean, metric, items)
    low, high = (from_scale(middle + sign * half, metric) for sign in (-1, 1))
    return outward(min(low, mean - floor), max(high, mean + floor))


def outward(low: float, high: float, digits: int = 7) -> tuple[float, float]:
    """Round both ends to ``digits`` significant digits, away from each other, so that no admitted score is lost."""
    return _rounded(low, digits, math.floor), _rounded(high, digits, math.ceil)


def _rounded(value: float, digits: int, towards: Callable[[float], int]) -> float:
    if value == 0:
        return 0.0
    places = min(digits - 1 - math.floor(math.log10(abs(value))), FINEST)
    return float(f"{towards(value * 10.0**places)}e{-places}")


def least_width(metric: str, value: float, decisions: int) -> float:
    """Return the minimum half width of a range: the change of a score by one decision.

    Args:
        metric: metric of the score.
        value: the score.
        decisions: number of test samples; for dense tasks of test tokens, because a decoder decides per token.

    Returns:
        1/n for accuracy and IoU, and for R2, because an average sample has 1/n of the squared errors; for an RMSE e the
        same proportion of the mean squared error, e / (2n).
    """
    return value / (2 * decisions) if metric_named(metric).in_target_unit else 1 / decisions
