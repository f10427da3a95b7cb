"""How far apart the levels of a factor lie, noise taken off, and whether one factor matters as much as another.

The difference of two noisy scores is never 0, so that its mean size is too large, and by more for a factor whose
levels are alike. Its mean square is too large by the variance of its noise, which is known and is taken off.
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

    Args:
        square: its estimate without noise; noise may make it negative.
        weight: what the sum of squared deviations from the means over the factor is multiplied by to give it.
        deviations: (C,) those deviations.
        noise: (C, C) error covariance of the deviations.
    """

    square: float
    weight: float
    deviations: Floats
    noise: Floats

    @property
    def value(self) -> float:
        """Root mean square difference of two levels; 0 where all of it may be noise."""
        return math.sqrt(max(self.square, 0.0))

    @property
    def variance(self) -> float:
        """Variance of the mean square: of a quadratic form in normal errors."""
        return self.weight * self._along + self._base

    @property
    def _along(self) -> float:
        return 4 * self.weight * float(self.deviations @ self.noise @ self.deviations)

    @property
    def _base(self) -> float:
        return 2 * self.weight**2 * float(np.square(self.noise).sum())

    def ends(self, reach: float) -> tuple[float, float]:
        """Ends of an interval of the root mean square that reaches ``reach`` standard errors far."""
        raw = self.weight * float(self.deviations @ self.deviations)
        ends = ends_of_square(self.square, raw, self.weight * self._along, self._base, reach)
        low, high = (math.sqrt(max(0.0, end)) for end in ends)
        # A strongly negative estimate would leave nothing: then all of it is noise.
        return min(low, self.value), max(high, self.value)


def distance_of(means: Floats, axis: int, error: ErrorOfMeans | None) -> Distance:
    """Distance of two levels of a factor: the root of the mean square of m_a - m_b, less the noise's.

    The mean square over pairs is twice the variance over levels, (2 / (L - 1)) sum (m_l - m)^2, averaged over the
    cells of the other factors; noise adds 2 / (L - 1) times the trace of its covariance within those deviations.

    Args:
        means: mean scores of the cells, one axis per factor.
        axis: of the factor, with two levels or more.
        error: of the means; where it is unknown, nothing is taken off.
    """
    deviations = (means - means.mean(axis, keepdims=True)).ravel()
    weight = 2 * means.shape[axis] / (means.size * (means.shape[axis] - 1))
    covariance = np.zeros((means.size, means.size)) if error is None else error.covariance
    noise = through(covariance, means.shape, centred=(axis,), averaged=())
    square = weight * (float(deviations @ deviations) - float(np.trace(noise)))
    return Distance(square, weight, deviations, noise)


def further(first: Distance, second: Distance, error: ErrorOfMeans) -> Difference:
    """How much further apart two levels of ``first`` are than two of ``second``, with its interval.

    The ends of both intervals are joined (recovered variances: Zou and Donner 2008, Statistics in Medicine 27) with the
    correlation that the items, which all cells share, give them. That is known only of distances clearly above 0;
    otherwise they are taken to err independently. Where a distance may be 0, its error has one side only, and half
    widths are added. Measured coverage: docs/factors.md.
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
    """Degrees of freedom, weighted by how much of the noise comes from items and how much from each seed."""
    noise = sum(one.weight * float(np.trace(one.noise)) for one in (first, second))
    # The mean square difference of two levels holds the errors of two cells, whatever the factor.
    seeds = 4 / len(error.seeds) * error.seeds
    return error.freedom(max(noise - float(seeds.sum()), 0.0), seeds)


def _correlation(first: Distance, second: Distance, error: ErrorOfMeans) -> float:
    shared = 4 * first.weight * second.weight * float(first.deviations @ error.covariance @ second.deviations)
    size = math.sqrt(first.variance * second.variance)
    return min(max(shared / size, 0.0), 1.0) if size > 0 else 0.0


def _joined(one: float, other: float, together: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * together * one * other))
