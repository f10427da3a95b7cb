"""The rule of the gate, and the smallest drop that it finds.

From a difference (new minus old, more is better), its interval and ``delta``, the smallest difference that matters:

- regression: clearly below zero, and the estimate at least ``delta`` below it;
- improvement: clearly above zero, and the estimate at least ``delta`` above it;
- equivalent: the interval is within +-``delta``;
- undecided: anything else.

A rule that requires the whole interval to be below -``delta`` would find a third of true drops of 2 points, with 1,000
samples of which 4 % change; this rule finds nine tenths.
"""

from statistics import NormalDist
from typing import Literal

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.p_values import ALPHA

Verdict = Literal["regression", "improvement", "equivalent", "undecided"]

POWER = 0.8
"""Probability with which the smallest drop is found."""

REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Half the width of the narrowest interval, in standard errors."""

ROUNDING = 1e-9
"""Ten of a thousand items are one point, although .62 - .61 is a little less in binary numbers."""


def verdict_on_difference(difference: Difference, p: float | None, delta: float) -> Verdict:
    """Return the verdict on one difference.

    Args:
        difference: new minus old in the metric's own unit, more is better.
        p: adjusted two-sided p of no difference; None without an interval.
        delta: difference that matters, in the same unit.
    """
    if p is None or difference.low is None or difference.high is None:
        return "undecided"
    if p <= ALPHA and beyond(difference.value, delta):
        return "regression"
    if p <= ALPHA and beyond(-difference.value, delta):
        return "improvement"
    return "equivalent" if -delta < difference.low and difference.high < delta else "undecided"


def beyond(value: float, delta: float) -> bool:
    """Whether at least ``delta`` was lost; for ``value``, a difference, more is better."""
    return value <= ROUNDING - delta


def standard_error(difference: Difference) -> float | None:
    """Return the largest standard error of an interval: its longer half divided by the normal quantile.

    The degrees of freedom of a difference are those of its tails, which with few draws or seeds are far below those of
    its width: the quantile of the tails would give too small an error, by 40 % with three draws.
    """
    if difference.low is None or difference.high is None:
        return None
    half = max(difference.value - difference.low, difference.high - difference.value)
    return half / REACH


def chance_of_finding(drop: float, error: float, freedom: float, delta: float, tests: int = 1) -> float:
    """Return the probability that a true drop is called a regression.

    The estimate is assumed to be normal around the drop (positive, in the metric's own unit) with standard error
    ``error``. It is a regression from max(half width, ``delta``) on, with the interval widened for the smallest p of
    ``tests`` under Holm, with ``freedom`` degrees of freedom of the tails.
    """
    return NormalDist().cdf((drop - _threshold(error, freedom, delta, tests)) / error)


def smallest_found(error: float, freedom: float, delta: float, tests: int = 1, power: float = POWER) -> float:
    """Return the smallest drop that is found with probability ``power``: the inverse of :func:`chance_of_finding`.

    It is max(half width, delta) + z_power error. An estimate must reach the first term to be a regression; with the
    second, it falls short of the first by chance in ``1 - power`` of all runs.
    """
    return _threshold(error, freedom, delta, tests) + NormalDist().inv_cdf(power) * error


def _threshold(error: float, freedom: float, delta: float, tests: int) -> float:
    wider = t_quantile(1 - ALPHA / (2 * tests), freedom) / t_quantile((1 + LEVEL) / 2, freedom)
    return max(wider * REACH * error, delta)
