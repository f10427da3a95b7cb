"""Linear heads: fit label subsets of features at every penalty of a path."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.probes.design import Design
from geofm_eval.probes.logistic import PENALTIES, solve_path
from geofm_eval.probes.newton import refine
from geofm_eval.probes.standardise import Rotation, Standardiser, fit_standardiser, rotate

ALIGNMENT = 16
"""Shapes are padded to a multiple of this, so that the rows of every problem start on a cache line and its result
does not depend on its position in the batch."""

PLACES = 4
"""Penalties that are solved exactly are padded to a multiple of this."""

BATCH_BYTES = {"cpu": 24 * 2**20, "cuda": 4 * 2**30}
"""Memory of one batch. On a CPU the rows should stay in the shared cache; on a GPU many problems hide the launch
overhead."""

ROWS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class HeadJob:
    """One head to fit: the features of one tap on the rows of one label subset. Jobs are compared by identity.

    Attributes:
        tap: name of the tap.
        rows: (n,) int64, positions in the train split.
        labels: (n,) int64, labels of those rows; or (n, K) float64, the proportion of every class in each row.
        weights: (n,) float64 weight of each row; None for equal weights.
    """

    tap: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64] | NDArray[np.float64]
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ProbeHead:
    """A head fitted at every penalty, in the standardised channels that it keeps.

    Attributes:
        weights: (L, K, D') float32.
        intercepts: (L, K) float32; -inf for a class without training rows.
        objective: (L,) float64.
        converged: True if every penalty was solved.
        iterations: steps over the whole path.
        exact: float64 weights (K, D') and intercepts (K,) at the refined penalties, by position on the path.
    """

    standardiser: Standardiser
    weights: Tensor
    intercepts: Tensor
    objective: NDArray[np.float64]
    converged: bool
    iterations: int
    exact: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def logits(self, features: NDArray[np.float32]) -> Iterator[Tensor]:
        """Yield logits (rows, L, K) float32 at every penalty, in chunks of rows."""
        for rows in self._chunks(features):
            products = rows.float() @ self.weights.flatten(0, 1).T
            yield products.view(len(rows), *self.intercepts.shape) + self.intercepts

    def logits_at(self, features: NDArray[np.float32], penalty: int) -> Tensor:
        """Return logits (n, K) float64 at the penalty with this position, exact if it was refined."""
        weights, intercepts = self.at(penalty)
        return torch.cat([rows @ weights.T + intercepts for rows in self._chunks(features)])

    def at(self, penalty: int) -> tuple[Tensor, Tensor]:
        """Return weights (K, D') and intercepts (K,), float64, at the penalty with this position."""
        if penalty in self.exact:
            return self.exact[penalty]
        return self.weights[penalty].double(), self.intercepts[penalty].double()

    def _chunks(self, features: NDArray[np.float32]) -> Iterator[Tensor]:
        for start in range(0, max(len(features), 1), ROWS_AT_ONCE):
            yield self.standardiser(as_tensor(features[start : start + ROWS_AT_ONCE], self.weights.device))


Refined = Callable[[HeadJob, ProbeHead], Sequence[int]]
"""Returns the positions on the path of the penalties that are to be solved exactly for a fitted head."""


def as_tensor(features: NDArray[np.float32], device: torch.device) -> Tensor:
    """Copy ``features`` to the device; memory maps are read only here."""
    return torch.from_numpy(np.array(features)).to(device)


def fit_heads(
    jobs: Sequence[HeadJob],
    train: dict[str, NDArray[np.float32]],
    n_classes: int,
    device: torch.device,
    penalties: tuple[float, ...] = PENALTIES,
    refined: Refined | None = None,
) -> Iterator[tuple[HeadJob, ProbeHead]]:
    """Fit all jobs, in batches of problems of the same padded shape; memory does not grow with the number of jobs.

    Args:
        jobs: heads to fit.
        train: (N, D) float32 features of the train split per tap, memory-mapped.
        n_classes: K.
        device: torch device.
        penalties: strongest first.
        refined: called for every head after its path is solved; returns the penalties to solve exactly.

    Yields:
        Every job with its head, ordered by shape.
    """
    for batch in _batches(jobs, train, n_classes, device, len(penalties)):
        problems = [_Problem.prepare(job, train[job.tap], n_classes, device) for job in batch]
        solution = solve_path(_stack(problems), penalties)
        heads = []
        for i, problem in enumerate(problems):
            weights, intercepts = problem.in_channels(solution.weights[i])
            head = ProbeHead(
                standardiser=problem.standardiser,
                weights=weights.float(),
                intercepts=intercepts.float(),
                objective=solution.objective[i].cpu().numpy(),
                converged=bool(solution.converged[i].all()),
                iterations=int(solution.iterations[i].sum()),
            )
            heads.append(head)
        if refined is not None:
            asked = [refined(job, head) for job, head in zip(batch, heads, strict=True)]
            heads = _refined(problems, heads, asked, penalties)
        yield from zip(batch, heads, strict=True)


def refine_heads(
    fitted: Sequence[tuple[HeadJob, ProbeHead, Sequence[int]]],
    train: dict[str, NDArray[np.float32]],
    n_classes: int,
    device: torch.device,
    penalties: tuple[float, ...] = PENALTIES,
) -> Iterator[tuple[HeadJob, ProbeHead]]:
    """Solve some penalties of fitted heads exactly.

    Args:
        fitted: jobs with their heads from `fit_heads` and the positions of the penalties to solve.
        train: (N, D) float32 features of the train split per tap.
        n_classes: K.
        device: torch device.
        penalties: penalties that the heads were fitted at.

    Yields:
        Every job with its head, ordered by shape.
    """
    known = {job: (head, asked) for job, head, asked in fitted}
    for batch in _batches(list(known), train, n_classes, device, len(penalties)):
        problems = [_Problem.prepare(job, train[job.tap], n_classes, device) for job in batch]
        heads, asked = zip(*(known[job] for job in batch), strict=True)
        yield from zip(batch, _refined(problems, heads, asked, penalties), strict=True)


def _refined(
    problems: Sequence["_Problem"],
    heads: Sequence[ProbeHead],
    asked: Sequence[Sequence[int]],
    penalties: tuple[float, ...],
) -> list[ProbeHead]:
    """Heads with the requested penalties solved exactly, a few at a time because float64 rows are large."""
    found = list(heads)
    missing = {i: sorted(set(indices) - set(heads[i].exact)) for i, indices in enumerate(asked)}
    for some in _in_chunks({i: indices for i, indices in missing.items() if indices}, problems):
        # The last penalty is repeated as padding.
        places = {}
        for i in some:
            spare = _padded(len(missing[i]), PLACES) - len(missing[i])
            places[i] = [*missing[i], *missing[i][-1:] * spare]
        start = [torch.stack([problems[i].in_axes(*heads[i].at(at)) for at in own]) for i, own in places.items()]
        levels = [[penalties[at] for at in own] for own in places.values()]
        device = start[0].device
        design = _stack([problems[i] for i in some])
        solution = refine(design, torch.tensor(levels, dtype=torch.float64, device=device), torch.stack(start))
        for row, i in enumerate(some):
            count = len(missing[i])
            exact = {at: problems[i].in_channels(solution.weights[row, k]) for k, at in enumerate(missing[i])}
            found[i] = replace(
                heads[i],
                exact={**heads[i].exact, **exact},
                converged=heads[i].converged and bool(solution.converged[row, :count].all()),
                iterations=heads[i].iterations + int(solution.iterations[row, :count].sum()),
            )
    return found


def _in_chunks(missing: Mapping[int, Sequence[int]], problems: Sequence["_Problem"]) -> Iterator[list[int]]:
    """Group problems by padded number of penalties, within the memory limit for float64 rows."""
    groups: dict[int, list[int]] = {}
    for i, indices in missing.items():
        groups.setdefault(_padded(len(indices), PLACES), []).append(i)
    rows = problems[0].design.rows
    limit = BATCH_BYTES.get(rows.device.type, BATCH_BYTES["cpu"])
    for places, group in groups.items():
        at_once = max(1, limit // (8 * places * rows[0].numel()))
        for start in range(0, len(group), at_once):
            yield group[start : start + at_once]


@dataclass(frozen=True)
class _Problem:
    job: HeadJob
    standardiser: Standardiser
    basis: Tensor
    design: Design

    @classmethod
    def prepare(cls, job: HeadJob, train: NDArray[np.float32], n_classes: int, device: torch.device) -> "_Problem":
        features = as_tensor(train[job.rows], device)
        standardiser = fit_standardiser(features)
        rotation = rotate(standardiser(features), standardiser.rounding)
        design = _design(rotation, job, n_classes, _shape(job, train.shape[1]))
        return cls(job, standardiser, rotation.basis, design)

    def in_channels(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate ``weights`` (..., K, p) back to channels: (..., K, D') and (..., K) float64."""
        rank = self.basis.shape[1]
        intercepts = torch.where(self.design.present[0], weights[..., 0], -torch.inf)
        return weights[..., 1 : 1 + rank] @ self.basis.T, intercepts

    def in_axes(self, weights: Tensor, intercepts: Tensor) -> Tensor:
        """Inverse of `in_channels` for one penalty: (K, p) float64."""
        rank = self.basis.shape[1]
        found = torch.zeros(len(weights), self.design.rows.shape[2], dtype=torch.float64, device=weights.device)
        found[:, 0] = torch.where(self.design.present[0], intercepts, 0.0)
        found[:, 1 : 1 + rank] = weights @ self.basis
        return found


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
    """Padded (n, p); depends only on the job itself."""
    n = len(job.rows)
    return _padded(n), _padded(1 + min(n, width))


def _padded(size: int, step: int = ALIGNMENT) -> int:
    return -(-size // step) * step


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
