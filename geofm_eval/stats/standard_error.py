"""Standard errors from units and draws, their degrees of freedom, and t intervals.

A score is measured under several label draws (or training seeds) on several units: samples, images, or groups of them.
Units and draws are considered random and crossed. The variance of the units is that of the jackknife of the mean over
draws (Efron and Tibshirani 1993, chapter 11). The variance of the draws is that of their mean, minus the interaction of
draw and unit, which the jackknife already contains. Measured coverage is in ``docs/intervals.md``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from geofm_eval.stats.jackknife import Floats, Interval, joint_freedom, t_quantile

DRAWS_COUNT = 6
"""Weight of the variance between draws for the degrees of freedom, relative to its weight for the error.

Three draws often agree by chance. Satterthwaite's formula then treats the error as if it were known from the many
units, and a nominal 95 % interval covers 92 %. With this weight it covers 94 to 97 %, for any proportion of the draws.
"""

TAILS_COUNT = 20
"""Weight for the tails, including the interaction of draw and unit; with less, 10 % of null families are rejected."""


@dataclass(frozen=True)
class Part:
    """A score under several draws: ``scores`` (draws,) and ``without`` (draws, units), each unit left out.

    The mean over the draws enters the estimate with ``weight``.
    """

    weight: float
    scores: Floats
    without: Floats


@dataclass(frozen=True)
class Spread:
    """Variance of an estimate, degrees of freedom of its 95 % interval, and ``tails``, those of p-values beyond it."""

    variance: float
    freedom: float
    tails: float

    def half_width(self, level: float) -> float:
        """Return half the width of a t interval."""
        return t_quantile((1 + level) / 2, self.freedom) * math.sqrt(self.variance)


def spread_of(parts: Sequence[Part], even: bool = False) -> Spread | None:
    """Return the variance of a weighted sum of mean scores over the same units, each with its own draws.

    Args:
        parts: at least one part, each with the same two or more units.
        even: whether units have equal influence and hence units - 1 degrees of freedom; otherwise these are computed
            from the unevenness of their influence.

    Returns:
        None if a score is not finite, with all units or without one of them.
    """
    if not all(np.isfinite(part.scores).all() and np.isfinite(part.without).all() for part in parts):
        return None
    count = parts[0].without.shape[1]
    without = reduce(add, [part.weight * part.without.mean(0) for part in parts])
    deviation = without - without.mean()
    units = (count - 1) / count * float(np.square(deviation).sum())
    draws, mixed = [], 0.0
    for part in parts:
        number = len(part.scores)
        if number > 1:
            draws.append((part.weight**2 * float(part.scores.var(ddof=1)) / number, number - 1.0))
            left = part.without - part.without.mean(1, keepdims=True)
            left = left - left.mean(0)
            factor = part.weight**2 * (count - 1) / (count * number * (number - 1))
            mixed += factor * float(np.square(left).sum())
    return joined((units, count - 1.0 if even else uneven_freedom(deviation)), draws, mixed)


def joined(units: tuple[float, float], draws: Sequence[tuple[float, float]], mixed: float = 0.0) -> Spread:
    """Variance of units and draws together, each given with its degrees of freedom.

    ``mixed`` is what the noise of draw and unit together adds to the variances of the means over draws.
    """
    together = sum(variance for variance, _ in draws)
    if together == 0:
        return Spread(*units, units[1])
    between, of_draws = max(together - mixed, 0.0), joint_freedom(draws)
    freedom = joint_freedom([units, (DRAWS_COUNT * between, of_draws)])
    tails = joint_freedom([units, (TAILS_COUNT * together, of_draws)])
    return Spread(units[0] + between, freedom, min(freedom, tails))


def uneven_freedom(deviation: Floats) -> float:
    """Return the degrees of freedom of a sum of squares of ``deviation`` (g,): 2 g / (kurtosis - 1), at most g - 1.

    The relative variance of a variance estimated from g units is (kurtosis - 1) / g. With heavy tails, a rare class or
    groups of very different sizes, few units dominate it. The deviations have mean 0.
    """
    count, second = len(deviation), float(np.square(deviation).mean())
    # Divided first, because the square of a tiny spread would underflow.
    kurtosis = float(np.square(np.square(deviation) / second).mean()) if second > 0 else 1.0
    return float(min(count - 1, 2 * count / (kurtosis - 1) if kurtosis > 1 else math.inf))


def student(
    value: float, spread: Spread, level: float, method: str, covers: str, scale: "Scale | None" = None
) -> Interval:
    """Return a t interval around an estimate, symmetric on ``scale`` if given."""
    half = spread.half_width(level)
    low, high = (value - half, value + half) if scale is None or half == 0 else scale.ends(value, half)
    return Interval(low, high, level, method, covers, spread.tails)


@dataclass(frozen=True)
class Scale:
    """A scale on which the error of a bounded score is nearly symmetric: ``to``, its inverse ``back`` and ``slope``."""

    name: str
    to: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]

    def ends(self, value: float, half: float) -> tuple[float, float]:
        """Return the ends of an interval with half width ``half`` on the score's own scale (delta method)."""
        middle, reach = self.to(value), half * self.slope(value)
        return self.back(middle - reach), self.back(middle + reach)


FARTHEST = 700.0
"""Largest exponent without overflow."""

LOGIT = Scale(
    "logit",
    lambda share: math.log(share / (1 - share)),
    lambda logit: 1 / (1 + math.exp(min(-logit, FARTHEST))),
    lambda share: 1 / (share * (1 - share)),
)
"""Scale of proportions."""

LOG = Scale("log", math.log, lambda log: math.exp(min(log, FARTHEST)), lambda value: 1 / value)
"""Scale of errors, which have no upper bound."""
