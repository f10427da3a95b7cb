"""Multinomial logistic regression along a path of penalties, solved for a whole batch of problems at once.

Objective of one problem, with rows x_i, class weights W (K, p) and unpenalised intercepts b (K,):

    f(W, b) = 1/n sum_i -log softmax(W x_i + b)[y_i] + penalty/2 ||W||^2

This is scikit-learn's ``LogisticRegression`` with C = 1 / (penalty n). For two classes it is C = 2 / (penalty n),
because scikit-learn then penalises only the difference of the two class weights. Four things make the path cheap:

* Rows are given in their principal axes, where the Hessian is close to the diagonal ``mean p(1-p) * curvature +
penalty``, which is updated at every penalty. (A fixed bound, as in Boehning 1992, fits the weak end badly: hundreds of
steps for one penalty instead of about four.)
* Quasi-Newton pairs stay valid when the penalty changes (see `CurvatureMemory`).
* The first step at a penalty extrapolates the path, which is nearly linear in log(penalty).
* Logits are updated along a step, so a line search needs no matrix product.

Each problem moves along its path independently. Products with the rows are float32, everything else is float64; the
rows are the only large tensor. No operation mixes problems.

The path is solved to `PATH_TOLERANCE`, which moves a validation loss by up to about 1e-4 nats. That is too coarse to
choose between two penalties of nearly equal loss, and depends on the processor. The penalties that matter for the
choice are therefore solved again to `EXACT_TOLERANCE`: see `geofm_eval.probes.newton`.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from geofm_eval.probes.design import Design, LogisticFit
from geofm_eval.probes.quasi_newton import CurvatureMemory


def penalty_path(first: float, last: float, count: int = 40) -> tuple[float, ...]:
    """Return ``count`` penalties from 10 ** ``first`` to 10 ** ``last``, evenly spaced on a log scale.

    They are rounded to 12 digits, because numpy's power differs in the last digit between processors, and penalties are
    recorded and compared.
    """
    return tuple(float(f"{penalty:.12g}") for penalty in np.logspace(first, last, count))


PENALTIES = penalty_path(2, -5)
"""Strongest first; with n = 1000 rows this is C from 1e-5 to 100."""


@dataclass(frozen=True)
class Tolerance:
    """Criteria for a penalty to count as solved.

    Attributes:
        objective: proven relative distance of the objective from the optimum.
        weights: estimated relative distance of the weights from the optimal ones. The objective alone says little about
        predictions if the penalty is strong and the weights are short: 1e-6 there moved 1 % of them.
        rounding: error of the weights, relative to the objective, that the dtype of the rows does not allow to improve.
    """

    objective: float
    weights: float
    rounding: float


PATH_TOLERANCE = Tolerance(1e-6, 1e-4, 1e-13)
EXACT_TOLERANCE = Tolerance(1e-10, 1e-8, 1e-22)

ROUNDING = 1e-13
MEMORY = 12

MAX_STEPS = 5_000
"""Steps at one penalty after which a problem is given up. Random features of 200 samples, close to collinear, needed
up to 500 at the weakest penalties; ordinary ones need fewer than 50."""

MAX_TRIALS = 20


@dataclass(frozen=True)
class PathSolution:
    """Optimum of every problem at every penalty; L = 1 if each problem has a single penalty of its own.

    Attributes:
        weights: (B, L, K, p) float64 in the columns of the design; column 0 is the intercept.
        objective: (B, L) float64.
        converged: (B, L) bool.
        iterations: (B, L) int64, steps taken at each penalty.
    """

    weights: Tensor
    objective: Tensor
    converged: Tensor
    iterations: Tensor


def solve_path(design: Design, penalties: tuple[float, ...] = PENALTIES) -> PathSolution:
    """Minimise the objective at each of ``penalties`` (strongest first), warm-started along the path.

    Convergence is tested on the gradient g. The objective is ``penalty``-strongly convex in W, so ``||g_W||^2 / (2
    penalty)`` bounds its distance from the optimum. The intercept has no penalty; it adds its squared gradient over its
    mean curvature. The distance of the weights is estimated in the metric of the diagonal that approximates the
    Hessian.
    """
    shape = (len(design.rows), len(penalties))
    path = torch.tensor(penalties, dtype=torch.float64, device=design.rows.device).expand(shape)
    return Walk(design, path, PATH_TOLERANCE).to_the_end()


class Walk:
    """State of a batch on its way along the path; finished problems are removed."""

    def __init__(self, design: Design, path: Tensor, tolerance: Tolerance, start: Tensor | None = None) -> None:
        batch, _, width = design.rows.shape
        classes = design.targets.shape[1]
        device = design.rows.device
        self.design = design
        self.path = path
        self.tolerance = tolerance
        self.solution = _empty_solution(batch, path.shape[1], classes, width, device)
        self.problems = torch.arange(batch, device=device)
        self.position = torch.zeros_like(self.problems)
        self.steps_here = torch.zeros_like(self.problems)
        self.extrapolate = torch.zeros(batch, dtype=torch.bool, device=device)
        self.penalised = (torch.arange(width, device=device) > 0).double()
        zeros = torch.zeros(batch, classes, width, dtype=torch.float64, device=device)
        self.weights = zeros if start is None else start.clone()
        # If all coordinates are zero, the optimum is known; float32 rounding could prevent the test of convergence.
        self.intercept_only = ~(design.curvature[:, 1:] > 0).any(1)
        self.weights[self.intercept_only, :, 0] = design.best_intercept[self.intercept_only]
        self.logits = design.products(self.weights) + design.floor
        self.fit = design.fit(self.logits)
        self.slope = design.loss_gradient(self.fit)
        self.scale = design.mean_curvature(self.fit)
        self.memory = CurvatureMemory(batch, classes * width, MEMORY, device)

    def to_the_end(self) -> PathSolution:
        """Advance until every problem has finished its path."""
        while self.advance():
            self.step()
        return self.solution

    @property
    def penalty(self) -> Tensor:
        """(B,) current penalty of each problem."""
        return self.path[self.problems, self.position]

    def advance(self) -> bool:
        """Record solved problems and move them to the next penalty; return False when all paths are finished."""
        gradient = self._gradient()
        objective = self.fit.loss + self.penalty / 2 * self._square_norm(self.weights)
        solved = self._solved(gradient, objective)
        leaving = solved | (self.steps_here >= MAX_STEPS)
        if bool(leaving.any()):
            self._record(leaving, solved, objective)
            self._move_on(leaving)
        return len(self.problems) > 0

    def _solved(self, gradient: Tensor, objective: Tensor) -> Tensor:
        intercept = gradient[:, :, 0].square().sum(1) / self.scale
        excess = (self._square_norm(gradient) / self.penalty + intercept) / 2
        metric = self._metric()[:, None, :]
        error = (gradient.square() / metric).sum((1, 2))
        size = (self.weights.square() * metric).sum((1, 2))
        close = error <= self.tolerance.weights**2 * size + self.tolerance.rounding * objective
        return self.intercept_only | ((excess <= self.tolerance.objective * objective) & close)

    def _metric(self) -> Tensor:
        """(B, p) diagonal that approximates the Hessian of every class."""
        return self.scale[:, None] * self.design.curvature + self.penalty[:, None] * self.penalised

    def step(self) -> None:
        """Take one quasi-Newton step of every problem, with a line search."""
        gradient = self._gradient()
        direction = self._direction(gradient)
        along = self.design.products(direction)
        length, self.fit = self._line_search(gradient, direction, along)
        step = length[:, None, None] * direction
        self.weights = self.weights + step
        self.logits = torch.addcmul(self.logits, length[:, None, None], along)
        before, self.slope = self.slope, self.design.loss_gradient(self.fit)
        self.memory.push(step.flatten(1), (self.slope - before).flatten(1))
        self.steps_here = self.steps_here + 1

    def _gradient(self) -> Tensor:
        return self.slope + self.penalty[:, None, None] * self.penalised * self.weights

    def _square_norm(self, weights: Tensor) -> Tensor:
        return (weights.square() * self.penalised).sum((1, 2))

    def _direction(self, gradient: Tensor) -> Tensor:
        penalty = self.penalty[:, None] * self.penalised
        classes = gradient.shape[1]
        diagonal = 1 / self._metric()
        direction = self.memory.direction(
            gradient.flatten(1), penalty.repeat(1, classes), diagonal.repeat(1, classes)
        ).view_as(gradient)
        if not bool(self.extrapolate.any()):
            return direction
        ahead = self._extrapolation()
        chosen = self.extrapolate & ((ahead * gradient).sum((1, 2)) < 0)
        self.extrapolate = torch.zeros_like(self.extrapolate)
        return torch.where(chosen[:, None, None], ahead, direction)

    def _extrapolation(self) -> Tensor:
        earlier = self.solution.weights[self.problems, (self.position - 2).clamp(min=0)]
        return self.weights - earlier

    def _line_search(self, gradient: Tensor, direction: Tensor, along: Tensor) -> tuple[Tensor, LogisticFit]:
        """Step length (B,) that satisfies the strong Wolfe conditions, and the fit there."""
        search = _LineSearch(self, gradient, direction, along)
        for _ in range(MAX_TRIALS):
            fit = self.design.fit(torch.addcmul(self.logits, search.length[:, None, None], along))
            search.judge(fit)
            if bool(search.accepted.all()):
                return search.length, fit
            search.refine()
        # The others take the lowest point found (possibly no step) and discard the curvature that misled them.
        self.memory.forget(~search.accepted)
        length = torch.where(search.accepted, search.length, search.best)
        return length, self.design.fit(torch.addcmul(self.logits, length[:, None, None], along))

    def _record(self, leaving: Tensor, solved: Tensor, objective: Tensor) -> None:
        where = (self.problems[leaving], self.position[leaving])
        self.solution.weights[where] = self.weights[leaving]
        self.solution.objective[where] = objective[leaving]
        self.solution.converged[where] = solved[leaving]
        self.solution.iterations[where] = self.steps_here[leaving]

    def _move_on(self, leaving: Tensor) -> None:
        self.position = self.position + leaving.long()
        self.steps_here = torch.where(leaving, 0, self.steps_here)
        self.scale = torch.where(leaving, self.design.mean_curvature(self.fit), self.scale)
        self.extrapolate = leaving & (self.position >= 2)
        unfinished = self.position < self.path.shape[1]
        if not bool(unfinished.all()):
            self._select(unfinished.nonzero()[:, 0])

    def _select(self, index: Tensor) -> None:
        self.design = self.design.select(index)
        self.memory.select(index)
        self.fit = LogisticFit(*(part[index] for part in self.fit))
        for name in (
            "problems", "position", "steps_here", "extrapolate", "weights", "logits", "slope", "scale", "intercept_only"
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[index])


class _LineSearch:
    """Trial step lengths of a batch, from a safeguarded secant on the derivative along the direction."""

    def __init__(self, walk: Walk, gradient: Tensor, direction: Tensor, along: Tensor) -> None:
        self.design, self.along, self.penalty = walk.design, along, walk.penalty
        self.start = walk.fit.loss
        self.cross = (walk.weights * direction * walk.penalised).sum((1, 2))
        self.square = (direction.square() * walk.penalised).sum((1, 2))
        self.slope = (gradient * direction).sum((1, 2))
        self.length = torch.ones_like(self.slope)
        self.accepted = torch.zeros_like(self.slope, dtype=torch.bool)
        self.best = torch.zeros_like(self.slope)
        self.least = torch.zeros_like(self.slope)
        self.trial_slope = self.slope

    def judge(self, fit: LogisticFit) -> None:
        """Accept the lengths where ``fit`` satisfies the conditions, and record the lowest point of the others."""
        rise = fit.loss - self.start + self.penalty * self.length * (self.cross + self.length * self.square / 2)
        penalty_slope = self.penalty * (self.cross + self.length * self.square)
        self.trial_slope = (self.design.residual(fit) * self.along).sum((1, 2)) + penalty_slope
        decreased = rise <= 1e-4 * self.length * self.slope + ROUNDING * (1 + self.start)
        self.accepted = self.accepted | (decreased & (self.trial_slope.abs() <= 0.9 * self.slope.abs()))
        self.best = torch.where(rise < self.least, self.length, self.best)
        self.least = torch.minimum(rise, self.least)

    def refine(self) -> None:
        """Set new lengths for problems without an accepted one: shorter past the minimum, longer before it."""
        secant = self.slope / (self.slope - self.trial_slope)
        factor = torch.where(self.trial_slope > 0, secant.clamp(0.1, 0.9), secant.abs().clamp(1.5, 4.0))
        self.length = torch.where(self.accepted, self.length, self.length * factor)


def _empty_solution(batch: int, penalties: int, classes: int, width: int, device: torch.device) -> PathSolution:
    shape = (batch, penalties)
    zeros = partial(torch.zeros, device=device)
    return PathSolution(
        weights=zeros((*shape, classes, width), dtype=torch.float64),
        objective=zeros(shape, dtype=torch.float64),
        converged=zeros(shape, dtype=torch.bool),
        iterations=zeros(shape, dtype=torch.int64),
    )
