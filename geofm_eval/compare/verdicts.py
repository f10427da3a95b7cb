"""The rule of the gate, and how small a drop it finds.

With a difference (new minus old, turned so that more is better), its interval and the smallest difference that matters:

- regression: clearly below zero, and the estimate at least ``delta`` below it;
- improvement: clearly above zero, and the estimate at least ``delta`` above it;
- equivalent: the interval lies within +-``delta``;
- undecided: anything else.

To ask for an interval that lies wholly below -``delta`` would be stricter and nearly blind: of true drops of 2 points,
with 1,000 items of which 4 % change, it finds a third where this rule finds nine tenths.
"""

from statistics import NormalDist
from typing import Literal

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.p_values import ALPHA

Verdict = Literal["regression", "improvement", "equivalent", "undecided"]

POWER = 0.8
"""Probability at which the smallest drop that is found is given."""

REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Standard errors that half an interval is as wide as, if it is as narrow as one can be."""

ROUNDING = 1e-9
"""Ten of a thousand items are one point, although .62 - .61 is a little less in binary numbers."""


def decide(difference: Difference, p: float | None, delta: float) -> Verdict:
    """Verdict on one difference.

    Args:
        difference: new minus old in the metric's own unit, turned so that more is better.
        p: two-sided p of no difference, adjusted for what is tested with it; None without an interval.
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
    """Whether at least ``delta`` was lost; ``value`` is a difference turned so that more is better."""
    return value <= ROUNDING - delta


def standard_error(difference: Difference) -> float | None:
    """Standard error of an interval: its longer half over the normal quantile, the most that it can be.

    The freedom of a difference is that of its tails, which with few draws or seeds is far below the one that the width
    goes by: over the quantile of the tails the error would come out too small, by 40 % with three draws.
    """
    if difference.low is None or difference.high is None:
        return None
    half = max(difference.value - difference.low, difference.high - difference.value)
    return half / REACH


def chance_of_finding(drop: float, error: float, freedom: float, delta: float, tests: int = 1) -> float:
    """Probability that a true drop is called a regression.

    The estimate is taken to lie around the drop normally with standard error ``error``. It is a regression from
    max(half width, delta) on, where the interval is widened by what the smallest p of ``tests`` has to pass under Holm.

    Args:
        drop: in the metric's own unit, positive.
        error: standard error, positive.
        freedom: degrees of freedom of the tails.
        delta: difference that matters.
        tests: differences that are tested together.
    """
    return NormalDist().cdf((drop - _threshold(error, freedom, delta, tests)) / error)


def smallest_found(error: float, freedom: float, delta: float, tests: int = 1, power: float = POWER) -> float:
    """Smallest drop that is found with probability ``power``: the inverse of :func:`chance_of_finding`.

    It is max(half width, delta) + z_power error. The first part is what an estimate must reach to be a regression; the
    second what keeps the estimate from falling short of it by chance more often than in ``1 - power`` of all runs.
    """
    return _threshold(error, freedom, delta, tests) + NormalDist().inv_cdf(power) * error


def _threshold(error: float, freedom: float, delta: float, tests: int) -> float:
    wider = t_quantile(1 - ALPHA / (2 * tests), freedom) / t_quantile((1 + LEVEL) / 2, freedom)
    return max(wider * REACH * error, delta)
