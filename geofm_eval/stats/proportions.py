"""Intervals of proportions of correct samples and of their differences, also near bounds and for dependent samples.

A t interval of a proportion is unreliable if few samples are wrong, and that of a difference if few samples are
discordant. Score intervals contain all values that the data do not contradict. They assume independent samples;
dependent ones (groups, draws) count as the number of independent samples with the same variance.
"""

import math
from collections.abc import Callable

import numpy as np

from geofm_eval.stats.jackknife import Floats, Interval, t_quantile
from geofm_eval.stats.standard_error import Spread, student

FEW = 5
"""With fewer samples than this in favour of either subject, a t interval of the difference is unreliable."""

HALVINGS = 60
"""Steps of a bisection, enough for rounding precision."""


def share_interval(outcomes: Floats, spread: Spread, level: float, covers: str) -> Interval:
    """Return Wilson's interval of a proportion (1927): every p with (p_hat - p)^2 <= t^2 p (1 - p) / n.

    Args:
        outcomes: (draws, n) in [0, 1], not all 0 and not all 1.
        spread: spread of their mean, which gives the number n of independent samples.
        level: nominal coverage.
        covers: sources of variation.
    """
    share = float(outcomes.mean())
    ratio = _per_independent(share * (1 - share), outcomes, spread, level)
    middle = (share + ratio / 2) / (1 + ratio)
    half = math.sqrt(share * (1 - share) * ratio + ratio**2 / 4) / (1 + ratio)
    return Interval(middle - half, middle + half, level, f"Wilson score interval over {covers}", covers, spread.tails)


def difference_interval(outcomes: Floats, spread: Spread, level: float, covers: str) -> Interval:
    """Return the interval of a mean difference: Student's t, or Tango's (1998) if few samples favour one subject.

    Tango's interval contains every d with (d_hat - d)^2 <= t^2 (q(d) - d^2) / n, where q(d) is the most likely
    proportion of discordant samples if d is the true difference.

    Args:
        outcomes: (draws, n) in [-1, 1], not all 0, not all 1 and not all -1.
        spread: spread of their mean, which gives the number n of independent samples.
        level: nominal coverage.
        covers: sources of variation.
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
