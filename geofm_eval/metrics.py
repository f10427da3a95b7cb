"""Metrics and their intervals: accuracy, R2 on a test split, and R2 out of fold over shuffle splits.

Which units an interval resamples is what it speaks about, so every `Interval` names them in ``covers``. All intervals
of a task share one seed, hence the same resamples, so that differences between models are paired.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.errors import ContractError
from geofm_eval.resampling import (
    FEW_GROUPS,
    RESAMPLES,
    Floats,
    Interval,
    Sample,
    as_outcomes,
    checked_level,
    make_sample,
    ratio_interval,
    t_quantile,
)

__all__ = [
    "FEW_GROUPS",
    "Interval",
    "bootstrap_interval",
    "neuco_q",
    "paired_interval",
    "paired_r2_interval",
    "paired_shuffle_interval",
    "pooled_r2",
    "r2",
    "r2_interval",
    "r2_per_draw",
    "rmse",
    "shuffle_interval",
]


def r2(target: ArrayLike, predicted: ArrayLike) -> float:
    """Share of a target's variance that predictions explain: 1 - sum (y - p)^2 / sum (y - mean y)^2.

    It is 1 at best and has no lower bound; 0 is what predicting the mean of these very items gives.

    Args:
        target: (n,) y.
        predicted: (n,) p.

    Raises:
        ContractError: shapes that differ, values that are not finite, or a constant target, for which it is undefined.
    """
    y, p = _pair(target, predicted)
    spread = float(np.square(y - y.mean()).sum()) if len(y) else 0.0
    if len(y) == 0 or y.min() == y.max():
        raise ContractError(f"R2 is undefined: the target is constant over these {len(y)} items")
    return 1 - float(np.square(y - p).sum()) / spread


def rmse(target: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error, in the target's unit.

    Raises:
        ContractError: no item, shapes that differ, or values that are not finite.
    """
    y, p = _pair(target, predicted)
    if len(y) == 0:
        raise ContractError("an error needs at least one item")
    return math.sqrt(float(np.square(y - p).mean()))


def _pair(target: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    y, p = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ContractError(f"target and predictions must be (n,) of the same items, found {y.shape} and {p.shape}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ContractError("target and predictions must be finite: leave out items without a target")
    return y, p


def bootstrap_interval(
    correct: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of the mean outcome.

    Args:
        correct: (draws, n) or (n,) outcomes in [0, 1] of the same items under each label draw.
        groups: (n,) group (scene, event) of each item; groups are then resampled whole.
        level: nominal coverage.
        resamples: bootstrap resamples.
        seed: the same for all models of a task.

    Returns:
        None where an interval is unknown: fewer than two items or groups. Outcomes that are all alike leave a
        bootstrap nothing to resample; the exact binomial bound takes its place (Clopper & Pearson 1934).

    Raises:
        ContractError: shapes that do not fit, outcomes outside [0, 1] or not finite, a level outside (0, 1).
    """
    return _mean_interval(make_sample(correct, groups), (0.0, 1.0), level, resamples, seed)


def paired_interval(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of the mean difference ``first - second`` of two subjects on the same items and label draws.

    Args:
        first: (draws, n) or (n,) outcomes in [0, 1].
        second: the other subject's, in the same order.
        groups: (n,) group of each item.
        level: nominal coverage.
        resamples: bootstrap resamples.
        seed: the same for all models of a task.

    Returns:
        None with fewer than two items or groups. Where no item tells the two apart a bootstrap would give [0, 0],
        although n items without a difference only bound its share: 1 - (alpha/2)^(1/n) to either side, which is 3.7/n
        at 95 % (the rule of three, two-sided; Hanley & Lippman-Hand 1983).

    Raises:
        ContractError: the two are not of the same shape, or an argument is out of range.
    """
    a, b = _same_shape(first, second)
    return _mean_interval(make_sample(a - b, groups), (-1.0, 1.0), level, resamples, seed)


def r2_interval(
    predicted: ArrayLike,
    target: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of R2, the mean over label draws; every resample has its own mean of the target.

    Args:
        predicted: (draws, n) or (n,) predictions.
        target: (n,) target of the same items.
        groups: (n,) group of each item; groups are then resampled whole.
        level: nominal coverage.
        resamples: bootstrap resamples; those whose target is constant are left out.
        seed: the same for all models of a task.

    Returns:
        None with fewer than two items or groups, or a constant target.

    Raises:
        ContractError: shapes that do not fit, values that are not finite, a level outside (0, 1).
    """
    unexplained = ratio_interval(
        _error_sample(np.square(as_outcomes(predicted) - _target_of(predicted, target)), target, groups),
        checked_level(level),
        resamples,
        seed,
    )
    if unexplained is None:
        return None
    return replace(unexplained, low=1 - unexplained.high, high=min(1.0, 1 - unexplained.low))


def paired_r2_interval(
    first: ArrayLike,
    second: ArrayLike,
    target: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of the difference in R2 of ``first`` and ``second`` on the same items and label draws.

    Both are recomputed on every resample, so that the difference is (errors of second - errors of first) over the
    resample's spread of the target.

    Args:
        first: (draws, n) or (n,) predictions.
        second: the other subject's, in the same order.
        target: (n,) target of the same items.
        groups: (n,) group of each item.
        level: nominal coverage.
        resamples: bootstrap resamples.
        seed: the same for all models of a task.

    Returns:
        None with fewer than two items or groups, a constant target, or predictions that are all equal: they say
        nothing about how far two subjects may lie apart on other items.

    Raises:
        ContractError: the two are not of the same shape, or an argument is out of range.
    """
    a, b = _same_shape(first, second)
    truth = _target_of(first, target)
    sample = _error_sample(np.square(b - truth) - np.square(a - truth), target, groups)
    checked_level(level)
    if np.array_equal(a, b):
        return None
    return ratio_interval(sample, level, resamples, seed)


def r2_per_draw(predicted: ArrayLike, target: ArrayLike) -> Floats:
    """(draws,) R2 of each draw or shuffle, over the items that it tested.

    Args:
        predicted: (draws, n) predictions, NaN where an item was not tested.
        target: (n,) target.
    """
    y = np.asarray(target, dtype=np.float64)
    rows = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    return np.array([r2(y[~np.isnan(row)], row[~np.isnan(row)]) for row in rows])


def pooled_r2(predicted: ArrayLike, target: ArrayLike) -> float:
    """R2 over all (shuffle, item) predictions together.

    Args:
        predicted: (shuffles, n) predictions, NaN where an item was not tested.
        target: (n,) target.
    """
    rows = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    tested = ~np.isnan(rows)
    return r2(np.broadcast_to(np.asarray(target, dtype=np.float64), rows.shape)[tested], rows[tested])


def shuffle_interval(predicted: ArrayLike, target: ArrayLike, level: float = 0.95) -> Interval | None:
    """Interval of the pooled out-of-fold R2 over shuffle splits, from the spread of the R2 of the shuffles.

    Scores of shuffles are dependent, as they share most of their training items. The corrected resampled t interval
    (Nadeau & Bengio 2003, Machine Learning 52, section 4) therefore takes the variance of their mean to be
    (1/J + n_test / n_train) s^2, with J shuffles, s^2 the variance of their scores, and J - 1 degrees of freedom.
    Label subsets do not enter n_train: it stands for the overlap of the test sets, and is what a shuffle does not test.

    Args:
        predicted: (shuffles, n) predictions, NaN where an item was not tested.
        target: (n,) target.
        level: nominal coverage.

    Returns:
        None with a single shuffle.

    Raises:
        ContractError: a shuffle whose target is constant, or a level outside (0, 1).
    """
    scores, share = r2_per_draw(predicted, target), _test_share(predicted)
    interval = _corrected_t(pooled_r2(predicted, target), scores, share, level)
    return None if interval is None else replace(interval, high=min(1.0, interval.high))


def paired_shuffle_interval(
    first: ArrayLike, second: ArrayLike, target: ArrayLike, level: float = 0.95
) -> Interval | None:
    """Interval of the difference in pooled R2 of two subjects tested on the same shuffles; see `shuffle_interval`.

    Raises:
        ContractError: the two were not tested on the same items, or as in `shuffle_interval`.
    """
    a, b = np.atleast_2d(np.asarray(first, np.float64)), np.atleast_2d(np.asarray(second, np.float64))
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        raise ContractError("paired predictions must come from the same shuffles of the same items")
    if np.array_equal(a, b, equal_nan=True):
        return None
    difference = pooled_r2(a, target) - pooled_r2(b, target)
    return _corrected_t(difference, r2_per_draw(a, target) - r2_per_draw(b, target), _test_share(a), level)


def neuco_q(scores: ArrayLike) -> float:
    """Quality score of NeuCo-Bench: 2 mean / (0.02 + sd) of the scores of all shuffles, sd as of a population."""
    values = np.asarray(scores, dtype=np.float64)
    return float(2 * values.mean() / (0.02 + values.std()))


def _test_share(predicted: ArrayLike) -> float:
    """Items that a shuffle tests over those that it does not."""
    tested = ~np.isnan(np.atleast_2d(np.asarray(predicted, dtype=np.float64)))
    share = float(tested.mean())
    if share == 1:
        raise ContractError("every item was tested in every shuffle: these are predictions of a test split")
    return share / (1 - share)


def _corrected_t(estimate: float, scores: Floats, test_share: float, level: float) -> Interval | None:
    checked_level(level)
    count = len(scores)
    if count < 2:
        return None
    variance = (1 / count + test_share) * float(scores.var(ddof=1))
    half = t_quantile((1 + level) / 2, count - 1) * math.sqrt(variance)
    return Interval(estimate - half, estimate + half, level, "nadeau_bengio", "shuffle splits", count - 1)


def _same_shape(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = as_outcomes(first), as_outcomes(second)
    if a.shape != b.shape:
        raise ContractError(
            f"paired outcomes must cover the same draws and items, found (draws, items) {a.shape} and {b.shape}: "
            "compare runs over the same test split and label draws"
        )
    return a, b


def _target_of(predicted: ArrayLike, target: ArrayLike) -> Floats:
    outcomes, y = as_outcomes(predicted), as_outcomes(target)
    if y.shape != (1, outcomes.shape[1]):
        raise ContractError(f"the target must have one value per item: {outcomes.shape[1]} items, found {y.shape[1]}")
    return y.ravel()


def _error_sample(errors: Floats, target: ArrayLike, groups: ArrayLike | None) -> Sample:
    return make_sample(errors, groups, np.asarray(target, dtype=np.float64))


def _mean_interval(
    sample: Sample, bounds: tuple[float, float], level: float, resamples: int, seed: int
) -> Interval | None:
    """Interval of a mean of outcomes within ``bounds``; of outcomes that are all alike, the exact bound."""
    checked_level(level)
    if not sample.values.size:
        return None
    lowest, highest = float(sample.values.min()), float(sample.values.max())
    if lowest < bounds[0] or highest > bounds[1]:
        wanted = f"[{bounds[0]:g}, {bounds[1]:g}]"
        raise ContractError(f"outcomes must lie in {wanted}, found {lowest:g} to {highest:g}")
    if sample.count >= 2 and lowest == highest and lowest in (*bounds, 0.0):
        return _all_alike(lowest, bounds, sample, level)
    interval = ratio_interval(sample, level, resamples, seed)
    if interval is None:
        return None
    return replace(interval, low=max(bounds[0], interval.low), high=min(bounds[1], interval.high))


def _all_alike(value: float, bounds: tuple[float, float], sample: Sample, level: float) -> Interval:
    """What ``sample.count`` units of one outcome leave possible: at most this share of others has another outcome."""
    share = 1 - ((1 - level) / 2) ** (1 / sample.count)
    low, high = value - share * (value - bounds[0]), value + share * (bounds[1] - value)
    return Interval(low, high, level, f"exact binomial, all {sample.noun} alike", sample.noun)
