"""Intervals of scores of summed counts (mIoU, RMSE, R2 of pixels): training seeds crossed with whole images or groups.

Such a score is no ratio of two sums over images, but a function of sums: confusion counts, or sums of errors. What is
resampled are therefore the images' counts (Efron and Tibshirani 1993, chapter 6), for all terms of a contrast the same
images, so that a difference of two networks on one test split is paired.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.confusion import iou_per_class
from geofm_eval.errors import ContractError
from geofm_eval.resampling import (
    FEW_GROUPS,
    RESAMPLES,
    Floats,
    Interval,
    checked_level,
    joint_freedom,
    make_sample,
    resample_counts,
    t_quantile,
    with_draws,
)

SUMS = ("n", "error", "squared_error", "target", "squared_target")
"""What is kept of the labelled pixels of an image of a regression: their number, and sums over them."""

OF_CONFUSIONS = ("accuracy", "miou", "iou")
"""Metrics that are functions of confusion counts; the others are of ``SUMS``."""

BOUNDS = {name: (0.0, 1.0) for name in OF_CONFUSIONS} | {"rmse": (0.0, math.inf), "r2": (-math.inf, 1.0)}
"""Lowest and highest possible score."""

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
    units = _by_unit(checked, sample.member, sample.count)
    total = units.sum(1)
    return _metric(metric, total)(total[:, None] - units)


def count_interval(
    counts: ArrayLike,
    metric: str,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of the mean score over seeds; see :func:`contrast_interval`."""
    return contrast_interval([Term(1.0, np.asarray(counts), metric)], groups, level, resamples, seed)


def contrast_interval(
    terms: Sequence[Term],
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of a weighted sum of mean scores, such as +1 and -1 for the difference of two networks.

    Percentile bootstrap over images or groups, seeds resampled within every term and widened as label draws are. Below
    ``FEW_GROUPS`` groups: leave-one-group-out jackknife with a t interval, the variance between seeds added, degrees of
    freedom after Satterthwaite (1946).

    Args:
        terms: networks tested on the same images.
        groups: (n,) group (scene, event) of each image; groups are then resampled whole.
        level: nominal coverage.
        resamples: bootstrap resamples.
        seed: the same for all models of a task.

    Returns:
        None with fewer than two images or groups.

    Raises:
        ContractError: no term, shapes that do not fit, an unknown metric, or a level outside (0, 1).
    """
    checked_level(level)
    parts = [_checked(term) for term in terms]
    if not parts or len({part.shape[1] for part in parts}) > 1:
        raise ContractError("a contrast needs terms over the same images")
    sample = make_sample(np.zeros(parts[0].shape[1]), groups)
    if sample.count < 2:
        return None
    # (seeds, units, ...): the counts of a unit's images added.
    units = [_by_unit(part, sample.member, sample.count) for part in parts]
    covers = f"seeds x {sample.noun}" if any(len(part) > 1 for part in parts) else sample.noun
    if sample.noun == "groups" and sample.count < FEW_GROUPS:
        found = _jackknife(terms, units, level, covers)
    else:
        found = _bootstrap(terms, units, level, resamples, seed, covers)
    return None if found is None else _within(found, terms)


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


def _bootstrap(
    terms: Sequence[Term], units: Sequence[Floats], level: float, resamples: int, seed: int, covers: str
) -> Interval | None:
    count = units[0].shape[1]
    drawn = resample_counts(count, resamples, seed)
    total, of_images = np.zeros(resamples), np.zeros(resamples)
    between: list[tuple[float, float]] = []
    for number, (term, unit) in enumerate(zip(terms, units, strict=True)):
        score = _metric(term.metric, unit.sum(1))
        scores = np.concatenate([score(np.einsum("ru,su...->rs...", part.astype(np.float64), unit)) for part in drawn])
        # Seeds of two networks have nothing to do with each other: each term resamples its own.
        total += term.weight * (with_draws(scores, level, seed + number) if len(unit) > 1 else scores[:, 0])
        of_images += term.weight * scores.mean(1)
        if len(unit) > 1:
            between.append(_between_seeds(term, score(unit.sum(1))))
    total, of_images = total[np.isfinite(total)], of_images[np.isfinite(of_images)]
    if not len(total):
        return None
    low, high = np.quantile(total, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentile bootstrap over {covers}, {resamples} resamples"
    return Interval(
        float(low), float(high), level, method, covers, joint_freedom([(float(of_images.var()), count - 1), *between])
    )


def _between_seeds(term: Term, per_seed: Floats) -> tuple[float, float]:
    """Variance of a term's mean over its seeds, with its degrees of freedom."""
    return term.weight**2 * float(per_seed.var(ddof=1)) / len(per_seed), len(per_seed) - 1


def _jackknife(terms: Sequence[Term], units: Sequence[Floats], level: float, covers: str) -> Interval | None:
    count = units[0].shape[1]
    estimate, without, parts = 0.0, np.zeros(count), []
    for term, unit in zip(terms, units, strict=True):
        total = unit.sum(1)
        score = _metric(term.metric, total)
        per_seed = score(total)
        estimate += term.weight * float(per_seed.mean())
        without += term.weight * score(total[:, None] - unit).mean(0)
        if len(unit) > 1:
            parts.append(_between_seeds(term, per_seed))
    if not (np.isfinite(without).all() and math.isfinite(estimate)):
        return None
    parts.insert(0, ((count - 1) / count * float(np.square(without - without.mean()).sum()), count - 1))
    freedom = joint_freedom(parts)
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(sum(part for part, _ in parts))
    method = f"jackknife over {count} groups, t with {freedom:.1f} df (too few groups for a bootstrap)"
    return Interval(estimate - half, estimate + half, level, method, covers, freedom)
