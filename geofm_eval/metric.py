"""Metrics: one entry each, with direction, bounds, scales, format, and its computation from counts.

To add a metric of dense tasks, add one entry to :data:`METRICS`: catalog, scores, intervals, ranges, tables and figures
follow. Scores with one label per sample are computed from samples, as accuracy or R2 (:mod:`geofm_eval.stats.scores`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError

Floats = NDArray[np.float64]

SUMS = ("n", "error", "squared_error", "target", "squared_target")
"""Statistics of the labelled pixels of an image in a regression task: their number, and sums over them."""

POINT = 0.01
"""One point of accuracy, IoU or R2."""


@dataclass(frozen=True)
class Metric:
    """A metric of test scores.

    Args:
        name: name in the catalog and in records.
        title: name in tables and figures.
        kinds: kinds of tasks that the metric can score.
        confusion: whether it is computed from confusion counts (..., K, K) or from ``SUMS`` (..., 5).
        of_totals: computes scores (...) from counts; the second argument holds the totals of the whole test split,
            which determine its classes.
        low: lowest possible score.
        high: highest possible score.
        higher_is_better: direction.
        interval_scale: scale on which the error of one score is nearly symmetric; None for the metric's own.
        range_scale: scale on which expected ranges are set: logit p, -log(1 - R2) or the logarithm.
        symbol: unit in tables; empty if values have no unit, or that of the target.
        factor: factor of values in tables.
        decimals: decimals in tables.
        floor: lower end of the vertical axis in figures, for a metric without a lowest value.
        in_target_unit: whether it is an error in the unit of the target, so that only the task can define a relevant
            difference.
        mean_of_samples: whether it is a mean over samples that are each right or wrong.
        binary: whether it scores class 1 only; networks then have one output and are trained with the Dice loss.
        probed_as: metric of the dense probe for tasks with this metric; empty for the same one.
        note: sentence below tables.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    confusion: bool
    of_totals: Callable[[Floats, Floats], Floats]
    low: float
    high: float
    higher_is_better: bool = True
    interval_scale: Literal["logit", "log"] | None = None
    range_scale: Literal["logit", "unexplained", "log"] = "logit"
    symbol: str = ""
    factor: float = 1.0
    decimals: int = 2
    floor: float | None = None
    in_target_unit: bool = False
    mean_of_samples: bool = False
    binary: bool = False
    probed_as: str = ""
    note: str = ""

    @property
    def sign(self) -> float:
        """1 if higher is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Direction as stored in records."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def proportion(self) -> bool:
        """Whether scores are between 0 and 1."""
        return (self.low, self.high) == (0.0, 1.0)

    @property
    def has_best(self) -> bool:
        """Whether the best score is 1, so that differences are in points."""
        return self.higher_is_better and self.high == 1.0

    @property
    def delta(self) -> float | None:
        """Default of the smallest relevant difference; None for errors in the target's unit."""
        return None if self.in_target_unit else POINT


def iou_per_class(counts: ArrayLike) -> Floats:
    """Return the intersection over union of every class: TP / (TP + FP + FN).

    Args:
        counts: (..., K, K) confusion counts.

    Returns:
        (..., K), NaN for a class that neither occurs nor is predicted.
    """
    matrix = np.asarray(counts, dtype=np.float64)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    union = matrix.sum(-1) + matrix.sum(-2) - hits
    return np.asarray(np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0))


def _accuracy(counts: Floats, _: Floats) -> Floats:
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return _ratio(hits, counts.sum((-2, -1)))


def _mean_iou(counts: Floats, whole: Floats) -> Floats:
    present, per_class = whole.sum(-1) > 0, iou_per_class(counts)
    # A resample may lack a class of the test split; the class is then excluded, even if it is predicted.
    known = ~np.isnan(per_class) & ((counts.sum(-1) > 0) | ~present)
    return _ratio(np.where(known, per_class, 0.0).sum(-1), known.sum(-1).astype(np.float64))


def _iou_of_class_1(counts: Floats, _: Floats) -> Floats:
    return np.asarray(iou_per_class(counts)[..., 1], dtype=np.float64)


def _rmse(sums: Floats, _: Floats) -> Floats:
    return np.asarray(np.sqrt(_ratio(sums[..., 2], sums[..., 0])), dtype=np.float64)


def _r2(sums: Floats, _: Floats) -> Floats:
    spread = sums[..., 4] - _ratio(np.square(sums[..., 3]), sums[..., 0])
    return 1 - _ratio(sums[..., 2], np.where(spread > 1e-12 * sums[..., 4], spread, 0.0))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0), dtype=np.float64)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy", "accuracy", ("classification",), True, _accuracy, 0.0, 1.0,
            interval_scale="logit", symbol="%", factor=100.0, decimals=1, mean_of_samples=True,
        ),
        Metric(
            "miou", "mIoU", ("segmentation",), True, _mean_iou, 0.0, 1.0,
            interval_scale="logit", symbol="%", factor=100.0, decimals=1,
        ),
        Metric(
            "iou", "IoU", ("segmentation",), True, _iou_of_class_1, 0.0, 1.0,
            interval_scale="logit", symbol="%", factor=100.0, decimals=1, binary=True,
        ),
        # On its own scale, because heavy tails would break any other.
        Metric(
            "r2", "R2", ("regression",), False, _r2, -math.inf, 1.0,
            range_scale="unexplained", decimals=3, floor=-0.5,
            note="R2: share of the test target's variance that is explained; negative is worse than its mean.",
        ),
        Metric(
            "rmse", "RMSE", ("dense_regression",), False, _rmse, 0.0, math.inf,
            higher_is_better=False, interval_scale="log", range_scale="log", in_target_unit=True, probed_as="r2",
        ),
    )
}  # fmt: skip
"""Every metric by its name."""


def metric_named(name: str) -> Metric:
    """Return the entry of a metric.

    Raises:
        ContractError: no metric has this name.
    """
    if name not in METRICS:
        raise ContractError(f"found metric '{name}', expected one of {', '.join(METRICS)}")
    return METRICS[name]
