"""Jackknife over units, which are samples, or groups of dependent samples.

An accuracy is a sum over samples divided by their number; the unexplained proportion of variance of a regression is a
sum of squared errors divided by the spread of the target. Both are ratios of sums and share one implementation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval with nominal coverage ``level``.

    ``covers`` are the sources of variation: ``items`` (samples), ``groups``, ``draws x items``, ``draws x groups`` or
    ``shuffle splits``; ``freedom`` are the degrees of freedom of the t distribution of its error, for p-values.
    """

    low: float
    high: float
    level: float
    method: str
    covers: str
    freedom: float = math.inf


@dataclass(frozen=True)
class Sample:
    """Values of all samples, and the units (samples or groups) that are left out in turn.

    Attributes:
        values: (draws, n) summands of the numerator.
        target: (n,) regression target, whose spread is the denominator; None if that is the number of samples.
        noun: ``items`` or ``groups``.
        member: (n,) unit of each sample.
        count: number of units.
    """

    values: Floats
    target: Floats | None
    noun: str
    member: NDArray[np.int64]
    count: int

    @property
    def covers(self) -> str:
        """What an interval varies over: ``draws x items``."""
        return self.noun if len(self.values) == 1 else f"draws x {self.noun}"

    def ratios(self) -> Floats:
        """(draws,) ratios over all samples; NaN if the target has no spread."""
        numerators, sizes, *moments = self._totals
        return self._divided(numerators.sum(1), sizes.sum(), *(one.sum() for one in moments))

    def without(self) -> Floats:
        """(draws, units) ratios without each unit; NaN if the target of the others has no spread."""
        numerators, *rest = self._totals
        others = numerators.sum(1, keepdims=True) - numerators
        return self._divided(others, *(one.sum() - one for one in rest))

    @cached_property
    def _totals(self) -> tuple[Floats, ...]:
        """Sums over units: numerators (draws, units), sizes (units,), target and its square about the mean."""
        numerators = self.values if self.noun == "items" else np.array([self.sums(row) for row in self.values])
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
        # Rounding can give equal values a spread of this order instead of zero.
        return np.asarray(numerators / np.where(spread > 1e-12 * second, spread, np.nan))

    def sums(self, values: Floats) -> Floats:
        """Return (count,) sums of ``values`` (n,) over the units."""
        if self.noun == "items":
            return values
        return np.bincount(self.member, values, self.count).astype(np.float64)


def make_sample(values: ArrayLike, groups: ArrayLike | None, target: Floats | None = None) -> Sample:
    """Check values and groups, and determine the units.

    Args:
        values: (draws, n) or (n,).
        groups: (n,) group of each sample; None makes every sample a unit.
        target: (n,) regression target.

    Raises:
        ContractError: inconsistent shapes, or values that are not finite.
    """
    return sample_of(as_outcomes(values), groups, target)


def sample_of(values: Floats, groups: ArrayLike | None, target: Floats | None = None) -> Sample:
    """:func:`make_sample` of finite values (draws, n), which are not checked again."""
    n = values.shape[1]
    if groups is None:
        return Sample(values, target, "items", np.arange(n), n)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ContractError(f"groups must have one entry for each of the {n} samples, found shape {names.shape}")
    found, member = np.unique(names, return_inverse=True)
    return Sample(values, target, "groups", member.reshape(-1), len(found))


def as_outcomes(values: ArrayLike) -> Floats:
    """Return ``values`` as (draws, n) float64.

    Raises:
        ContractError: the number of dimensions is not 1 or 2, or a value is not finite.
    """
    given = np.asarray(values)
    outcomes = np.atleast_2d(given.astype(np.float64, copy=False))
    if outcomes.ndim != 2 or not len(outcomes):
        raise ContractError(f"outcomes must have shape (n,) or (draws, n), found {np.shape(values)}")
    # Counts and truth values are finite, which need not be checked for every pair of models.
    if given.dtype.kind not in "biu" and not np.isfinite(outcomes).all():
        raise ContractError("outcomes must be finite; leave out samples with unknown outcomes")
    return outcomes


def checked_level(level: float) -> float:
    """Return the level.

    Raises:
        ContractError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ContractError(f"level must be between 0 and 1, for example 0.95, found {level}")
    return level


def jackknife_error_of(values: Floats) -> Floats:
    """Return the standard error from values without each unit: sqrt((g - 1) / g * sum((v - mean)^2)).

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.

    Args:
        values: (g, ...), one row per unit left out.

    Returns:
        (...).
    """
    count = len(values)
    return np.asarray(np.sqrt((count - 1) / count * np.square(values - values.mean(0)).sum(0)), dtype=np.float64)


def joint_freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of independent variances (Satterthwaite 1946).

    Args:
        parts: variances with their degrees of freedom; if all variances are zero, the first one's are returned.
    """
    uncertain = sum(variance**2 / freedom for variance, freedom in parts)
    return float(sum(variance for variance, _ in parts) ** 2 / uncertain if uncertain > 0 else parts[0][1])


@lru_cache(maxsize=2**16)
def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t, or of the normal distribution for infinite degrees of freedom."""
    # Imported here, because importing scipy would slow down start-up.
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(freedom) else stdtrit(freedom, probability))
