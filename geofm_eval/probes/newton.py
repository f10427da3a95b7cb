"""Refine logistic regressions to the float64 optimum, at several penalties of a problem at once.

Newton steps w - H^-1 g are taken with the Hessian H of the objective of `geofm_eval.probes.logistic`. Gradients use
float64 products, so rounding does not limit convergence. The linear systems are solved by conjugate gradients (Nocedal
& Wright 2006, algorithms 5.3 and 7.1) with float32 products, because a step need only gain one digit. The penalties of
a problem share its rows and thus one matrix product.

Near an optimum no line search is needed. `Walk` then verifies convergence and, if Newton has not converged, continues
with steps that do not raise the objective. Neither works from weights that are worse than zero weights, because
probabilities of 0 and 1 have no curvature; such problems start from 0.
"""

from dataclasses import replace

import torch
from torch import Tensor

from geofm_eval.probes.design import ABSENT_LOGIT, SMALLEST_CURVATURE, Design
from geofm_eval.probes.logistic import EXACT_TOLERANCE, PathSolution, Walk

STEPS = 6

RESIDUAL = 0.03
"""Conjugate gradients stop when the residual has shrunk to this fraction, in the norm of the preconditioner."""

MAX_PRODUCTS = 500

FLOOR = 0.1
"""Lower bound of the preconditioner for the curvature of a direction among classes, relative to the largest."""


def refine(design: Design, penalties: Tensor, weights: Tensor) -> PathSolution:
    """Minimise the objective of every problem at each of its penalties, to `EXACT_TOLERANCE`.

    Args:
        design: B problems with float32 rows.
        penalties: (B, L) float64.
        weights: (B, L, K, p) float64, near the optima.
    """
    weights = torch.where(_worse_than_none(design, penalties, weights), 0.0, weights)
    exact = replace(design, rows=design.rows.double())
    steps = torch.zeros_like(penalties, dtype=torch.int64)
    step, last = torch.zeros_like(weights), torch.full_like(penalties, torch.inf)[:, :, None, None]
    for _ in range(STEPS):
        system = _System(exact, design.rows, penalties, weights + step)
        lower = system.decrement < last
        weights, last = torch.where(lower, weights + step, weights), system.decrement
        going = lower & system.open
        if not bool(going.any()):
            break
        step = system.step(going)
        steps += going[:, :, 0, 0]
    batch, count = penalties.shape
    each = exact.select(torch.arange(batch, device=penalties.device).repeat_interleave(count))
    solution = Walk(each, penalties.reshape(-1, 1), EXACT_TOLERANCE, weights.flatten(0, 1)).to_the_end()
    return PathSolution(
        weights=solution.weights.view_as(weights),
        objective=solution.objective.view(batch, count),
        converged=solution.converged.view(batch, count),
        iterations=solution.iterations.view(batch, count) + steps,
    )


def _worse_than_none(design: Design, penalties: Tensor, weights: Tensor) -> Tensor:
    """(B, L, 1, 1) bool, True if the objective exceeds that of zero weights, the log of the number of classes."""
    log_shares = _log_shares(design, weights.float()).double()
    penalty = penalties[:, :, None, None] * _penalised(weights)
    return ~(_objective(design, weights, penalty, log_shares) <= design.present.sum(1).log()[:, None, None, None])


class _System:
    """Newton's linear systems H x = -g of B problems at L penalties; all tensors are (B, L, K, p) or (B, L, K, n).

    Attributes:
        decrement: (B, L, 1, 1) twice the expected decrease of the objective by a step.
        open: (B, L, 1, 1) bool, True if the weights are not yet within `EXACT_TOLERANCE`.
    """

    def __init__(self, exact: Design, coarse: Tensor, penalties: Tensor, weights: Tensor) -> None:
        self.coarse = coarse
        self.penalty = penalties[:, :, None, None] * _penalised(weights)
        log_shares = _log_shares(exact, weights)
        probabilities = log_shares.exp()
        shares, targets = exact.shares[:, None], exact.targets[:, None]
        self.gradient = _times((probabilities - targets) * shares, exact.rows) + self.penalty * weights
        objective = _objective(exact, weights, self.penalty, log_shares)
        weighted = probabilities * shares
        mixing = torch.diag_embed(weighted.sum(3)) - weighted @ probabilities.transpose(2, 3)
        curvature, self.modes = torch.linalg.eigh(mixing)
        # A constant added to all classes changes no loss; the floor prevents amplified rounding in that direction.
        curvature = curvature.maximum(FLOOR * curvature[:, :, -1:]).clamp(min=SMALLEST_CURVATURE)
        self.inverse = 1 / (curvature[..., None] * exact.curvature[:, None, None] + self.penalty)
        self.probabilities, self.shares = probabilities.float(), shares.float()
        self.decrement = _total(self.gradient * self._preconditioned(self.gradient))
        tolerated = EXACT_TOLERANCE.weights**2 * self._length(weights) + EXACT_TOLERANCE.rounding * objective
        self.open = self.decrement > tolerated

    def step(self, going: Tensor) -> Tensor:
        """Solve for x by conjugate gradients; 0 for problems that are not ``going``.

        The result of a problem does not depend on the other problems.
        """
        found = torch.zeros_like(self.gradient)
        residual = -self.gradient
        direction = self._preconditioned(residual)
        size = self.decrement * going
        goal = RESIDUAL**2 * size
        for _ in range(MAX_PRODUCTS):
            going = size > goal
            if not bool(going.any()):
                break
            along = self._product(direction)
            curvature = _total(direction * along)
            going = going & (curvature > 0)
            length = torch.where(going, size / curvature, 0.0)
            found = torch.addcmul(found, length, direction)
            residual = torch.addcmul(residual, length, along, value=-1)
            preconditioned = self._preconditioned(residual)
            before, size = size, torch.where(going, _total(residual * preconditioned), 0.0)
            direction = preconditioned + torch.where(going, size / before, 0.0) * direction
        return found

    def _preconditioned(self, gradient: Tensor) -> Tensor:
        """Approximate solution: H with the mean of diag(p) - pp' for all rows, which is diagonal in its own axes."""
        return torch.matmul(self.modes, self.inverse * torch.matmul(self.modes.transpose(2, 3), gradient))

    def _length(self, weights: Tensor) -> Tensor:
        """Squared norm of weights in the metric of the preconditioner, (B, L, 1, 1)."""
        return _total((self.modes.transpose(2, 3) @ weights).square() / self.inverse)

    def _product(self, vector: Tensor) -> Tensor:
        logits = _times(vector.float(), self.coarse.transpose(1, 2))
        centred = logits - (self.probabilities * logits).sum(2, keepdim=True)
        return _times(self.probabilities * centred * self.shares, self.coarse).double() + self.penalty * vector


def _penalised(weights: Tensor) -> Tensor:
    """(p,) bool, False for the intercept."""
    return torch.arange(weights.shape[3], device=weights.device) > 0


def _log_shares(design: Design, weights: Tensor) -> Tensor:
    """Log probability of every class in every row, (B, L, K, n)."""
    floor = torch.where(design.present, 0.0, ABSENT_LOGIT)[:, None, :, None]
    return (_times(weights, design.rows.transpose(1, 2)) + floor).log_softmax(2)


def _objective(design: Design, weights: Tensor, penalty: Tensor, log_shares: Tensor) -> Tensor:
    """(B, L, 1, 1), from a penalty per weight."""
    losses = -_total(design.targets[:, None] * log_shares * design.shares[:, None])
    return losses + _total(weights.square() * penalty) / 2


def _times(left: Tensor, right: Tensor) -> Tensor:
    """(B, L, K, a) times (B, a, b): one product per problem."""
    return torch.bmm(left.flatten(1, 2), right).view(*left.shape[:3], right.shape[2])


def _total(values: Tensor) -> Tensor:
    """Sum over classes and columns, keeping both axes: (B, L, 1, 1)."""
    return values.sum((2, 3), keepdim=True)
