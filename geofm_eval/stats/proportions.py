"""Intervals of shares of right items, and of their differences, near their bounds too and for dependent items.

A t interval around a share fails where few items are wrong, one around a difference where few items tell two subjects
apart. Score intervals ask instead which true values the data do not contradict. They are made for independent items;
dependent ones (groups, draws) count as the number of independent items that would have the same variance.
"""

import math
from collections.abc import Callable

import numpy as np

from geofm_eval.stats.jackknife import Floats, Interval, t_quantile
from geofm_eval.stats.standard_error import Spread, student

FEW = 5
"""Fewer items than this in favour of one of two subjects make a t interval of their difference unreliable."""

HALVINGS = 60
"""Steps of a bisection, which leave less than rounding does."""


def share_interval(outcomes: Floats, spread: Spread, level: float, covers: str) -> Interval:
    """Wilson's interval of a share (1927): every p with (p_hat - p)^2 <= t^2 p (1 - p) / n, n independent items.

    Args:
        outcomes: (draws, n) in [0, 1], not all 0 and not all 1.
        spread: of their mean.
        level: nominal coverage.
        covers: what varies.
    """
    share = float(outcomes.mean())
    ratio = _per_independent(share * (1 - share), outcomes, spread, level)
    middle = (share + ratio / 2) / (1 + ratio)
    half = math.sqrt(share * (1 - share) * ratio + ratio**2 / 4) / (1 + ratio)
    return Interval(middle - half, middle + half, level, f"Wilson score interval over {covers}", covers, spread.tails)


def difference_interval(outcomes: Floats, spread: Spread, level: float, covers: str) -> Interval:
    """Interval of the mean of differences: Student's t, or Tango's (1998) where few items favour one of the two.

    Tango's holds every d with (d_hat - d)^2 <= t^2 (q(d) - d^2) / n: q(d) is the share of items that tell the two
    apart, at its most likely value if d is the true difference.

    Args:
        outcomes: (draws, n) in [-1, 1], not all 0, not all 1 and not all -1.
        spread: of their mean.
        level: nominal coverage.
        covers: what varies.
    """
    for_first, for_second = float(np.maximum(outcomes, 0).mean()), float(np.maximum(-outcomes, 0).mean())
    value = float(outcomes.mean())
    if min(for_first, for_second) * outcomes.shape[1] >= FEW and spread.variance > 0:
        return student(value, spread, level, f"t interval, jackknife over {covers}", covers)
    ratio = _per_independent(for_first + for_second - value**2, outcomes, spread, level)

    def outside(difference: float) -> bool:
        likely = _discordant(for_first, for_second, difference)
        return (value - difference) ** 2 > ratio * (likely - difference**2)

    low, high = _edge(value, -1.0, outside), _edge(value, 1.0, outside)
    return Interval(low, high, level, f"Tango score interval over {covers}", covers, spread.tails)


def _per_independent(variance: float, outcomes: Floats, spread: Spread, level: float) -> float:
    """Squared t quantile over the number of independent items that an estimate is worth.

    ``variance`` is that of one item. Where all units of ``outcomes`` (draws, n) are alike, as if nothing varied, every
    outcome counts as one.
    """
    of_mean = spread.variance if spread.variance > 0 else variance / outcomes.size
    return t_quantile((1 + level) / 2, spread.freedom) ** 2 * of_mean / variance


def _discordant(first: float, second: float, difference: float) -> float:
    """Most likely proportion of items that tell two subjects apart, if they differ by ``difference`` (Tango 1998)."""
    linear = (2 - first + second) * difference - first - second
    for_second = (math.sqrt(max(linear**2 + 8 * second * difference * (1 - difference), 0.0)) - linear) / 4
    return 2 * for_second + difference


def _edge(inside: float, bound: float, outside: Callable[[float], bool]) -> float:
    """End of an interval that holds ``inside``, on the way to ``bound``."""
    near, far = inside, bound
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if outside(middle) else (middle, far)
    return near
