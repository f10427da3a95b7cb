"""Weighted k-nearest-neighbour classification by cosine similarity, with deterministic ties."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.data.labels import LabelSubset
from geofm_eval.probes.heads import as_tensor
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow, ValidationItems
from geofm_eval.probes.standardise import ROUNDING_STEPS, STEP, fit_standardiser

TEMPERATURE = 0.07
NEIGHBOURS = (20, 5)
"""Values of k; the first gives the score, the others are reported in addition."""

GRID = 2.0**30
"""Similarities are rounded to multiples of 1/GRID before they are compared, so that duplicates tie exactly."""

SPARE = 8
"""Neighbours beyond the voting ones that are checked for near-ties."""

BLOCK_BYTES = 16 * 2**20


NEAR_VOTE = 1e-6
"""Relative difference below which votes and similarities count either way when a range is set."""


@dataclass(frozen=True)
class Ballot:
    """Votes of the nearest neighbours on every query.

    Attributes:
        predictions: (len(neighbours), m) int64.
        shares: (m, K) float64, proportions of the votes at the first k.
        lowest: (m, K) float64, votes for each class if its near-tied neighbours do not count.
        highest: (m, K) float64, votes for each class if all of them count.
        dropped_channels: number of channels left out because they hold only rounding noise.
    """

    predictions: NDArray[np.int64]
    shares: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    dropped_channels: int


def knn_ballot(
    train: Tensor,
    labels: Tensor,
    queries: Tensor,
    n_classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> Ballot:
    """Let the nearest training rows vote, weighted by exp(similarity / 0.07).

    Features are centred on the training mean, because the cosine of anisotropic features is otherwise dominated by
    their common offset. Channels that hold only rounding noise are left out. Among equally similar neighbours the
    earlier row is nearer; among equal votes the lowest class wins.

    Args:
        train: (n, D) float32 training features.
        labels: (n,) int64 training labels.
        queries: (m, D) features to classify.
        n_classes: K.
        neighbours: values of k; min(k, n) neighbours are used.
    """
    kept = fit_standardiser(train).kept
    train, queries = train[:, kept], queries[:, kept]
    centre = train.double().mean(0)
    bank = _directions(train, centre)
    votes = torch.nn.functional.one_hot(labels, n_classes).double()
    rows = max(1, BLOCK_BYTES // (8 * len(train)))
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, max(len(queries), 1), rows):
        similarities = _directions(queries[start : start + rows], centre) @ bank.T
        parts.append(_vote(similarities, votes, neighbours))
    predictions = torch.cat([part[0] for part in parts], dim=1)
    shares, lowest, highest = (torch.cat([part[i] for part in parts]) for i in (1, 2, 3))
    found, share, low, high = (part.cpu().numpy() for part in (predictions, shares, lowest, highest))
    return Ballot(found, share, low, high, int((~kept).sum()))


def _directions(features: Tensor, centre: Tensor) -> Tensor:
    centred = features.double() - centre
    length = centred.norm(dim=1, keepdim=True)
    floor = ROUNDING_STEPS * STEP * torch.maximum(features.double().norm(dim=1, keepdim=True), centre.norm())
    return torch.where(length > floor, centred / length.clamp(min=torch.finfo(torch.float64).tiny), 0.0)


def _vote(similarities: Tensor, votes: Tensor, neighbours: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = similarities.shape[1]
    # A few more than needed, to find those nearly as similar as the last one that counts.
    nearest, nearness = _nearest(similarities, min(max(neighbours) + SPARE, n))
    ballots = (nearness / TEMPERATURE).exp()[:, :, None] * votes[nearest]
    totals = [ballots[:, :k].sum(1) for k in neighbours]
    shares = totals[0] / totals[0].sum(1, keepdim=True)
    return (torch.stack([_winner(total) for total in totals]), shares, *_bounds(ballots, nearness, neighbours[0]))


def _bounds(ballots: Tensor, nearness: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Fewest and most votes (m, K) per class if neighbours nearly as similar as the k-th may or may not count."""
    if nearness.shape[1] <= k:
        total = ballots.sum(1)
        return total, total
    last = nearness[:, k - 1 : k]
    near = (nearness - last).abs() <= NEAR_VOTE
    near &= near[:, k:].any(1, keepdim=True)
    inside = torch.arange(nearness.shape[1], device=nearness.device) < k
    certain = (ballots * (inside & ~near)[:, :, None]).sum(1)
    return certain, certain + (ballots * near[:, :, None]).sum(1)


def _nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(m, k) positions and rounded similarities of the k most similar rows, nearest first; overwrites its input.

    Rounded similarity and position are packed into one integer (exact in float64 below 2^53), so that no two entries
    are equal and the order does not depend on how a device breaks ties.
    """
    n = similarities.shape[1]
    backwards = torch.arange(n - 1, -1, -1, device=similarities.device)
    packed = similarities.mul_(GRID).round_().mul_(n).add_(backwards).topk(k, dim=1).values
    position = packed.remainder(n)
    return (n - 1 - position).long(), (packed - position) / n / GRID


def _winner(totals: Tensor) -> Tensor:
    """Lowest class among those with the most votes (m, K), up to rounding."""
    best = totals.amax(1, keepdim=True)
    return (totals >= best * (1 - 1e-9)).to(torch.int8).argmax(1)


def solve_knn(problem: ProbeProblem) -> Iterator[SweepRow]:
    """Classify the test samples from every tap and label subset; k = 20 gives the score, k = 5 an extra score."""
    for tap in problem.taps:
        for subset in problem.subsets:
            yield _row(problem, tap, subset)


def _row(problem: ProbeProblem, tap: str, subset: LabelSubset) -> SweepRow:
    tested = problem.tested(subset)
    ballot = _ballot(problem, tap, tested)
    truth = problem.labels[tested.split][tested.held_out]
    correct = cast(NDArray[np.uint8], (ballot.predictions == truth).astype(np.uint8))
    validation = _validated(problem, tap, subset)
    return SweepRow(
        tap=tap,
        fraction=subset.fraction,
        draw=subset.draw,
        n_train=len(subset.indices),
        n_val=problem.n_val(subset),
        n_test=correct.shape[1],
        val_kind=problem.plan(subset).kind,
        val_score=None if validation is None else float(validation.score.mean()),
        test_score=float(correct[0].mean()),
        outcomes=problem.outcomes_of(subset, correct[0]),
        dropped_channels=ballot.dropped_channels,
        extra={f"accuracy_k{k}": float(correct[i].mean()) for i, k in enumerate(NEIGHBOURS) if i > 0},
        chosen_loss=None if validation is None else float(validation.loss.mean()),
        validation=validation,
        explored=_either_way(ballot, truth) if problem.explore else (),
    )


def _validated(problem: ProbeProblem, tap: str, subset: LabelSubset) -> ValidationItems | None:
    """Votes on validation samples; the log loss uses Laplace-smoothed proportions, (k s + 1) / (k + K)."""
    holdouts = list(problem.holdouts(subset))
    if not holdouts:
        return None
    losses, scores = [], []
    for holdout in holdouts:
        ballot = _ballot(problem, tap, holdout)
        truth = problem.labels[holdout.split][holdout.held_out]
        k = min(NEIGHBOURS[0], len(holdout.rows))
        share = ballot.shares[np.arange(len(truth)), truth]
        losses.append(-np.log((k * share + 1) / (k + problem.n_classes)))
        scores.append((ballot.predictions[0] == truth).astype(np.float64))
    items = np.concatenate([holdout.held_out for holdout in holdouts])
    return ValidationItems(holdouts[0].split, items, np.concatenate(losses), np.concatenate(scores))


def _either_way(ballot: Ballot, truth: NDArray[np.int64]) -> tuple[float, float]:
    """Lowest and highest accuracy if votes that differ by rounding may count either way."""
    own = np.arange(len(truth))
    others_high, others_low = ballot.highest.copy(), ballot.lowest.copy()
    others_high[own, truth] = others_low[own, truth] = -np.inf
    surely = ballot.lowest[own, truth] > others_high.max(1) * (1 + NEAR_VOTE)
    maybe = ballot.highest[own, truth] >= others_low.max(1) * (1 - NEAR_VOTE)
    return float(surely.mean()), float(maybe.mean())


def _ballot(problem: ProbeProblem, tap: str, holdout: Holdout) -> Ballot:
    train, labels = problem.features(tap, problem.training), problem.labels[problem.training]
    return knn_ballot(
        as_tensor(train[holdout.rows], problem.device),
        torch.from_numpy(labels[holdout.rows]).to(problem.device),
        as_tensor(problem.features(tap, holdout.split)[holdout.held_out], problem.device),
        problem.n_classes,
    )
