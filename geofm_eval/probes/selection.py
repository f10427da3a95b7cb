"""Select a penalty on validation samples, before the test split is read."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.errors import ContractError
from geofm_eval.probes.heads import ProbeHead


@dataclass(frozen=True)
class PathScores:
    """Validation of a path of heads, as sums that can be added over folds.

    Attributes:
        loss: (L,) float64, summed -log p of the true class.
        hits: (L,) int64, correct predictions.
        count: number of validation samples.
    """

    loss: NDArray[np.float64]
    hits: NDArray[np.int64]
    count: int

    def __add__(self, other: "PathScores") -> "PathScores":
        return PathScores(self.loss + other.loss, self.hits + other.hits, self.count + other.count)

    @property
    def mean_loss(self) -> tuple[float, ...]:
        """(L,) mean log loss in nats."""
        return tuple(float(value) for value in self.loss / self.count)

    def accuracy(self, index: int) -> float:
        """Return the proportion of correct predictions at one penalty."""
        return float(self.hits[index] / self.count)


@dataclass(frozen=True)
class PenaltyChoice:
    """The chosen penalty of one head, with the validation results behind the choice.

    Attributes:
        index: position on the path.
        at_edge: True if the choice is an end of the path, so that a better penalty may be beyond it.
        val_loss: (L,) mean validation loss (log loss, squared error); empty without validation samples.
        val_score: validation accuracy or R2 at the chosen penalty; None without validation samples.
    """

    index: int
    at_edge: bool
    val_loss: tuple[float, ...]
    val_score: float | None

    @property
    def loss(self) -> float | None:
        """Mean validation loss at the chosen penalty."""
        return self.val_loss[self.index] if self.val_loss else None

    @property
    def gap(self) -> float | None:
        """Difference between the second-lowest and the lowest validation loss."""
        if len(self.val_loss) < 2:
            return None
        lowest, second = sorted(self.val_loss)[:2]
        return second - lowest


NEAR_LOWEST = 2e-3
"""Penalties with a mean log loss within this many nats of the lowest are solved exactly before the choice. The path
was off by 9.4e-4 in one of 1,439 fits and by less than 3e-4 in the others; the lowest loss may be off as well."""


def near_best(scores: PathScores) -> tuple[int, ...]:
    """Return the positions of penalties that may have the lowest loss, given the accuracy of the path."""
    return near_minimum(scores.loss / scores.count)


def near_minimum(losses: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the positions of mean log losses (L,) within `NEAR_LOWEST` of the lowest."""
    return tuple(int(index) for index in np.flatnonzero(losses <= losses.min() + NEAR_LOWEST))


def score_path(head: ProbeHead, features: NDArray[np.float32], labels: NDArray[np.int64]) -> PathScores:
    """Score every penalty of ``head`` on samples (n, D) with ``labels`` (n,).

    Raises:
        ContractError: a label is of a class that the head was not trained on, whose log loss would be infinite.
    """
    loss = np.zeros(head.weights.shape[0])
    hits = np.zeros(head.weights.shape[0], dtype=np.int64)
    start = 0
    for logits in head.logits(features):
        truth = torch.from_numpy(labels[start : start + len(logits)]).to(logits.device)
        start += len(logits)
        exact = logits.double()
        losses = exact.logsumexp(2) - exact.gather(2, truth[:, None, None].expand(-1, exact.shape[1], 1))[:, :, 0]
        loss += losses.sum(0).cpu().numpy()
        hits += (logits.argmax(2) == truth[:, None]).sum(0).cpu().numpy()
    if not np.isfinite(loss).all():
        unknown = sorted(set(labels.tolist()) - set(torch.isfinite(head.intercepts[0]).nonzero()[:, 0].tolist()))
        raise ContractError(
            f"classes {unknown} have validation samples but no training samples. Give every class at least one "
            "training sample, or remove its samples from the validation split"
        )
    return PathScores(loss, hits, len(labels))


def sharpened(
    scores: PathScores, head: ProbeHead, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> PathScores:
    """Replace the scores of a path at exactly solved penalties by exact ones."""
    loss, hits = scores.loss.copy(), scores.hits.copy()
    for index in head.exact:
        losses, right = score_items(head, index, features, labels)
        loss[index], hits[index] = losses.sum(), right.sum()
    return PathScores(loss, hits, scores.count)


def score_items(
    head: ProbeHead, index: int, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the log loss (n,) in nats of every sample at one penalty, and (n,) 1 if its class is right."""
    logits = head.logits_at(features, index)
    truth = torch.from_numpy(labels).to(logits.device)
    losses = logits.logsumexp(1) - logits.gather(1, truth[:, None])[:, 0]
    return losses.cpu().numpy(), (logits.argmax(1) == truth).cpu().numpy().astype(np.uint8)


def choose(scores: PathScores) -> PenaltyChoice:
    """Return the penalty with the lowest validation log loss; ties go to the stronger, earlier one."""
    losses = scores.mean_loss
    index = int(np.argmin(losses))
    return PenaltyChoice(index, index in (0, len(losses) - 1), losses, scores.accuracy(index))


def default_choice(penalties: tuple[float, ...], n_train: int) -> PenaltyChoice:
    """Return the penalty nearest to 1/n (scikit-learn's C = 1), the choice without validation samples."""
    distance = np.abs(np.log(penalties) + np.log(n_train))
    return PenaltyChoice(int(np.argmin(distance)), False, (), None)


def correct_at(
    head: ProbeHead, index: int, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return (n,) 1 if the prediction at one penalty is right."""
    predicted = head.logits_at(features, index).argmax(1).cpu().numpy()
    return cast(NDArray[np.uint8], (predicted == labels).astype(np.uint8))


def accuracy_path(head: ProbeHead, features: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """Return (L,) accuracy at every penalty, exact if it was refined."""
    predicted = torch.cat([logits.argmax(2) for logits in head.logits(features)]).cpu().numpy()
    found = (predicted == labels[:, None]).mean(0)
    for index in head.exact:
        found[index] = correct_at(head, index, features, labels).mean()
    return tuple(found.tolist())
