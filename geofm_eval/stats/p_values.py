"""From paired intervals to p-values, and Holm's adjustment of many of them."""

import math
from collections.abc import Sequence

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile

ALPHA = 1 - LEVEL


def p_value(difference: Difference, against: float = 0.0) -> float | None:
    """Two-sided p of a difference being ``against``, from its interval.

    The error is taken to follow a t distribution with the interval's degrees of freedom, whose standard error is the
    longer half of the interval over the quantile that an interval of this level reaches to. So p is at most .05 only
    where the interval leaves ``against`` out, and beyond that the tails are those of the few groups or seeds that the
    interval rests on.

    Returns:
        None without an interval. An interval without width says that the difference is exactly this: p is then 1 or 0.
    """
    if difference.low is None or difference.high is None:
        return None
    half = max(difference.value - difference.low, difference.high - difference.value)
    distance = abs(difference.value - against)
    if half <= 0:
        return 1.0 if distance == 0 else 0.0
    return t_tails(distance / half * t_quantile((1 + LEVEL) / 2, difference.freedom), difference.freedom)


def p_above(difference: Difference, against: float = 0.0) -> float | None:
    """One-sided p of a difference being ``against`` or less, from the same t distribution as :func:`p_value`.

    Returns:
        None without an interval. An interval without width says that the difference is exactly this: p is then 0 where
        it exceeds ``against``, else 1.
    """
    p = p_value(difference, against)
    if p is None:
        return None
    if difference.low == difference.high:
        return float(difference.value <= against)
    return p / 2 if difference.value > against else 1 - p / 2


def p_below(difference: Difference, against: float = 0.0) -> float | None:
    """One-sided p of a difference being ``against`` or more; see :func:`p_above`."""
    return p_above(difference.times(-1), -against)


def t_tails(statistic: float, freedom: float) -> float:
    """Probability beyond +-``statistic`` under Student's t; under the normal with infinite degrees of freedom."""
    from scipy.special import ndtr, stdtr  # loaded here, as in resampling

    return 2 * float(ndtr(-abs(statistic)) if math.isinf(freedom) else stdtr(freedom, -abs(statistic)))


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those up to .05 hold together with an error in 5 % of families at most (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, and none is smaller than one before it.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted
