"""What is measured on which units: items, or groups of them where items are dependent, each left out in turn.

An accuracy is a sum over items divided by their number; the share of variance that a regression leaves unexplained is
a sum of squared errors divided by the spread of the target. Both are ratios of sums, hence one machinery.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval.

    Attributes:
        low: lower end.
        high: upper end.
        level: nominal coverage.
        method: how it was computed.
        covers: what it would vary over: ``items``, ``groups``, ``draws x items``, ``draws x groups`` or
            ``shuffle splits``.
        freedom: degrees of freedom of the t distribution that its error is taken to follow: what is known of its tails.
    """

    low: float
    high: float
    level: float
    method: str
    covers: str
    freedom: float = math.inf


@dataclass(frozen=True)
class Sample:
    """What is measured on each item, and the units, items or groups, that may have been others.

    Attributes:
        values: (draws, n) what is summed in the numerator.
        target: (n,) regression target, whose spread is the denominator; None where that is the number of items.
        noun: ``items`` or ``groups``.
        member: (n,) unit of each item.
        count: number of units.
    """

    values: Floats
    target: Floats | None
    noun: str
    member: NDArray[np.int64]
    count: int

    @property
    def draws(self) -> int:
        """Number of label draws."""
        return len(self.values)

    @property
    def covers(self) -> str:
        """What an interval varies over: ``draws x items``."""
        return self.noun if self.draws == 1 else f"draws x {self.noun}"

    def ratios(self) -> Floats:
        """(draws,) ratios of all items; NaN where the target has no spread."""
        numerators, sizes, *moments = self._totals
        return self._divided(numerators.sum(1), sizes.sum(), *(one.sum() for one in moments))

    def without(self) -> Floats:
        """(draws, units) ratios without each unit in turn; NaN where the target of the others has no spread."""
        numerators, *rest = self._totals
        others = numerators.sum(1, keepdims=True) - numerators
        return self._divided(others, *(one.sum() - one for one in rest))

    @cached_property
    def _totals(self) -> tuple[Floats, ...]:
        """Sums over units: numerators (draws, units), sizes (units,), target and its square about the mean."""
        numerators = np.array([self.sums(row) for row in self.values])
        sizes = self.sums(np.ones(len(self.member)))
        if self.target is None:
            return numerators, sizes
        centred = self.target - self.target.mean()
        return numerators, sizes, self.sums(centred), self.sums(np.square(centred))

    def _divided(self, numerators: Floats, sizes: Floats, *moments: Floats) -> Floats:
        if self.target is None:
            return np.asarray(numerators / sizes)
        first, second = moments
        spread = second - np.square(first) / sizes
        # Rounding leaves items of one value a spread of this order instead of none.
        return np.asarray(numerators / np.where(spread > 1e-12 * second, spread, np.nan))

    def sums(self, values: Floats) -> Floats:
        """(count,) sums of ``values`` (n,) over the units."""
        if self.noun == "items":
            return values
        return np.bincount(self.member, values, self.count).astype(np.float64)


def make_sample(values: ArrayLike, groups: ArrayLike | None, target: Floats | None = None) -> Sample:
    """Check what is measured on which units.

    Args:
        values: (draws, n) or (n,).
        groups: (n,) group of each item; None makes every item a unit.
        target: (n,) regression target.

    Raises:
        ContractError: shapes that do not fit, or values that are not finite.
    """
    checked = as_outcomes(values)
    n = checked.shape[1]
    if groups is None:
        return Sample(checked, target, "items", np.arange(n), n)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ContractError(f"groups must name the group of each of the {n} items, found shape {names.shape}")
    found, member = np.unique(names, return_inverse=True)
    return Sample(checked, target, "groups", member.reshape(-1), len(found))


def as_outcomes(values: ArrayLike) -> Floats:
    """``values`` as (draws, n) float64.

    Raises:
        ContractError: another number of dimensions, or a value that is not finite.
    """
    outcomes = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if outcomes.ndim != 2 or not len(outcomes):
        raise ContractError(f"outcomes must have shape (n,) or (draws, n), found {np.shape(values)}")
    if not np.isfinite(outcomes).all():
        raise ContractError("outcomes must be finite: an unknown outcome is left out, not set to NaN")
    return outcomes


def checked_level(level: float) -> float:
    """The level itself.

    Raises:
        ContractError: it does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ContractError(f"level must lie between 0 and 1, found {level}: 0.95 is the usual one")
    return level


def jackknife_error_of(values: Floats) -> Floats:
    """Standard error from values without each unit: sqrt((g - 1) / g * sum((v - mean)^2)).

    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.

    Args:
        values: (g, ...) one row per unit that is left out.

    Returns:
        (...).
    """
    count = len(values)
    return np.asarray(np.sqrt((count - 1) / count * np.square(values - values.mean(0)).sum(0)), dtype=np.float64)


def joint_freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946).

    Args:
        parts: every variance with its own degrees of freedom; without any variance the first one's are given.
    """
    uncertain = sum(variance**2 / freedom for variance, freedom in parts)
    return float(sum(variance for variance, _ in parts) ** 2 / uncertain if uncertain > 0 else parts[0][1])


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t; of the normal distribution with infinite degrees of freedom."""
    # Imported here because the module is read at start-up, where scipy's load time would be felt.
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(freedom) else stdtrit(freedom, probability))
