"""Intervals of out-of-fold scores: every sample is tested once per label draw, by a probe trained on other folds.

Folds share training samples: another data set of the same size would give other probes for all of them at once. This
part of the error cannot be estimated from one data set (Bengio and Grandvalet 2004). The variance over samples or
groups, as for a test split, is increased by a proportion of itself for it, which is known from simulations.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.stats.jackknife import Interval
from geofm_eval.stats.scores import mean_interval, paired_interval, paired_r2_interval, r2_interval, r2_per_draw
from geofm_eval.stats.standard_error import LOG

SHARED_ACCURACY = 0.2
SHARED_R2, SHARED_R2_OF_ONE = 0.5, 30.0
"""Variance of the shared training samples relative to that of the test samples; of R2, a constant and a part that is
divided by the number of samples.

Set from ``benchmarks/studies/trust/folds.py``: 0.0 to 0.3 are needed for accuracies, and 0.1 (800 samples) to 1.0 (60
samples) for R2, which is more sensitive to the weights of a probe.
"""

NOTE = ", shared training samples counted"


def widening(target: ArrayLike | None) -> float:
    """Return the ratio of the standard error of an out-of-fold score to that of a test split of the same samples.

    It applies to scores, differences of scores in the same folds, and means of them.

    Args:
        target: (n,) regression target for R2; None for accuracy.
    """
    if target is None:
        return math.sqrt(1 + SHARED_ACCURACY)
    return math.sqrt(1 + SHARED_R2 + SHARED_R2_OF_ONE / max(1, np.size(target)))


def folded_interval(
    outcomes: ArrayLike, target: ArrayLike | None, groups: ArrayLike | None, level: float = 0.95
) -> Interval | None:
    """Return the interval of an out-of-fold accuracy, or of R2 if there is a target; None as for a test split.

    The interval of R2 is symmetric on the scale of log(1 - R2). Errors of few samples that happen to be small make both
    1 - R2 and its standard error too small, in about the same proportion, so that an interval that is symmetric on the
    scale of R2 is too often above the true value.

    Args:
        outcomes: (draws, n) ones and zeros, or predictions.
        target: (n,) for R2; None for accuracy.
        groups: (n,) group of every sample; None if samples are independent.
        level: nominal coverage.
    """
    if target is None:
        return _widened(mean_interval(outcomes, groups, level), _mean(outcomes), widening(None), (0.0, 1.0))
    found, value = r2_interval(outcomes, target, groups, level), float(r2_per_draw(outcomes, target).mean())
    return None if found is None else _on_log_scale(found, value, widening(target))


def paired_folded_interval(
    first: ArrayLike,
    second: ArrayLike,
    target: ArrayLike | None,
    groups: ArrayLike | None,
    level: float = 0.95,
) -> Interval | None:
    """Return the interval of the difference in out-of-fold accuracy, or R2, of two subjects tested in the same folds.

    Args:
        first: (draws, n) ones and zeros, or predictions.
        second: those of the other subject.
        target: (n,) for R2; None for accuracy.
        groups: (n,) group of every sample; None if samples are independent.
        level: nominal coverage.
    """
    if target is None:
        found = paired_interval(first, second, groups, level)
        return _widened(found, _mean(first) - _mean(second), widening(None), (-1.0, 1.0))
    found = paired_r2_interval(first, second, target, groups, level)
    value = float(r2_per_draw(first, target).mean() - r2_per_draw(second, target).mean())
    return _widened(found, value, widening(target), (-math.inf, math.inf))


def _mean(outcomes: ArrayLike) -> float:
    return float(np.asarray(outcomes, dtype=np.float64).mean())


def _widened(interval: Interval | None, value: float, factor: float, bounds: tuple[float, float]) -> Interval | None:
    """Move both ends away from the estimate ``value``, within ``bounds``."""
    if interval is None:
        return None
    low, high = (value + factor * (end - value) for end in (interval.low, interval.high))
    return replace(interval, low=max(bounds[0], low), high=min(bounds[1], high), method=interval.method + NOTE)


def _on_log_scale(interval: Interval, value: float, factor: float) -> Interval:
    """Widen an interval of the R2 ``value``, and make it symmetric on the scale of log(1 - R2)."""
    # The lower end is never cut, so it gives the half width.
    half = factor * (value - interval.low)
    method = f"{interval.method}, {LOG.name} scale{NOTE}"
    if min(half, 1 - value) <= 0:  # an exact fit, whose logarithm is infinite
        return replace(interval, method=method)
    best, worst = LOG.ends(1 - value, half)
    return replace(interval, low=1 - worst, high=1 - best, method=method)
