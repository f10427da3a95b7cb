"""Linear heads: features of label subsets in, fitted heads for the whole path of penalties out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.probes.logistic import PENALTIES, Design, solve_path
from geofm_eval.probes.standardise import Rotation, Standardiser, fit_standardiser, rotate

ALIGNMENT = 16
"""Shapes are padded to this multiple, so that the rows of every problem start on a cache line and a problem's result
does not depend on its place in the batch."""

BATCH_BYTES = {"cpu": 24 * 2**20, "cuda": 4 * 2**30}
"""Memory of one batch: on a CPU the rows should stay in the shared cache, on a GPU many problems hide the launches."""

ROWS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class HeadJob:
    """One head to fit: the features of one tap, the rows of one label subset. Two jobs are never equal.

    Attributes:
        tap: name of the tap.
        rows: (n,) int64, positions into the train split.
        labels: (n,) int64, labels of those rows; or (n, K) float64, the share of every class in each.
        weights: (n,) float64, how much each row counts; None counts all alike.
    """

    tap: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64] | NDArray[np.float64]
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Head:
    """A head fitted at every penalty, in the standardised channels that it keeps.

    Attributes:
        weights: (L, K, D') float32.
        intercepts: (L, K) float32; -inf for a class without training rows.
        objective: (L,) float64.
        converged: True when every penalty was solved.
        iterations: steps over the whole path.
    """

    standardiser: Standardiser
    weights: Tensor
    intercepts: Tensor
    objective: NDArray[np.float64]
    converged: bool
    iterations: int

    def logits(self, features: NDArray[np.float32], penalty: int | None = None) -> Iterator[Tensor]:
        """Logits (rows, L, K) float32 in chunks of rows; L = 1 when the index of a ``penalty`` is given."""
        chosen = slice(None) if penalty is None else slice(penalty, penalty + 1)
        weights, intercepts = self.weights[chosen], self.intercepts[chosen]
        for start in range(0, len(features), ROWS_AT_ONCE):
            rows = as_tensor(features[start : start + ROWS_AT_ONCE], self.weights.device)
            products = self.standardiser(rows).float() @ weights.flatten(0, 1).T
            yield products.view(len(rows), *intercepts.shape) + intercepts


def as_tensor(features: NDArray[np.float32], device: torch.device) -> Tensor:
    """Copy of the ``features`` on the device (a memory map is read here, and only here)."""
    return torch.from_numpy(np.array(features)).to(device)


def fit_heads(
    jobs: Sequence[HeadJob],
    train: dict[str, NDArray[np.float32]],
    n_classes: int,
    device: torch.device,
    penalties: tuple[float, ...] = PENALTIES,
) -> Iterator[tuple[HeadJob, Head]]:
    """Fit all jobs, in batches of problems of the same padded shape; memory does not grow with the number of jobs.

    Args:
        jobs: the heads to fit.
        train: (N, D) float32 features of the train split per tap, memory-mapped.
        n_classes: K.
        device: where to solve.
        penalties: strongest first.

    Yields:
        Every job with its head, in the order of shapes, not of ``jobs``.
    """
    for batch in _batches(jobs, train, n_classes, device, len(penalties)):
        problems = [_Problem.prepare(job, train[job.tap], n_classes, device) for job in batch]
        solution = solve_path(_stack(problems), penalties)
        for i, problem in enumerate(problems):
            weights, intercepts = problem.in_channels(solution.weights[i])
            head = Head(
                standardiser=problem.standardiser,
                weights=weights,
                intercepts=intercepts,
                objective=solution.objective[i].cpu().numpy(),
                converged=bool(solution.converged[i].all()),
                iterations=int(solution.iterations[i].sum()),
            )
            yield problem.job, head


@dataclass(frozen=True)
class _Problem:
    """One job, standardised, rotated and padded."""

    job: HeadJob
    standardiser: Standardiser
    basis: Tensor
    design: Design

    @classmethod
    def prepare(cls, job: HeadJob, train: NDArray[np.float32], n_classes: int, device: torch.device) -> "_Problem":
        features = as_tensor(train[job.rows], device)
        standardiser = fit_standardiser(features)
        rotation = rotate(standardiser(features))
        design = _design(rotation, job, n_classes, _shape(job, train.shape[1]))
        return cls(job, standardiser, rotation.basis, design)

    def in_channels(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate ``weights`` (L, K, p) back to channels: (L, K, D') and (L, K) float32."""
        rank = self.basis.shape[1]
        intercepts = torch.where(self.design.present[0], weights[..., 0], -torch.inf)
        return (weights[..., 1 : 1 + rank] @ self.basis.T).float(), intercepts.float()


def _design(rotation: Rotation, job: HeadJob, n_classes: int, shape: tuple[int, int]) -> Design:
    n, rank = rotation.coordinates.shape
    labels = torch.from_numpy(job.labels).to(rotation.coordinates.device)
    zeros = partial(torch.zeros, dtype=torch.float64, device=labels.device)
    rows = zeros((1, *shape), dtype=torch.float32)
    rows[0, :n, 0] = 1
    rows[0, :n, 1 : 1 + rank] = rotation.coordinates.float()
    curvature = zeros((1, shape[1]))
    curvature[0, 0] = 1
    curvature[0, 1 : 1 + rank] = rotation.curvature
    targets = zeros((1, n_classes, shape[0]))
    if labels.ndim == 2:
        targets[0, :, :n] = labels.T
    else:
        targets[0, labels, torch.arange(n, device=labels.device)] = 1
    shares = zeros((1, 1, shape[0]))
    shares[0, 0, :n] = 1 / n if job.weights is None else torch.from_numpy(job.weights / job.weights.sum())
    return Design(rows, curvature, targets, shares, present=targets.amax(2) > 0)


def _stack(problems: Sequence[_Problem]) -> Design:
    designs = [problem.design for problem in problems]
    return Design(*(torch.cat([getattr(design, part.name) for design in designs]) for part in fields(Design)))


def _shape(job: HeadJob, width: int) -> tuple[int, int]:
    """Padded (n, p): a function of the job alone, whichever other jobs there are."""
    n = len(job.rows)
    return _padded(n), _padded(1 + min(n, width))


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _batches(
    jobs: Sequence[HeadJob],
    train: dict[str, NDArray[np.float32]],
    n_classes: int,
    device: torch.device,
    n_penalties: int,
) -> Iterator[list[HeadJob]]:
    groups: dict[tuple[int, int], list[HeadJob]] = {}
    for job in jobs:
        groups.setdefault(_shape(job, train[job.tap].shape[1]), []).append(job)
    for (n, p), group in groups.items():
        # rows as float32; targets, logits and the like; the path and the quasi-Newton memory.
        size = 4 * n * p + 8 * n_classes * (6 * n + (n_penalties + 20) * p)
        at_once = max(1, BATCH_BYTES.get(device.type, BATCH_BYTES["cpu"]) // size)
        for start in range(0, len(group), at_once):
            yield group[start : start + at_once]
