"""Weighted k-nearest-neighbour classification by cosine similarity, without ties left to chance."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.data.labels import LabelSubset
from geofm_eval.probes.heads import as_tensor
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow

TEMPERATURE = 0.07
NEIGHBOURS = (20, 5)
"""The first is the score, the others stand beside it."""

GRID = 2.0**30
"""Similarities are compared after rounding to this many steps: equal ones (duplicates) then tie exactly."""

NEGLIGIBLE = 1e-9
"""A centred row shorter than this share of its uncentred length is rounding, and has no direction."""

BLOCK_BYTES = 16 * 2**20


def knn_predictions(
    train: Tensor,
    labels: Tensor,
    queries: Tensor,
    n_classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> NDArray[np.int64]:
    """Predict by a vote of the nearest training rows, weighted by exp(similarity / 0.07).

    Features are centred on the training mean, because the cosine of anisotropic features otherwise measures their
    common offset. Of equally similar neighbours the earlier row counts as nearer; of equal votes the lowest class wins.

    Args:
        train: (n, D) training features.
        labels: (n,) int64 training labels.
        queries: (m, D) features to classify.
        n_classes: K.
        neighbours: numbers of neighbours k; min(k, n) are used.

    Returns:
        (len(neighbours), m) int64 predictions.
    """
    centre = train.double().mean(0)
    bank = _directions(train, centre)
    votes = torch.nn.functional.one_hot(labels, n_classes).double()
    rows = max(1, BLOCK_BYTES // (8 * len(train)))
    parts = []
    for start in range(0, len(queries), rows):
        similarities = _directions(queries[start : start + rows], centre) @ bank.T
        parts.append(_vote(similarities, votes, neighbours))
    return torch.cat(parts, dim=1).cpu().numpy()


def _directions(features: Tensor, centre: Tensor) -> Tensor:
    centred = features.double() - centre
    length = centred.norm(dim=1, keepdim=True)
    floor = NEGLIGIBLE * torch.maximum(features.double().norm(dim=1, keepdim=True), centre.norm())
    return torch.where(length > floor, centred / length.clamp(min=torch.finfo(torch.float64).tiny), 0.0)


def _vote(similarities: Tensor, votes: Tensor, neighbours: Sequence[int]) -> Tensor:
    """Predictions (len(neighbours), m) from ``similarities`` (m, n) and one-hot ``votes`` (n, K)."""
    nearest, nearness = _nearest(similarities, min(max(neighbours), similarities.shape[1]))
    weights = (nearness / TEMPERATURE).exp()
    ballots = weights[:, :, None] * votes[nearest]
    return torch.stack([_winner(ballots[:, :k].sum(1)) for k in neighbours])


def _nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(m, k) positions and rounded similarities of the k most similar rows, nearest first; overwrites its input.

    Rounded similarity and position are packed in one whole number (exact in float64 below 2^53), so that no two
    entries are equal and the order does not hang on how a device breaks ties.
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
    """Classify the test split from every tap and label subset; k = 20 is the score, k = 5 stands beside it."""
    for tap in problem.taps:
        for subset in problem.subsets:
            yield _row(problem, tap, subset)


def _row(problem: ProbeProblem, tap: str, subset: LabelSubset) -> SweepRow:
    correct = _correct(problem, tap, problem.tested(subset))
    validated = [_correct(problem, tap, holdout)[0] for holdout in problem.holdouts(subset)]
    return SweepRow(
        tap=tap,
        fraction=subset.fraction,
        draw=subset.draw,
        n_train=len(subset.indices),
        n_val=problem.n_val(subset),
        n_test=correct.shape[1],
        val_kind=problem.plan(subset).kind,
        candidates=(),
        chosen=None,
        chosen_index=None,
        at_edge=False,
        val_loss=(),
        val_score=float(np.concatenate(validated).mean()) if validated else None,
        test_score=float(correct[0].mean()),
        outcomes=correct[0],
        converged=True,
        iterations=0,
        dropped_channels=0,
        extra={f"accuracy_k{k}": float(correct[i].mean()) for i, k in enumerate(NEIGHBOURS) if i > 0},
    )


def _correct(problem: ProbeProblem, tap: str, holdout: Holdout) -> NDArray[np.uint8]:
    """(len(NEIGHBOURS), m) 1 where a held-out item is classified rightly."""
    train, labels = problem.features(tap, "train"), problem.labels["train"]
    predicted = knn_predictions(
        as_tensor(train[holdout.rows], problem.device),
        torch.from_numpy(labels[holdout.rows]).to(problem.device),
        as_tensor(problem.features(tap, holdout.split)[holdout.held_out], problem.device),
        problem.n_classes,
    )
    return cast(NDArray[np.uint8], (predicted == problem.labels[holdout.split][holdout.held_out]).astype(np.uint8))
