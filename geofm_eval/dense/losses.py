"""Losses of dense tasks, and how many values per pixel they want; pixels without a label take no part."""

from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import TaskSpec
from geofm_eval.metric import METRICS

SMOOTH = 1e-6
"""Added to both sides of a Dice score, which is then 1 where neither target nor prediction has the class."""


def loss_of(task: TaskSpec, values: Tensor, target: Tensor) -> Tensor:
    """Loss of a batch: cross-entropy; Dice where a task is scored by the IoU of one class; squared error for numbers.

    A batch without any labelled pixel has the loss 0.

    Args:
        task: for metric and ``ignore``.
        values: (B, K, height, width), K as :func:`outputs_of` says.
        target: (B, height, width) classes, or numbers with NaN where there is none, in the unit of ``values``.
    """
    if task.numeric:
        known = target.isfinite()
        error = (values[:, 0] - target.nan_to_num()).square() * known
        return error.sum() / known.sum().clamp(min=1)
    known = target != task.ignore
    if METRICS[task.metric].binary:
        return _dice(values, target, known)
    total = functional.cross_entropy(values, target, ignore_index=task.ignore, reduction="sum")
    return total / known.sum().clamp(min=1)


def outputs_of(task: TaskSpec) -> int:
    """Values per pixel that a network is trained to give: one per class; one for numbers and where Dice is the loss."""
    return 1 if task.numeric or METRICS[task.metric].binary else len(task.classes)


def classes_of(values: Tensor) -> Tensor:
    """Class of every pixel (height, width) from values (K, height, width); one value above 0 says class 1."""
    return (values[0] > 0).long() if len(values) == 1 else values.argmax(0)


def _dice(values: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - Dice of class 1, averaged over the images that have a labelled pixel, on soft counts of labelled pixels.

    Milletari et al. 2016, V-Net, arXiv 1606.04797; as PANGAEA's ``DICELoss`` for one logit.
    """
    proportions, truth = (part.flatten(1) for part in (values[:, 0].sigmoid() * known, (target == 1) * known))
    overlap, total = (proportions * truth).sum(1), (proportions + truth).sum(1)
    labelled = known.flatten(1).any(1)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return ((1 - dice) * labelled).sum() / labelled.sum().clamp(min=1)
