"""P-values from paired intervals, and Holm's adjustment."""

import math
from collections.abc import Sequence
from functools import lru_cache

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile

ALPHA = 1 - LEVEL


def p_value(difference: Difference, against: float = 0.0) -> float | None:
    """Return the two-sided p of a difference being ``against``, from its interval.

    The error is assumed to follow a t distribution with the interval's degrees of freedom. Its standard error is the
    longer half of the interval divided by the quantile of its level. Hence p is at most .05 only if the interval
    excludes ``against``; below .05 the tails reflect the number of groups or seeds.

    Returns:
        None without an interval. With an interval of width zero the difference is exact, and p is 1 or 0.
    """
    if difference.low is None or difference.high is None:
        return None
    half = max(difference.value - difference.low, difference.high - difference.value)
    distance = abs(difference.value - against)
    if half <= 0:
        return 1.0 if distance == 0 else 0.0
    return t_tails(distance / half * t_quantile((1 + LEVEL) / 2, difference.freedom), difference.freedom)


def p_above(difference: Difference, against: float = 0.0) -> float | None:
    """Return the one-sided p of a difference being ``against`` or less, with the t distribution of :func:`p_value`.

    Returns:
        None without an interval. With an interval of width zero, p is 0 if the difference exceeds ``against``, else 1.
    """
    p = p_value(difference, against)
    if p is None:
        return None
    if difference.low == difference.high:
        return float(difference.value <= against)
    return p / 2 if difference.value > against else 1 - p / 2


def p_below(difference: Difference, against: float = 0.0) -> float | None:
    """Return the one-sided p of a difference being ``against`` or more; see :func:`p_above`."""
    return p_above(difference.times(-1), -against)


@lru_cache(maxsize=2**16)  # tables, findings and rankings ask the same of a difference
def t_tails(statistic: float, freedom: float) -> float:
    """Return the probability beyond +-``statistic`` under Student's t (normal for infinite degrees of freedom)."""
    from scipy.special import ndtr, stdtr  # imported here, as in jackknife

    return 2 * float(ndtr(-abs(statistic)) if math.isinf(freedom) else stdtr(freedom, -abs(statistic)))


def holm(values: Sequence[float]) -> list[float]:
    """Return adjusted p-values, which control the family-wise error rate (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, and is at least as large as the one before it.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted
