"""Intervals of scores of summed counts (mIoU, RMSE, R2 of pixels): training seeds crossed with whole images or groups.

Such a score is not a ratio of two sums over images, but a function of sums: confusion counts, or sums of errors. The
jackknife therefore leaves out the counts of one image at a time, the same image for all terms of a contrast, so that a
difference of two networks on one test split is paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError
from geofm_eval.metric import METRICS, SUMS, metric_named
from geofm_eval.stats.jackknife import Floats, Interval, checked_level, make_sample
from geofm_eval.stats.standard_error import LOG, LOGIT, Part, spread_of, student

_SCALES = {"logit": LOGIT, "log": LOG}


@dataclass(frozen=True)
class Term:
    """One network of a contrast, with the weight of the mean of its scores over the seeds.

    ``counts`` are (seeds, n, K, K) confusion counts or (seeds, n, 5) ``SUMS`` of every test image; ``metric`` is one of
    :data:`geofm_eval.metric.METRICS`.
    """

    weight: float
    counts: NDArray[np.generic]
    metric: str


def count_score(counts: ArrayLike, metric: str) -> Floats:
    """Return the score of every seed, (seeds,), from counts summed over all images; see :class:`Term`.

    Raises:
        ContractError: the metric is unknown, or the counts are of another kind.
    """
    totals = _checked(Term(1.0, np.asarray(counts), metric)).sum(1)
    return metric_named(metric).of_totals(totals, totals[0])


def scores_without(counts: ArrayLike, metric: str, groups: ArrayLike | None = None) -> Floats:
    """Return the score of every seed without each image or group (n,), (seeds, units), for a jackknife."""
    checked = _checked(Term(1.0, np.asarray(counts), metric))
    sample = make_sample(np.zeros(checked.shape[1]), groups)
    return _left_out(_by_unit(checked, sample.member, sample.count), metric)[1]


def count_interval(
    counts: ArrayLike, metric: str, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Return the interval of the mean score over seeds; see :func:`contrast_interval`."""
    return contrast_interval([Term(1.0, np.asarray(counts), metric)], groups, level)


def contrast_interval(terms: Sequence[Term], groups: ArrayLike | None = None, level: float = 0.95) -> Interval | None:
    """Return the interval of a weighted sum of mean scores, for example +1 and -1 for a difference of two networks.

    It uses the jackknife over images or groups, separate seeds for every term, and Student's t. The interval of a
    single score is symmetric on the logit scale, that of a single RMSE on the log scale.

    Args:
        terms: networks tested on the same images.
        groups: (n,) group (scene, event) of each image; images of a group are dependent.
        level: nominal coverage.

    Returns:
        None with fewer than two images or groups, or if a score is undefined with all units or without one of them.

    Raises:
        ContractError: no term, inconsistent shapes, an unknown metric, or a level outside (0, 1).
    """
    checked_level(level)
    counts = [_checked(term) for term in terms]
    images = sorted({one.shape[1] for one in counts})
    if len(images) != 1:
        raise ContractError(
            f"found terms over {' and '.join(map(str, images)) or 'no'} images, expected at least one term, all over "
            "the same images; give every term the counts of the same images"
        )
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
    scale = _SCALES.get(METRICS[alone].interval_scale or "") if alone else None
    method = f"t interval, jackknife over {covers}" + (f", {scale.name} scale" if scale else "")
    return _within(student(value, spread, level, method, covers, scale), terms)


def _left_out(units: Floats, metric: str) -> tuple[Floats, Floats]:
    """Return scores (seeds,), and those without each unit (seeds, units), from counts (seeds, units, ...)."""
    total = units.sum(1)
    score = metric_named(metric).of_totals
    return score(total, total[0]), score(total[:, None] - units, total[0])


def _within(interval: Interval, terms: Sequence[Term]) -> Interval:
    """Cut an interval where no score can be: t intervals over a handful of groups go far beyond."""
    ends = [(term.weight * METRICS[term.metric].low, term.weight * METRICS[term.metric].high) for term in terms]
    low, high = sum(map(min, ends)), sum(map(max, ends))
    return replace(interval, low=max(interval.low, low), high=min(interval.high, high))


def _checked(term: Term) -> Floats:
    counts = np.asarray(term.counts, dtype=np.float64)
    confusions = metric_named(term.metric).confusion
    fits = counts.ndim == 4 and counts.shape[2] == counts.shape[3] if confusions else counts.ndim == 3
    if not fits or (not confusions and counts.shape[2] != len(SUMS)) or not len(counts):
        wanted = "(seeds, n, K, K)" if confusions else f"(seeds, n, {len(SUMS)})"
        raise ContractError(f"counts for {term.metric} must have shape {wanted}, found {counts.shape}")
    if not np.isfinite(counts).all():
        raise ContractError(
            f"counts for {term.metric} have values that are not finite, expected finite counts; leave out the images "
            "without counts"
        )
    return counts


def _by_unit(counts: Floats, member: NDArray[np.int64], units: int) -> Floats:
    """Sums over the images of each unit, (seeds, units, ...)."""
    by_image = counts.swapaxes(0, 1)
    if units == len(member):  # every image is a unit
        summed = np.ascontiguousarray(by_image[np.argsort(member)])
    else:
        summed = np.zeros((units, len(counts), *counts.shape[2:]))
        np.add.at(summed, member, by_image)
    return summed.swapaxes(0, 1)
