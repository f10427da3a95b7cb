"""Segmentation scores from confusion counts: IoU per class and its mean; for intervals see ``counts``.

All pixels of a test split are counted in one matrix; scores are not averaged over images.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.errors import ContractError
from geofm_eval.metric import Floats, iou_per_class

Counts = NDArray[np.int64]
"""(classes, classes) pixels by true class (rows) and predicted class (columns)."""


def confusion(target: NDArray[Any], predicted: NDArray[Any], classes: int, ignore: int) -> Counts:
    """Count the pixels of one image by true and predicted class.

    Args:
        target: classes of any shape, ``ignore`` at pixels without a label.
        predicted: classes of the same shape.
        classes: number of classes K.
        ignore: label of excluded pixels.

    Returns:
        (K, K) int64.

    Raises:
        ContractError: shapes differ, or a class is outside 0..K-1 at a labelled pixel.
    """
    if target.shape != predicted.shape:
        raise ContractError(f"target and prediction must have equal shapes, found {target.shape} and {predicted.shape}")
    counted = target != ignore
    truth, guess = target[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for what, values in (("target", truth), ("prediction", guess)):
        if values.size and (values.min() < 0 or values.max() >= classes):
            raise ContractError(f"{what} has classes {values.min()} to {values.max()}, expected 0 to {classes - 1}")
    counts: Counts = np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)
    return counts


def mean_iou(counts: ArrayLike) -> Floats:
    """Return the unweighted mean IoU over classes that occur or are predicted, (...,) for counts (..., K, K)."""
    per_class = iou_per_class(counts)
    known = ~np.isnan(per_class)
    total = np.where(known, per_class, 0.0).sum(-1)
    return np.asarray(np.divide(total, known.sum(-1), out=np.full(total.shape, np.nan), where=known.any(-1)))
