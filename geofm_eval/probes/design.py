"""Batches of logistic regressions: rows, targets, and the fit of given logits with its gradient and curvature."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_CURVATURE = 1e-12
ABSENT_LOGIT = -1e30


class LogisticFit(NamedTuple):
    """Mean loss (B,) and probabilities (B, K, n) of logits."""

    loss: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class Design:
    """A batch of B problems, padded to the same shape.

    Attributes:
        rows: (B, n, p) float32, or float64 for exact products; column 0 is 1 for the intercept, followed by coordinates
        in principal axes, then zeros.
        curvature: (B, p) float64, mean square of each column.
        targets: (B, K, n) float64, one-hot, or the proportion of every class in a row.
        shares: (B, 1, n) float64, weight of each row in the mean: 1/n for equal weights, and 0 for padding.
        present: (B, K) bool, False for a class without any row; it is never predicted.
    """

    rows: Tensor
    curvature: Tensor
    targets: Tensor
    shares: Tensor
    present: Tensor

    def select(self, index: Tensor) -> "Design":
        """Return the problems in ``index``."""
        return Design(*(getattr(self, field.name)[index] for field in fields(self)))

    def products(self, weights: Tensor) -> Tensor:
        """(B, K, n) logits of weights (B, K, p) without the floor, multiplied in the dtype of the rows."""
        return torch.bmm(weights.to(self.rows.dtype), self.rows.transpose(1, 2)).double()

    @property
    def floor(self) -> Tensor:
        """(B, K, 1) float64 that is added to logits, so that absent classes are never predicted."""
        return torch.where(self.present, 0.0, ABSENT_LOGIT)[:, :, None].double()

    @property
    def best_intercept(self) -> Tensor:
        """(B, K) log frequency of every class; 0 for absent classes, which are never predicted."""
        return torch.where(self.present, (self.targets * self.shares).sum(2), 1.0).log()

    def fit(self, logits: Tensor) -> LogisticFit:
        """Return loss and probabilities of logits (B, K, n)."""
        highest = logits.amax(1, keepdim=True)
        exponentials = (logits - highest).exp()
        total = exponentials.sum(1, keepdim=True)
        losses = total.log() + highest - (logits * self.targets).sum(1, keepdim=True)
        return LogisticFit((losses * self.shares).sum((1, 2)), exponentials / total)

    def residual(self, fit: LogisticFit) -> Tensor:
        """(B, K, n) derivative of the mean loss by the logits."""
        return (fit.probabilities - self.targets) * self.shares

    def loss_gradient(self, fit: LogisticFit) -> Tensor:
        """(B, K, p) derivative of the mean loss by the weights, multiplied in the dtype of the rows."""
        return torch.bmm(self.residual(fit).to(self.rows.dtype), self.rows).double()

    def mean_curvature(self, fit: LogisticFit) -> Tensor:
        """(B,) mean of p(1-p) over rows and classes: ratio of the Hessian to the curvature of the rows."""
        mean = (fit.probabilities * (1 - fit.probabilities) * self.shares).sum((1, 2)) / fit.probabilities.shape[1]
        return mean.clamp(min=SMALLEST_CURVATURE)
