"""Predictions of whole chips from windows, and their scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.inspection import labelled
from geofm_eval.data.pixels import RawImage
from geofm_eval.dense.batches import Pair
from geofm_eval.dense.losses import classes_of
from geofm_eval.dense.model import DenseModel
from geofm_eval.dense.windows import Window, covering, cut
from geofm_eval.metric import METRICS, iou_per_class
from geofm_eval.stats.confusion_counts import confusion
from geofm_eval.stats.counts import count_score

Array = NDArray[Any]

WINDOWS_AT_ONCE = 16


def joined(values: Sequence[Tensor], windows: Sequence[Window], shape: tuple[int, int]) -> Tensor:
    """Join the windows of a chip; overlapping values are averaged.

    Args:
        values: (K, size, size) per window; parts beyond the edge of the chip are cut off.
        windows: positions of the windows, which together cover the chip.
        shape: (height, width) of the chip.

    Returns:
        (K, height, width).
    """
    total = values[0].new_zeros(len(values[0]), *shape)
    count = values[0].new_zeros(shape)
    for value, window in zip(values, windows, strict=True):
        rows, columns = window.area
        part = total[:, rows, columns]
        part += value[:, : part.shape[1], : part.shape[2]]
        count[rows, columns] += 1
    return total / count


@dataclass(frozen=True)
class ChipPredictor:
    """Values of whole chips, encoded window by window; windows have ``size`` pixels per side."""

    adapter: InputAdapter
    size: int
    device: torch.device

    def __call__(self, model: DenseModel, image: RawImage, item: int) -> Tensor:
        """Return (K, height, width) values of one chip."""
        shape = (int(image.valid.shape[-2]), int(image.valid.shape[-1]))
        windows = covering(*shape, self.size)
        values: list[Tensor] = []
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            images = [cut(image, window) for window in windows[start : start + WINDOWS_AT_ONCE]]
            maps = model.maps(self.adapter(images).to(self.device))
            values += model.decode(maps, (self.size, self.size))
        return joined(values, windows, shape)


@dataclass(frozen=True)
class StoredPredictor:
    """Values of whole chips from stored feature maps.

    Args:
        maps: (n, T, D, h, w) per tap, for every window of every chip of the split, chip by chip.
        windows: position of the chip and window, in the order of ``maps``.
        shapes: (height, width) of every chip.
        device: device of the network.
    """

    maps: tuple[NDArray[np.float32], ...]
    windows: Sequence[tuple[int, Window]]
    shapes: Sequence[tuple[int, int]]
    device: torch.device

    def __call__(self, model: DenseModel, image: RawImage, item: int) -> Tensor:
        """Return (K, height, width) values of one chip."""
        rows = [row for row, (chip, _) in enumerate(self.windows) if chip == item]
        own = [self.windows[row][1] for row in rows]
        values: list[Tensor] = []
        for start in range(0, len(rows), WINDOWS_AT_ONCE):
            some = rows[start : start + WINDOWS_AT_ONCE]
            maps = [torch.from_numpy(np.ascontiguousarray(part[some])).to(self.device) for part in self.maps]
            values += model.decode(maps, (own[0].size, own[0].size))
        return joined(values, own, self.shapes[item])


Predictor = Callable[[DenseModel, RawImage, int], Tensor]
"""Maps a network, a chip and its position in the split to values (K, height, width)."""


def predictions(
    model: DenseModel,
    predictor: Predictor,
    task: TaskSpec,
    read: Callable[[int], Pair],
    items: Sequence[int],
    scale: tuple[float, float] = (0.0, 1.0),
) -> Iterator[tuple[Array, Array]]:
    """Yield target and prediction (height, width) of each chip: classes, or values in the unit of the target.

    Args:
        model: network in eval mode.
        predictor: gives the values of a chip.
        task: determines what the values mean.
        read: reads image and target of the chip at a position.
        items: positions of the chips.
        scale: (mean, standard deviation) by which a regression target was standardised.
    """
    with torch.inference_mode():
        for item in items:
            image, target = read(item)
            values = predictor(model, image, item)
            if task.numeric:
                mean, deviation = scale
                predicted = (values[0] * deviation + mean).cpu().numpy()
            else:
                predicted = classes_of(values).cpu().numpy()
            yield target, predicted


def counts_of(task: TaskSpec, target: Array, predicted: Array) -> Array:
    """Return the stored counts of a chip: (K, K) confusion counts, or ``counts.SUMS`` (5,) float64."""
    if not task.numeric:
        return confusion(target, predicted, len(task.classes), task.ignore)
    known = labelled(target, task)
    truth, error = target[known].astype(np.float64), (predicted - target)[known].astype(np.float64)
    return np.array([known.sum(), error.sum(), np.square(error).sum(), truth.sum(), np.square(truth).sum()])


def score_of(task: TaskSpec, counts: Array) -> float:
    """Return the task's metric from the counts of every chip, (n, K, K) or (n, 5)."""
    return float(count_score(counts[None], task.metric)[0])


def secondary_metrics(task: TaskSpec, counts: Array) -> dict[str, float]:
    """Return scores that selection does not use: pixel accuracy, mean F1 and IoU of every class, or RMSE and R2.

    A class that neither occurs nor is predicted has no score.
    """
    total = np.asarray(counts.sum(0), dtype=np.float64)
    if task.numeric:
        spread = total[4] - total[3] ** 2 / total[0]
        error = {"rmse": float(np.sqrt(total[2] / total[0]))}
        return {**error, "r2": float(1 - total[2] / spread)} if spread > 0 else error
    if not task.dense:
        return {}
    hits, both = np.diag(total), total.sum(0) + total.sum(1)
    f1 = np.divide(2 * hits, both, out=np.full(len(hits), np.nan), where=both > 0)
    per_class = {f"iou_class{k:02d}": float(v) for k, v in enumerate(iou_per_class(total)) if np.isfinite(v)}
    return {"pixel_accuracy": float(hits.sum() / total.sum()), "mean_f1": float(np.nanmean(f1)), **per_class}


def quality(task: TaskSpec, counts: Array) -> float:
    """Return the task's score with a sign such that greater is better."""
    return METRICS[task.metric].sign * score_of(task, counts)


def resampled_quality(task: TaskSpec, counts: Array, weights: Array) -> NDArray[np.float64]:
    """Return the quality (B,) of resamples of chips; classes that a resample lacks are left out.

    Args:
        task: task with its metric.
        counts: (n, K, K) or (n, 5), counts of every chip.
        weights: (B, n), how often each chip is drawn.
    """
    whole = counts.sum(0, dtype=np.float64)
    own = np.array(weights, dtype=np.float64)
    own[own.sum(1) == 0] = 1.0  # a resample without any of these chips counts all of them once
    totals = np.tensordot(own, counts, axes=1)
    # The whole comes first, because the first total determines which classes exist.
    scores = count_score(np.concatenate([whole[None], totals])[:, None], task.metric)[1:]
    return METRICS[task.metric].sign * scores
