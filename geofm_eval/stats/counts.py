"""Intervals of scores of summed counts (mIoU, RMSE, R2 of pixels): training seeds crossed with whole images or groups.

Such a score is no ratio of two sums over images, but a function of sums: confusion counts, or sums of errors. What is
left out in turn are therefore the images' counts, for all terms of a contrast the same images, so that a difference of
two networks on one test split is paired.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError
from geofm_eval.stats.confusion_counts import iou_per_class
from geofm_eval.stats.jackknife import Floats, Interval, checked_level, make_sample
from geofm_eval.stats.standard_error import LOG, LOGIT, Part, spread_of, student

SUMS = ("n", "error", "squared_error", "target", "squared_target")
"""What is kept of the labelled pixels of an image of a regression: their number, and sums over them."""

OF_CONFUSIONS = ("accuracy", "miou", "iou")
"""Metrics that are functions of confusion counts; the others are of ``SUMS``."""

BOUNDS = {name: (0.0, 1.0) for name in OF_CONFUSIONS} | {"rmse": (0.0, math.inf), "r2": (-math.inf, 1.0)}
"""Lowest and highest possible score."""

SCALES = dict.fromkeys(OF_CONFUSIONS, LOGIT) | {"rmse": LOG}
"""Scales that the error of a single score is nearly symmetric on; R2 has none that heavy tails would not break."""

Metric = Callable[[Floats], Floats]
"""From totals (..., K, K) or (..., 5) to scores (...)."""


@dataclass(frozen=True)
class Term:
    """One network of a contrast.

    Args:
        weight: the mean of its scores over the seeds counts so much.
        counts: (seeds, n, K, K) confusion counts or (seeds, n, 5) ``SUMS`` of every test image.
        metric: ``accuracy``, ``miou``, ``iou`` (of class 1), ``rmse`` or ``r2``.
    """

    weight: float
    counts: NDArray[np.generic]
    metric: str


def count_score(counts: ArrayLike, metric: str) -> Floats:
    """Score of every seed, (seeds,), all images of a test split in one sum.

    Args:
        counts: see :class:`Term`.
        metric: see :class:`Term`.

    Raises:
        ContractError: an unknown metric, or counts of another kind.
    """
    totals = _checked(Term(1.0, np.asarray(counts), metric)).sum(1)
    return _metric(metric, totals)(totals)


def scores_without(counts: ArrayLike, metric: str, groups: ArrayLike | None = None) -> Floats:
    """Score of every seed when one image, or one group, is left out: (seeds, units), for a jackknife.

    Args:
        counts: see :class:`Term`.
        metric: see :class:`Term`.
        groups: (n,) group of each image; groups are left out whole.
    """
    checked = _checked(Term(1.0, np.asarray(counts), metric))
    sample = make_sample(np.zeros(checked.shape[1]), groups)
    return _left_out(_by_unit(checked, sample.member, sample.count), metric)[1]


def count_interval(
    counts: ArrayLike, metric: str, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Interval of the mean score over seeds; see :func:`contrast_interval`."""
    return contrast_interval([Term(1.0, np.asarray(counts), metric)], groups, level)


def contrast_interval(terms: Sequence[Term], groups: ArrayLike | None = None, level: float = 0.95) -> Interval | None:
    """Interval of a weighted sum of mean scores, such as +1 and -1 for the difference of two networks.

    Jackknife over images or groups, seeds of every term apart, Student's t. The interval of a single score is symmetric
    on the logit scale, that of a single RMSE on the log scale.

    Args:
        terms: networks tested on the same images.
        groups: (n,) group (scene, event) of each image, whose images are dependent.
        level: nominal coverage.

    Returns:
        None with fewer than two images or groups, or where a score does not exist, or would not without one of them.

    Raises:
        ContractError: no term, shapes that do not fit, an unknown metric, or a level outside (0, 1).
    """
    checked_level(level)
    counts = [_checked(term) for term in terms]
    if not counts or len({one.shape[1] for one in counts}) > 1:
        raise ContractError("a contrast needs terms over the same images")
    sample = make_sample(np.zeros(counts[0].shape[1]), groups)
    if sample.count < 2:
        return None
    parts = []
    for term, one in zip(terms, counts, strict=True):
        scores, without = _left_out(_by_unit(one, sample.member, sample.count), term.metric)
        parts.append(Part(term.weight, scores, without))
    spread = spread_of(parts)
    if spread is None:
        return None
    covers = f"seeds x {sample.noun}" if any(len(one) > 1 for one in counts) else sample.noun
    value = sum(part.weight * float(part.scores.mean()) for part in parts)
    alone = terms[0].metric if len(terms) == 1 and terms[0].weight == 1 else ""
    scale = SCALES.get(alone)
    method = f"t interval, jackknife over {covers}" + (f", {scale.name} scale" if scale else "")
    return _within(student(value, spread, level, method, covers, scale), terms)


def _left_out(units: Floats, metric: str) -> tuple[Floats, Floats]:
    """Scores (seeds,), and those without each unit (seeds, units), from counts of units (seeds, units, ...)."""
    total = units.sum(1)
    score = _metric(metric, total)
    return score(total), score(total[:, None] - units)


def _within(interval: Interval, terms: Sequence[Term]) -> Interval:
    """An interval cut where no score can lie: t intervals over a handful of groups go far beyond."""
    ends = [tuple(term.weight * bound for bound in BOUNDS[term.metric]) for term in terms]
    low, high = sum(map(min, ends)), sum(map(max, ends))
    return replace(interval, low=max(interval.low, low), high=min(interval.high, high))


def _checked(term: Term) -> Floats:
    counts = np.asarray(term.counts, dtype=np.float64)
    confusions = term.metric in OF_CONFUSIONS
    fits = counts.ndim == 4 and counts.shape[2] == counts.shape[3] if confusions else counts.ndim == 3
    if term.metric not in BOUNDS:
        raise ContractError(f"metric '{term.metric}' is none of counts: expected accuracy, miou, iou, rmse or r2")
    if not fits or (not confusions and counts.shape[2] != len(SUMS)) or not len(counts):
        wanted = "(seeds, n, K, K)" if confusions else f"(seeds, n, {len(SUMS)})"
        raise ContractError(f"counts for {term.metric} must have shape {wanted}, found {counts.shape}")
    if not np.isfinite(counts).all():
        raise ContractError("counts must be finite")
    return counts


def _by_unit(counts: Floats, member: NDArray[np.int64], units: int) -> Floats:
    summed = np.zeros((units, len(counts), *counts.shape[2:]))
    np.add.at(summed, member, counts.swapaxes(0, 1))
    return summed.swapaxes(0, 1)


def _metric(name: str, totals: Floats) -> Metric:
    """The score as a function of totals; ``totals`` (seeds, ...) of the whole test split say which classes it has."""
    if name == "rmse":
        return _rmse
    if name == "r2":
        return _r2
    if name == "iou":
        return _iou_of_class_1
    if name == "accuracy":
        return _accuracy
    present = totals[0].sum(-1) > 0

    def mean_over_present(counts: Floats) -> Floats:
        per_class = iou_per_class(counts)
        # A resample may lack a class that the test split has: it is left out there, even where it is predicted.
        known = ~np.isnan(per_class) & ((counts.sum(-1) > 0) | ~present)
        return _ratio(np.where(known, per_class, 0.0).sum(-1), known.sum(-1).astype(np.float64))

    return mean_over_present


def _iou_of_class_1(counts: Floats) -> Floats:
    return np.asarray(iou_per_class(counts)[..., 1], dtype=np.float64)


def _accuracy(counts: Floats) -> Floats:
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return np.asarray(_ratio(hits, counts.sum((-2, -1))), dtype=np.float64)


def _rmse(sums: Floats) -> Floats:
    return np.asarray(np.sqrt(_ratio(sums[..., 2], sums[..., 0])), dtype=np.float64)


def _r2(sums: Floats) -> Floats:
    spread = sums[..., 4] - _ratio(np.square(sums[..., 3]), sums[..., 0])
    return 1 - _ratio(sums[..., 2], np.where(spread > 1e-12 * sums[..., 4], spread, 0.0))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0), dtype=np.float64)
