"""Intervals of out-of-fold scores: every sample is tested once per label draw, by a probe trained on other folds.

Folds share training samples, so that errors of the samples are not independent: another data set of the same size
would give other probes for all of them. This part cannot be estimated from one data set (Bengio and Grandvalet 2004);
the variance of samples or groups is increased by ``SHARED_TRAINING`` of itself for it.
"""

from numpy.typing import ArrayLike

from geofm_eval.stats.jackknife import Interval
from geofm_eval.stats.scores import mean_interval, paired_interval, paired_r2_interval, r2_interval

SHARED_TRAINING = 0.0


def folded_interval(
    outcomes: ArrayLike, target: ArrayLike | None, groups: ArrayLike | None, level: float = 0.95
) -> Interval | None:
    """Return the interval of an out-of-fold accuracy, or of R2 if there is a target; None as for a test split.

    Args:
        outcomes: (draws, n) ones and zeros, or predictions.
        target: (n,) for R2; None for accuracy.
        groups: (n,) group of every sample; None if samples are independent.
        level: nominal coverage.
    """
    if target is None:
        return mean_interval(outcomes, groups, level)
    return r2_interval(outcomes, target, groups, level)


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
        return paired_interval(first, second, groups, level)
    return paired_r2_interval(first, second, target, groups, level)
