"""Losses of dense tasks; pixels without a label take no part."""

from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import TaskSpec


def loss_of(task: TaskSpec, values: Tensor, target: Tensor) -> Tensor:
    """Loss of a batch: cross-entropy; Dice where a task is scored by the IoU of one class; squared error for numbers.

    A batch without any labelled pixel has the loss 0.

    Args:
        task: for metric and ``ignore``.
        values: (B, K, height, width).
        target: (B, height, width) classes, or numbers with NaN where there is none, in the unit of ``values``.
    """
    if task.numeric:
        known = target.isfinite()
        error = (values[:, 0] - target.nan_to_num()).square() * known
        return error.sum() / known.sum().clamp(min=1)
    known = target != task.ignore
    if task.metric == "iou":
        return _dice(values, target.clamp(min=0), known)
    total = functional.cross_entropy(values, target, ignore_index=task.ignore, reduction="sum")
    return total / known.sum().clamp(min=1)


def _dice(values: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - Dice, averaged over the classes that the batch has, on soft counts of the labelled pixels of the whole batch.

    Milletari et al. 2016, V-Net, arXiv 1606.04797.
    """
    shares = values.softmax(1) * known[:, None]
    truth = functional.one_hot(target * known, values.shape[1]).movedim(-1, 1) * known[:, None]
    overlap, total = (shares * truth).sum((0, 2, 3)), (shares + truth).sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    dice = 2 * overlap / total.clamp(min=1e-7)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
