"""Losses of dense tasks, and the number of outputs per pixel; pixels without a label are ignored."""

from torch import Tensor
from torch.nn import functional

from geofm_eval.catalog import TaskSpec
from geofm_eval.metric import METRICS

SMOOTH = 1e-6
"""Added to both sides of a Dice score, which is then 1 if neither target nor prediction has the class."""


def loss_of(task: TaskSpec, values: Tensor, target: Tensor) -> Tensor:
    """Return the loss of a batch: cross-entropy, Dice for tasks scored by the IoU of one class, or squared error.

    A batch without labelled pixels has loss 0.

    Args:
        task: task with its metric and ``ignore``.
        values: (B, K, height, width), see :func:`outputs_of` for K.
        target: (B, height, width) classes, or standardised values with NaN for missing ones.
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
    """Return the number of outputs per pixel: one per class, or a single one for regression and for the Dice loss."""
    return 1 if task.numeric or METRICS[task.metric].binary else len(task.classes)


def classes_of(values: Tensor) -> Tensor:
    """Return the class of every pixel (height, width) from (K, height, width); a single output above 0 is class 1."""
    return (values[0] > 0).long() if len(values) == 1 else values.argmax(0)


def _dice(values: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - Dice of class 1 on soft counts of labelled pixels, averaged over the images with a labelled pixel.

    Milletari et al. 2016, V-Net, arXiv 1606.04797; as PANGAEA's ``DICELoss`` for one logit.
    """
    proportions, truth = (part.flatten(1) for part in (values[:, 0].sigmoid() * known, (target == 1) * known))
    overlap, total = (proportions * truth).sum(1), (proportions + truth).sum(1)
    labelled = known.flatten(1).any(1)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return ((1 - dice) * labelled).sum() / labelled.sum().clamp(min=1)
