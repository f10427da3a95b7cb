"""From units and draws to a standard error, its degrees of freedom, and an interval with Student's t.

A score is measured under some label draws (or training seeds) on some units: items, images, or groups of them. Another
test split would have other units, another study other draws; both are taken to be random, crossed. The variance that
the units add is that of the jackknife of the mean over draws (Efron and Tibshirani 1993, chapter 11), what the draws
add is the variance of their mean, less the part of it that is noise of draw and unit together: the jackknife holds that
part already. ``docs/intervals.md`` has the coverage of everything that rests on this.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.stats.jackknife import Floats, Interval, joint_freedom, t_quantile

DRAWS_COUNT = 6
"""How much more the variance between draws weighs for the degrees of freedom than for the error.

Three draws often agree by chance. Satterthwaite's formula then takes the error to be as well known as that of the many
units, and a nominal 95 % interval covers 92 %; with this weight it covers 94 to 97 % whatever share the draws have.
"""

TAILS_COUNT = 20
"""The same for the tails, noise of draw and unit included: with less, one family of true nulls in ten is mistaken."""


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
        """Half the width of a t interval."""
        return t_quantile((1 + level) / 2, self.freedom) * math.sqrt(self.variance)


def spread_of(parts: Sequence[Part], even: bool = False) -> Spread | None:
    """Variance of a weighted sum of mean scores over the same units, each with draws of its own.

    Args:
        parts: at least one, each with the same two units or more.
        even: no unit is known to matter more than the others, so that units - 1 degrees of freedom hold; otherwise
            they follow from how uneven the influence of the units turns out to be.

    Returns:
        None where a score is not finite, or would not be without one of the units.
    """
    if not all(np.isfinite(part.scores).all() and np.isfinite(part.without).all() for part in parts):
        return None
    count = parts[0].without.shape[1]
    without = np.sum([part.weight * part.without.mean(0) for part in parts], axis=0)
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
    """Degrees of freedom of a sum of squares: 2 g / (kurtosis - 1), at most g - 1.

    A variance estimated from g units is as uncertain as their kurtosis makes it (its own variance is (kurtosis - 1) / g
    times its square): with heavy tails, a rare class or groups of very different sizes few units decide it.

    Args:
        deviation: (g,) what every unit adds, of mean 0.
    """
    count, second = len(deviation), float(np.square(deviation).mean())
    # Squared before it is divided, a tiny spread would be rounded to nothing.
    kurtosis = float(np.square(np.square(deviation) / second).mean()) if second > 0 else 1.0
    return float(min(count - 1, 2 * count / (kurtosis - 1) if kurtosis > 1 else math.inf))


def student(
    value: float,
    spread: Spread,
    level: float,
    method: str,
    covers: str,
    scale: "Scale | None" = None,
) -> Interval:
    """A t interval around an estimate, symmetric on ``scale`` where one is given."""
    half = spread.half_width(level)
    low, high = (value - half, value + half) if scale is None or half == 0 else scale.ends(value, half)
    return Interval(low, high, level, method, covers, spread.tails)


@dataclass(frozen=True)
class Scale:
    """A scale that a bounded score has a nearly symmetric error on.

    Args:
        name: such as ``logit``.
        to: from the score.
        back: to the score.
        slope: derivative of ``to``.
    """

    name: str
    to: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]

    def ends(self, value: float, half: float) -> tuple[float, float]:
        """Ends of an interval whose half width on the score's own scale would be ``half`` (delta method)."""
        middle, reach = self.to(value), half * self.slope(value)
        return self.back(middle - reach), self.back(middle + reach)


FARTHEST = 700.0
"""Largest exponent that is no overflow."""

LOGIT = Scale(
    "logit",
    lambda share: math.log(share / (1 - share)),
    lambda logit: 1 / (1 + math.exp(min(-logit, FARTHEST))),
    lambda share: 1 / (share * (1 - share)),
)
"""For shares."""

LOG = Scale("log", math.log, lambda log: math.exp(min(log, FARTHEST)), lambda value: 1 / value)
"""For errors, which have no upper bound."""
