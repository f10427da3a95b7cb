"""Joint error of the means of a factorial's cells: over test samples, which all share, and seeds, which none share."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import Floats, joint_freedom, t_quantile


@dataclass(frozen=True)
class ErrorOfMeans:
    """Error of the mean scores of C cells over test samples and seeds.

    ``items`` is the (C, C) covariance over the ``units``, common test samples or groups of samples; ``seeds`` is the
    (C,) variance of every cell's mean over its ``trainings``, the number of seeds.
    """

    items: Floats
    units: int
    seeds: Floats
    trainings: int

    @property
    def covariance(self) -> Floats:
        """(C, C) covariance of the means over samples and seeds."""
        return self.items + np.diag(self.seeds)

    def freedom(self, items: float, seeds: Floats) -> float:
        """Return the degrees of freedom of a variance from samples and (C,) seeds of cells (Satterthwaite 1946)."""
        return joint_freedom([(items, self.units - 1), *((float(one), self.trainings - 1) for one in seeds)])

    def of(self, weights: Floats) -> tuple[float, float]:
        """Return the variance and degrees of freedom of a weighted sum of the means, in the order of the cells."""
        by = weights.ravel()
        items, seeds = float(by @ self.items @ by), np.square(by) * self.seeds
        return items + float(seeds.sum()), self.freedom(items, seeds)

    def within(self, value: float, weights: Floats) -> Difference:
        """Return a weighted sum of the means, ``value``, with its t interval."""
        variance, freedom = self.of(weights)
        half = t_quantile((1 + LEVEL) / 2, freedom) * math.sqrt(variance)
        return Difference(value, value - half, value + half, freedom)


def error_of_means(scores: Floats, without: Floats) -> ErrorOfMeans:
    """Return the error of each cell's mean score, from (C, seeds) scores and (C, seeds, U) scores without each unit.

    The covariance over samples is the jackknife's: (U - 1) / U times the sums of squares and products of the scores
    without each of U units (Efron and Tibshirani 1993, chapter 11). Seeds of two cells are independent; each needs two.
    """
    deviations = without.mean(1)
    deviations = deviations - deviations.mean(1, keepdims=True)
    trainings, units = scores.shape[1], deviations.shape[1]
    items = (units - 1) / units * deviations @ deviations.T
    return ErrorOfMeans(items, units, scores.var(1, ddof=1) / trainings, trainings)


def through(covariance: Floats, shape: tuple[int, ...], centred: Collection[int], averaged: Collection[int]) -> Floats:
    """Return the covariance of a table's entries after subtracting means over some axes and averaging over others.

    Args:
        covariance: (C, C) of the entries, the last axis of the table varying fastest.
        shape: shape of the table.
        centred: axes whose mean is subtracted.
        averaged: axes that are averaged over; every entry is then replaced by the mean.
    """
    both = covariance.reshape(*shape, *shape)
    for axis in (*centred, *averaged):
        for side in (axis, axis + len(shape)):
            mean = both.mean(side, keepdims=True)
            both = both - mean if axis in centred else np.broadcast_to(mean, both.shape)
    return both.reshape(covariance.shape)


def ends_of_square(value: float, raw: float, along: float, base: float, reach: float) -> tuple[float, float]:
    """Return the ends of an interval of a sum of squares, which is far from normal if it is small.

    It contains every q within ``reach`` standard errors of the estimate: the variance of a quadratic form in normal
    errors is a q + b.

    Args:
        value: the estimate without noise, which can be negative.
        raw: the estimate with noise.
        along: first-order variance of the estimate; a is this divided by ``raw``.
        base: b, its variance due to noise alone.
        reach: quantile.
    """
    slope = along / raw if raw > 0 else 0.0
    shift = reach**2 * slope / 2
    half = math.sqrt(max(0.0, reach**2 * (slope * value + base) + shift**2))
    return value + shift - half, value + shift + half


def logit(scores: Floats, n: int) -> Floats:
    """Return log(p / (1 - p)) of scores in [0, 1]; 0 and 1 become the score with half of one of ``n`` samples."""
    edge = 0.5 / max(n, 1)
    inside = np.clip(scores, edge, 1 - edge)
    return np.asarray(np.log(inside) - np.log1p(-inside), dtype=np.float64)
