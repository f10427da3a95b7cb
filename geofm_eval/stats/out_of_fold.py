"""Intervals of R2 over shuffle splits, in which the same samples are tested repeatedly by probes trained on the others.

Predictions are crossed and incomplete: a sample is tested in a tenth of the shuffles. The error of the pooled R2 has
three sources: the choice of test samples; the choice of training labels by the shuffles (relevant if labels are few);
and the common data set of all training samples, whose effect does not average out over shuffles. The first two are
estimated. The third cannot be (Bengio and Grandvalet 2004); it is set in proportion to the first, from the number of
training samples that two shuffles share.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError
from geofm_eval.stats.jackknife import Floats, Interval, checked_level
from geofm_eval.stats.standard_error import joined, student, uneven_freedom

TEST_SHARE = 0.1
"""Proportion of the samples that each shuffle split tests, as in NeuCo-Bench."""

SHARED_TRAINING = 0.25
"""Variance of the shared training samples relative to that of the test samples, at complete overlap.

Ridge regressions on 300 simulated samples need .1 to .8, more for less correlated features.
"""

METHOD = "crossed over shuffles and items, shared training items counted"


def shuffle_interval(predicted: ArrayLike, target: ArrayLike, n_train: float, level: float = 0.95) -> Interval | None:
    """Return the interval of the pooled out-of-fold R2 over shuffle splits.

    The estimand is the mean R2 of probes trained on ``n_train`` samples and tested on others, over data sets of the
    same size. To first order, a prediction contributes (squared error - (1 - R2) squared distance of the target from
    its mean) / pooled spread. With V_i and V_s the sums of squared contributions of samples and of shuffles, the
    variance is (1 + n_train / 4n) V_i + V_s, up to small-sample factors. Samples that are always tested together, for
    example in spatial blocks, count as one.

    Args:
        predicted: (shuffles, n) predictions, NaN where a sample was not tested.
        target: (n,) target.
        n_train: labelled training samples per shuffle.
        level: nominal coverage.

    Returns:
        None with fewer than two shuffles or samples, or a constant target.

    Raises:
        ContractError: inconsistent shapes, every sample tested in every shuffle, or a level outside (0, 1).
    """
    predictions = _predictions(predicted, target)
    errors = np.square(predictions - np.asarray(target, dtype=np.float64))
    found = _interval(errors, target, n_train, level)
    return None if found is None else replace(found, low=1 - found.high, high=min(1.0, 1 - found.low))


def paired_shuffle_interval(
    first: ArrayLike, second: ArrayLike, target: ArrayLike, n_train: float, level: float = 0.95
) -> Interval | None:
    """Return the interval of the difference in pooled R2 of two subjects tested on the same shuffles.

    Returns:
        None as in `shuffle_interval`, and if all predictions are equal.

    Raises:
        ContractError: the subjects were not tested on the same samples, or as in `shuffle_interval`.
    """
    a, b = _predictions(first, target), _predictions(second, target)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        raise ContractError(
            f"found paired predictions {a.shape} and {b.shape}, expected the same shuffles of the same samples; "
            "compare runs with one split"
        )
    if np.array_equal(a, b, equal_nan=True):
        return None
    truth = np.asarray(target, dtype=np.float64)
    return _interval(np.square(b - truth) - np.square(a - truth), target, n_train, level)


def contributions(errors: Floats, target: ArrayLike) -> tuple[float, Floats]:
    """Return the ratio of errors to the spread of the target, and its first-order contributions by shuffle and unit.

    Args:
        errors: (shuffles, n) squared errors, or differences of them; NaN where a sample was not tested.
        target: (n,) target.

    Returns:
        The ratio, NaN for a constant target; and (shuffles, units), where samples tested by the same shuffles are one
        unit.
    """
    tested = ~np.isnan(errors)
    truth = np.asarray(target, dtype=np.float64)
    apart = np.square(truth - truth @ tested.sum(0) / tested.sum())
    spread = float((tested * apart).sum())
    if spread <= 1e-12 * float(np.square(truth).sum()):
        return math.nan, np.zeros((len(errors), 0))
    known = np.where(tested, errors, 0.0)
    ratio = float(known.sum()) / spread
    return ratio, _by_unit((known - ratio * tested * apart) / spread, tested)


def tested_share(predicted: ArrayLike) -> float:
    """Return the ratio of tested to untested samples per shuffle, for predictions as in :func:`shuffle_interval`."""
    tested = ~np.isnan(np.atleast_2d(np.asarray(predicted, dtype=np.float64)))
    share = float(tested.mean())
    if share == 1:
        raise ContractError("every sample was tested in every shuffle; use r2_interval for a test split")
    return share / (1 - share)


def _predictions(predicted: ArrayLike, target: ArrayLike) -> Floats:
    rows = np.atleast_2d(np.asarray(predicted, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1:] != np.shape(target):
        raise ContractError(f"predictions must be (shuffles, n) for {np.shape(target)} targets, found {rows.shape}")
    tested_share(rows)
    return rows


def _interval(errors: Floats, target: ArrayLike, n_train: float, level: float) -> Interval | None:
    """Interval of the sum of ``errors`` (shuffles, n), NaN where not tested, over the spread of the tested targets."""
    checked_level(level)
    ratio, added = contributions(errors, target)
    if not math.isfinite(ratio) or min(added.shape) < 2:
        return None
    of_units, of_shuffles = error_parts(added, n_train / errors.shape[1])
    items = float(np.square(of_units).sum()), uneven_freedom(of_units)
    spread = joined(items, [(float(np.square(of_shuffles).sum()), len(of_shuffles) - 1)])
    return student(ratio, spread, level, METHOD, "shuffle splits")


def _by_unit(added: Floats, tested: NDArray[np.bool_]) -> Floats:
    """Return (shuffles, units) sums over the items that were tested in the same shuffles."""
    kept = tested.any(0)
    # Columns as fixed-length strings of bits, because sorting those is ten times faster than sorting columns.
    bits = np.ascontiguousarray(np.packbits(tested[:, kept], axis=0).T)
    member = np.unique(bits.view(f"S{bits.shape[1]}").ravel(), return_inverse=True)[1].reshape(-1)
    summed = np.zeros((int(member.max(initial=-1)) + 1, len(added)))
    np.add.at(summed, member, added[:, kept].T)
    return summed.T


def error_parts(added: Floats, shared: float) -> tuple[Floats, Floats]:
    """Return the contributions of samples and of shuffles to the error of a ratio; their squares sum to its variance.

    Args:
        added: (shuffles, units), see :func:`contributions`.
        shared: labelled training samples of a shuffle divided by the number of samples.

    Returns:
        (units,) and (shuffles,).
    """
    shuffles, units = added.shape
    of_units = math.sqrt(units / (units - 1) * (1 + SHARED_TRAINING * shared)) * added.sum(0)
    return of_units, math.sqrt(shuffles / (shuffles - 1)) * added.sum(1)
