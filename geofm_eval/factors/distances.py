"""Distances between the levels of a factor without noise, and the difference of two factors' distances.

The difference of two noisy scores is never 0, so its mean size is too large, most of all for a factor with similar
levels. Its mean square is too large by the variance of its noise, which is known and subtracted.
"""

import math
from dataclasses import dataclass

import numpy as np

from geofm_eval.factors.noise import ErrorOfMeans, ends_of_square, through
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import Floats, t_quantile


@dataclass(frozen=True)
class Distance:
    """Mean square difference of two levels of a factor, all else equal, over all pairs of levels and all cells.

    ``square`` is its estimate without noise, which can be negative: ``weight`` times the sum of squares of the
    ``deviations`` (C,) from the means over the factor, minus the part of the ``noise`` (C, C), their error covariance.
    """

    square: float
    weight: float
    deviations: Floats
    noise: Floats

    @property
    def value(self) -> float:
        """Root mean square difference of two levels; 0 if all of it may be noise."""
        return math.sqrt(max(self.square, 0.0))

    @property
    def variance(self) -> float:
        """Variance of the mean square, a quadratic form in normal errors."""
        return self.weight * self._along + self._base

    @property
    def _along(self) -> float:
        return 4 * self.weight * float(self.deviations @ self.noise @ self.deviations)

    @property
    def _base(self) -> float:
        return 2 * self.weight**2 * float(np.square(self.noise).sum())

    def ends(self, reach: float) -> tuple[float, float]:
        """Return the ends of an interval of the root mean square, ``reach`` standard errors to either side."""
        raw = self.weight * float(self.deviations @ self.deviations)
        ends = ends_of_square(self.square, raw, self.weight * self._along, self._base, reach)
        low, high = (math.sqrt(max(0.0, end)) for end in ends)
        # With a strongly negative estimate nothing would be left: all of it is noise.
        return min(low, self.value), max(high, self.value)


def distance_of(means: Floats, axis: int, error: ErrorOfMeans | None) -> Distance:
    """Return the distance of two levels of a factor: the root of the mean square of m_a - m_b without noise.

    The mean square over pairs is twice the variance over levels, (2 / (L - 1)) sum (m_l - m)^2, averaged over the
    cells of the other factors; noise adds 2 / (L - 1) times the trace of its covariance within those deviations.

    Args:
        means: mean scores of the cells, one axis per factor.
        axis: axis of the factor, with two or more levels.
        error: error of the means; if it is unknown, nothing is subtracted.
    """
    deviations = (means - means.mean(axis, keepdims=True)).ravel()
    weight = 2 * means.shape[axis] / (means.size * (means.shape[axis] - 1))
    covariance = np.zeros((means.size, means.size)) if error is None else error.covariance
    noise = through(covariance, means.shape, centred=(axis,), averaged=())
    square = weight * (float(deviations @ deviations) - float(np.trace(noise)))
    return Distance(square, weight, deviations, noise)


def further(first: Distance, second: Distance, error: ErrorOfMeans) -> Difference:
    """Return how much further apart two levels of ``first`` are than two of ``second``, with an interval.

    The ends of both intervals are combined (recovered variances: Zou and Donner 2008, Statistics in Medicine 27) with
    the correlation due to the samples, which all cells share. It is known only for distances clearly above 0; otherwise
    errors are assumed to be independent. If a distance may be 0, its error has one side only, and half widths are
    added. Measured coverage: docs/factors.md.
    """
    freedom = _freedom(first, second, error)
    reach = t_quantile((1 + LEVEL) / 2, freedom)
    (low, high), (other_low, other_high) = first.ends(reach), second.ends(reach)
    together = _correlation(first, second, error) if low > 0 and other_low > 0 else 0.0
    value = first.value - second.value
    below = _joined(first.value - low, other_high - second.value, together if low > 0 else -1.0)
    above = _joined(high - first.value, second.value - other_low, together if other_low > 0 else -1.0)
    return Difference(value, value - below, value + above, freedom)


def _freedom(first: Distance, second: Distance, error: ErrorOfMeans) -> float:
    """Degrees of freedom, weighted by the noise from samples and from each seed."""
    noise = sum(one.weight * float(np.trace(one.noise)) for one in (first, second))
    # The mean square difference of two levels contains the errors of two cells.
    seeds = 4 / len(error.seeds) * error.seeds
    return error.freedom(max(noise - float(seeds.sum()), 0.0), seeds)


def _correlation(first: Distance, second: Distance, error: ErrorOfMeans) -> float:
    shared = 4 * first.weight * second.weight * float(first.deviations @ error.covariance @ second.deviations)
    size = math.sqrt(first.variance * second.variance)
    return min(max(shared / size, 0.0), 1.0) if size > 0 else 0.0


def _joined(one: float, other: float, together: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * together * one * other))
