"""Score with interval on one stand-in, and how it is computed from dense predictions."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofm_eval.data.split import Split
from geofm_eval.metric import iou_per_class
from geofm_eval.stats.confusion_counts import confusion, mean_iou
from geofm_eval.stats.counts import count_interval
from geofm_eval.stats.jackknife import make_sample
from geofm_eval.stats.scores import ratio_interval


@dataclass(frozen=True)
class StandinScore:
    """Score in the task's metric, with the ends of its 95 % interval."""

    value: float
    low: float | None
    high: float | None


def score_maps(split: Split, predict: Callable[[int], NDArray[np.generic]]) -> StandinScore:
    """Score dense predictions.

    Args:
        split: split of a task with one label per pixel.
        predict: maps the position of a sample to (height, width) classes or values.
    """
    if split.task.kind == "dense_regression":
        return _rmse(split, predict)
    classes = len(split.task.classes)
    counts = np.stack(
        [confusion(split.read_target(i), predict(i), classes, split.task.ignore) for i in range(len(split))]
    )
    interval = count_interval(counts[None], split.task.metric, split.groups)
    return StandinScore(from_counts(counts.sum(0), split.task.metric), *_ends(interval))


def from_counts(counts: NDArray[np.int64], metric: str) -> float:
    """Return ``miou``, or ``iou`` of class 1, from summed confusion counts."""
    return float(iou_per_class(counts)[1]) if metric == "iou" else float(mean_iou(counts))


def _rmse(split: Split, predict: Callable[[int], NDArray[np.generic]]) -> StandinScore:
    errors = []
    for index in range(len(split)):
        target = split.read_target(index)
        known = np.isfinite(target)
        errors.append(float(np.square(predict(index)[known] - target[known]).mean()))
    # Chips have one size, so that the mean over chips equals the mean over pixels.
    interval = ratio_interval(make_sample(errors, split.groups))
    low, high = _ends(interval)
    roots = [None if end is None else math.sqrt(max(end, 0.0)) for end in (low, high)]
    return StandinScore(math.sqrt(float(np.mean(errors))), *roots)


def _ends(interval: object) -> tuple[float | None, float | None]:
    return getattr(interval, "low", None), getattr(interval, "high", None)
