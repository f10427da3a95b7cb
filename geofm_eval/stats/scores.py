"""Metrics and their intervals: accuracy, R2 on a test split, and out-of-fold R2 over shuffle splits.

``Interval.covers`` names the sources of variation of each interval. Measured coverage is in ``docs/intervals.md``.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted
from geofm_eval.stats.jackknife import Floats, Interval, Sample, as_outcomes, checked_level, make_sample, sample_of
from geofm_eval.stats.out_of_fold import paired_shuffle_interval, shuffle_interval, tested_share
from geofm_eval.stats.proportions import difference_interval, share_interval
from geofm_eval.stats.standard_error import Part, Spread, spread_of, student

__all__ = [
    "Interval",
    "mean_interval",
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
    "tested_share",
]


def r2(target: ArrayLike, predicted: ArrayLike) -> float:
    """Return the explained proportion of a target's variance: 1 - sum (y - p)^2 / sum (y - mean y)^2.

    It is at most 1 and has no lower bound; predicting the mean of these samples gives 0.

    Args:
        target: (n,) y.
        predicted: (n,) p.

    Raises:
        ContractError: shapes differ, values are not finite, or the target is constant.
    """
    y, p = _pair(target, predicted)
    if len(y) == 0 or y.min() == y.max():
        raise ContractError(
            f"R2 is undefined because the target is constant over {counted(len(y), 'sample')}; use samples whose "
            "targets differ"
        )
    return 1 - float(np.square(y - p).sum()) / float(np.square(y - y.mean()).sum())


def rmse(target: ArrayLike, predicted: ArrayLike) -> float:
    """Return the root mean squared error, in the target's unit.

    Raises:
        ContractError: there is no sample, shapes differ, or values are not finite.
    """
    y, p = _pair(target, predicted)
    if len(y) == 0:
        raise ContractError("found none, RMSE needs at least one sample; give targets and predictions")
    return math.sqrt(float(np.square(y - p).mean()))


def _pair(target: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    y, p = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ContractError(f"target and predictions must be (n,) of the same samples, found {y.shape} and {p.shape}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ContractError("target and predictions must be finite; leave out samples without a target")
    return y, p


def mean_interval(correct: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95) -> Interval | None:
    """Return the interval of the mean outcome; see :func:`geofm_eval.stats.proportions.share_interval`.

    Args:
        correct: (draws, n) or (n,) outcomes in [0, 1] of the same samples under each label draw.
        groups: (n,) group (scene, event) of each sample; samples of a group are dependent.
        level: nominal coverage.

    Returns:
        None with fewer than two samples or groups. If all outcomes are equal, the exact binomial bound (Clopper &
        Pearson 1934).

    Raises:
        ContractError: inconsistent shapes, outcomes outside [0, 1] or not finite, or a level outside (0, 1).
    """
    checked_level(level)
    sample = _bounded(make_sample(correct, groups), (0.0, 1.0))
    if sample is None:
        return None
    if _all_one(sample, (0.0, 1.0)):
        return _all_alike((0.0, 1.0), sample, level)
    return share_interval(sample.values, _spread(sample), level, sample.covers)


def paired_interval(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Return the interval of the mean difference ``first - second`` of two subjects on the same samples and draws.

    See :func:`geofm_eval.stats.proportions.difference_interval`.

    Args:
        first: (draws, n) or (n,) outcomes in [0, 1].
        second: outcomes of the other subject, in the same order.
        groups: (n,) group of each sample.
        level: nominal coverage.

    Returns:
        None with fewer than two samples or groups. If no sample is discordant, a bound on the proportion of discordant
        samples: 1 - (alpha/2)^(1/n) to either side, which is 3.7/n at 95 % (the rule of three, two-sided; Hanley &
        Lippman-Hand 1983).

    Raises:
        ContractError: shapes differ, or an argument is out of range.
    """
    a, b = _same_shape(first, second)
    checked_level(level)
    sample = _bounded(sample_of(a - b, groups), (-1.0, 1.0))
    if sample is None:
        return None
    if _all_one(sample, (-1.0, 0.0, 1.0)):
        return _all_alike((-1.0, 1.0), sample, level)
    found = difference_interval(sample.values, _spread(sample), level, sample.covers)
    inside = found.low >= -1.0 and found.high <= 1.0
    return found if inside else replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))


def r2_interval(
    predicted: ArrayLike, target: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Return the interval of R2, the mean over label draws, by jackknife and Student's t.

    Args:
        predicted: (draws, n) or (n,) predictions.
        target: (n,) target of the same samples.
        groups: (n,) group of each sample; samples of a group are dependent.
        level: nominal coverage.

    Returns:
        None with fewer than two samples or groups, or a constant target.

    Raises:
        ContractError: inconsistent shapes, values that are not finite, or a level outside (0, 1).
    """
    errors = np.square(as_outcomes(predicted) - _target_of(predicted, target))
    unexplained = ratio_interval(_error_sample(errors, target, groups), level)
    if unexplained is None:
        return None
    return replace(unexplained, low=1 - unexplained.high, high=min(1.0, 1 - unexplained.low))


def paired_r2_interval(
    first: ArrayLike, second: ArrayLike, target: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Return the interval of the difference in R2 of ``first`` and ``second`` on the same samples and label draws.

    The difference is (errors of second - errors of first) divided by the common spread of the target.

    Args:
        first: (draws, n) or (n,) predictions.
        second: predictions of the other subject, in the same order.
        target: (n,) target of the same samples.
        groups: (n,) group of each sample.
        level: nominal coverage.

    Returns:
        None with fewer than two samples or groups, a constant target, or equal predictions, which give no information
        about differences on other samples.

    Raises:
        ContractError: shapes differ, or an argument is out of range.
    """
    a, b = _same_shape(first, second)
    truth = _target_of(first, target)
    sample = _error_sample(np.square(b - truth) - np.square(a - truth), target, groups)
    checked_level(level)
    return None if np.array_equal(a, b) else ratio_interval(sample, level)


def ratio_interval(sample: Sample, level: float = 0.95) -> Interval | None:
    """Return the interval of the mean over draws of a ratio, by jackknife over units and Student's t.

    Returns:
        None with fewer than two units, or if the target has no spread, with all units or without one of them.
    """
    checked_level(level)
    spread = spread_of([Part(1.0, sample.ratios(), sample.without())]) if sample.count > 1 else None
    if spread is None:
        return None
    method = f"t interval, jackknife over {sample.covers}"
    return student(float(sample.ratios().mean()), spread, level, method, sample.covers)


def r2_per_draw(predicted: ArrayLike, target: ArrayLike) -> Floats:
    """Return (draws,) R2 of each draw or shuffle, over the samples that it tested.

    Args:
        predicted: (draws, n) predictions, NaN where a sample was not tested.
        target: (n,) target.
    """
    y = np.asarray(target, dtype=np.float64)
    rows = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    return np.array([r2(y[~np.isnan(row)], row[~np.isnan(row)]) for row in rows])


def pooled_r2(predicted: ArrayLike, target: ArrayLike) -> float:
    """Return R2 over all (shuffle, sample) predictions together.

    Args:
        predicted: (shuffles, n) predictions, NaN where a sample was not tested.
        target: (n,) target.
    """
    rows = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    tested = ~np.isnan(rows)
    return r2(np.broadcast_to(np.asarray(target, dtype=np.float64), rows.shape)[tested], rows[tested])


def neuco_q(scores: ArrayLike) -> float:
    """Return the quality score of NeuCo-Bench, 2 mean / (0.02 + population sd) of the scores of all shuffles."""
    values = np.asarray(scores, dtype=np.float64)
    return float(2 * values.mean() / (0.02 + values.std()))


def _same_shape(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = as_outcomes(first), as_outcomes(second)
    if a.shape != b.shape:
        raise ContractError(
            f"paired outcomes must cover the same draws and samples, found (draws, n) {a.shape} and {b.shape}; "
            "compare runs with the same test split and label draws"
        )
    return a, b


def _target_of(predicted: ArrayLike, target: ArrayLike) -> Floats:
    outcomes, y = as_outcomes(predicted), as_outcomes(target)
    if y.shape != (1, outcomes.shape[1]):
        raise ContractError(f"the target must have one value per sample, found {y.shape[1]} for {outcomes.shape[1]}")
    return y.ravel()


def _error_sample(errors: Floats, target: ArrayLike, groups: ArrayLike | None) -> Sample:
    return make_sample(errors, groups, np.asarray(target, dtype=np.float64))


def _bounded(sample: Sample, bounds: tuple[float, float]) -> Sample | None:
    if not sample.values.size:
        return None
    lowest, highest = float(sample.values.min()), float(sample.values.max())
    if lowest < bounds[0] or highest > bounds[1]:
        wanted = f"[{bounds[0]:g}, {bounds[1]:g}]"
        raise ContractError(f"outcomes must be in {wanted}, found {lowest:g} to {highest:g}")
    return sample if sample.count > 1 else None


def _all_one(sample: Sample, values: tuple[float, ...]) -> bool:
    return bool(sample.values.min() == sample.values.max()) and float(sample.values.min()) in values


def _all_alike(bounds: tuple[float, float], sample: Sample, level: float) -> Interval:
    """Exact (Clopper-Pearson) bound where all ``sample.count`` units have the same outcome."""
    value, share = float(sample.values.min()), 1 - ((1 - level) / 2) ** (1 / sample.count)
    low, high = value - share * (value - bounds[0]), value + share * (bounds[1] - value)
    return Interval(low, high, level, f"exact binomial, all {sample.noun} alike", sample.noun)


def _spread(sample: Sample) -> Spread:
    """Spread of a mean of outcomes: samples have equal influence, groups according to their size."""
    found = spread_of([Part(1.0, sample.ratios(), sample.without())], even=sample.noun == "items")
    assert found is not None  # means of finite outcomes are finite
    return found


FINEST_STEP = 1e-4
"""Largest float32 step of stored predictions, relative to the sd of the targets."""


def prediction_dtype(targets: ArrayLike) -> type[np.float32] | type[np.float64]:
    """The dtype to store predictions of ``targets`` in: float32 unless its steps are coarse next to their spread.

    Targets of 1e9 +- 1 differ by less than a float32 step.
    """
    values = np.asarray(targets, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        return np.float32
    step = float(np.spacing(np.float32(np.abs(values).max())))
    return np.float32 if step <= FINEST_STEP * float(values.std()) else np.float64
