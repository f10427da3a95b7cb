"""The joint error of the means of a factorial's cells: test items that all share, and seeds that no two share."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.jackknife import Floats, joint_freedom, t_quantile


@dataclass(frozen=True)
class ErrorOfMeans:
    """Error of the mean scores of C cells over test items and seeds.

    Args:
        items: (C, C) covariance over test items, or groups of them; all cells were tested on the same.
        units: items or groups that it rests on.
        seeds: (C,) variance of every cell's mean over its own training seeds.
        trainings: number of seeds of a cell.
    """

    items: Floats
    units: int
    seeds: Floats
    trainings: int

    @property
    def covariance(self) -> Floats:
        """(C, C) covariance of the means over items and seeds."""
        return self.items + np.diag(self.seeds)

    def freedom(self, items: float, seeds: Floats) -> float:
        """Degrees of freedom of a variance that items and (C,) the seeds of every cell add to (Satterthwaite 1946)."""
        return joint_freedom([(items, self.units - 1), *((float(one), self.trainings - 1) for one in seeds)])

    def of(self, weights: Floats) -> tuple[float, float]:
        """Variance of a weighted sum of the means, and its degrees of freedom; weights in the order of the cells."""
        by = weights.ravel()
        items, seeds = float(by @ self.items @ by), np.square(by) * self.seeds
        return items + float(seeds.sum()), self.freedom(items, seeds)

    def within(self, value: float, weights: Floats) -> Difference:
        """A weighted sum of the means with its t interval; ``value`` is the sum itself."""
        variance, freedom = self.of(weights)
        half = t_quantile((1 + LEVEL) / 2, freedom) * math.sqrt(variance)
        return Difference(value, value - half, value + half, freedom)


def error_of_means(scores: Floats, without: Floats) -> ErrorOfMeans:
    """Error of the mean over seeds of every cell's score, from (C, seeds) scores and (C, seeds, U) without each unit.

    That over items is the jackknife's: (U - 1) / U times the sums of squares and products of the scores without each
    of U units (Efron and Tibshirani 1993, chapter 11). Seeds of two cells are independent. Two seeds at least.
    """
    deviations = without.mean(1)
    deviations = deviations - deviations.mean(1, keepdims=True)
    trainings, units = scores.shape[1], deviations.shape[1]
    items = (units - 1) / units * deviations @ deviations.T
    return ErrorOfMeans(items, units, scores.var(1, ddof=1) / trainings, trainings)


def through(covariance: Floats, shape: tuple[int, ...], centred: Collection[int], averaged: Collection[int]) -> Floats:
    """Covariance of a table's entries after means over some axes were taken off, and others were averaged over.

    Args:
        covariance: (C, C) of the entries, the last axis of the table varying fastest.
        shape: of the table.
        centred: axes whose mean is taken off.
        averaged: axes that are averaged over; every entry then holds the mean.
    """
    both = covariance.reshape(*shape, *shape)
    for axis in (*centred, *averaged):
        for side in (axis, axis + len(shape)):
            mean = both.mean(side, keepdims=True)
            both = both - mean if axis in centred else np.broadcast_to(mean, both.shape)
    return both.reshape(covariance.shape)


def ends_of_square(value: float, raw: float, along: float, base: float, reach: float) -> tuple[float, float]:
    """Ends of an interval of a sum of squares, which is no normal variable where it is small.

    All q whose estimate lies within ``reach`` standard errors of them: the variance of a quadratic form in normal
    errors is a q + b. Near 0 it holds what noise alone can do.

    Args:
        value: the estimate, noise taken off, so that it may be negative.
        raw: the same with its noise.
        along: first-order variance of the estimate; a is this over ``raw``.
        base: b, the variance that noise alone gives it.
        reach: quantile.
    """
    slope = along / raw if raw > 0 else 0.0
    shift = reach**2 * slope / 2
    half = math.sqrt(max(0.0, reach**2 * (slope * value + base) + shift**2))
    return value + shift - half, value + shift + half


def logit(scores: Floats, n: int) -> Floats:
    """log(p / (1 - p)) of scores in [0, 1]: half a point means more near 1 than in the middle.

    A score of 0 or 1 is replaced by what half of one of ``n`` test items would make of it.
    """
    edge = 0.5 / max(n, 1)
    inside = np.clip(scores, edge, 1 - edge)
    return np.asarray(np.log(inside) - np.log1p(-inside), dtype=np.float64)
