"""The ridge probe: linear regression at 40 penalties, the penalty selected by validation squared error.

Every fit has a closed form. With standardised features X (n, p) and the centred target y, the weights at penalty a are
V (L + a)^-1 V'X'y, where X'X = V L V' is decomposed once for the whole path. If n < p, the smaller XX' is decomposed
instead (Hoerl & Kennard 1970; dual form: Saunders, Gammerman & Vovk 1998). Penalties are multiples of the mean
eigenvalue of X'X, so that they mean the same for any number of samples and channels. Targets of the same samples share
the decompositions.
"""

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.data.labels import LabelSubset
from geofm_eval.probes.heads import as_tensor
from geofm_eval.probes.logistic import penalty_path
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow, ValidationItems
from geofm_eval.probes.selection import PenaltyChoice
from geofm_eval.probes.standardise import Rotation, Standardiser, fit_standardiser, rotate
from geofm_eval.stats.scores import prediction_dtype, rmse

RIDGE_PENALTIES = penalty_path(4, -6)
"""Penalties as multiples of tr(X'X)/p, strongest first."""


@dataclass(frozen=True)
class RidgePath:
    """A linear regression fitted at every penalty.

    Attributes:
        weights: (D', L) float64, per standardised channel.
        centre: mean target of the training samples.
    """

    standardiser: Standardiser
    weights: Tensor
    centre: float

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return predictions (n, L) for ``features`` (n, D)."""
        rows = self.standardiser(as_tensor(features, self.weights.device))
        predicted: NDArray[np.float64] = (rows @ self.weights + self.centre).cpu().numpy()
        return predicted


@dataclass(frozen=True)
class PathErrors:
    """Validation errors of a path, which can be summed over folds.

    Attributes:
        squared: (L,) float64, summed squared errors.
        targets: (n,) float64, targets of the validation samples.
    """

    squared: NDArray[np.float64]
    targets: NDArray[np.float64]

    def __add__(self, other: "PathErrors") -> "PathErrors":
        return PathErrors(self.squared + other.squared, np.concatenate([self.targets, other.targets]))


@dataclass(frozen=True)
class Predicted:
    """Predictions of a path for held-out samples.

    Attributes:
        values: (n, L) float64.
        truth: (n,) float64, targets of these samples.
        dropped_channels: number of channels that the fit left out as constant.
    """

    values: NDArray[np.float64]
    truth: NDArray[np.float64]
    dropped_channels: int

    @property
    def errors(self) -> PathErrors:
        """Squared errors of every penalty."""
        return PathErrors(np.square(self.values - self.truth[:, None]).sum(0), self.truth)


@dataclass(frozen=True)
class Decomposition:
    """Training rows, standardised and decomposed once for any number of targets."""

    standardiser: Standardiser
    rotation: Rotation

    def fit(self, targets: NDArray[np.float64]) -> RidgePath:
        """Fit the whole path to ``targets`` (n,); the intercept is not penalised."""
        truth = torch.from_numpy(targets).to(self.rotation.basis.device)
        centre = truth.mean()
        return RidgePath(self.standardiser, self._weights(truth - centre), float(centre))

    def _weights(self, truth: Tensor) -> Tensor:
        values = self.rotation.curvature * len(truth)
        penalties = torch.tensor(RIDGE_PENALTIES, dtype=truth.dtype, device=truth.device)
        scaled = penalties * values.sum() / max(len(self.rotation.basis), 1)
        along = self.rotation.coordinates.T @ truth
        shrunk = along[:, None] / (values[:, None] + scaled)
        # Axes that were left out have zero values and coordinates, which gives 0 / 0 if all were.
        return self.rotation.basis @ torch.where(values[:, None] > 0, shrunk, 0.0)


def decompose(features: NDArray[np.float32], device: torch.device | None = None) -> Decomposition:
    """Standardise and decompose training ``features`` (n, D)."""
    raw = as_tensor(features, device or torch.device("cpu"))
    standardiser = fit_standardiser(raw)
    return Decomposition(standardiser, rotate(standardiser(raw), standardiser.rounding))


def choose_penalty(errors: PathErrors | None) -> PenaltyChoice:
    """Return the penalty with the lowest validation squared error; ties go to the stronger, earlier one.

    Without validation samples it is the one nearest to the mean eigenvalue of X'X. The validation score is R2, or None
    if the validation target is constant.
    """
    if errors is None:
        return PenaltyChoice(int(np.argmin(np.abs(np.log(RIDGE_PENALTIES)))), False, (), None)
    losses = errors.squared / len(errors.targets)
    index = int(np.argmin(losses))
    spread = float(errors.targets.var())
    score = 1 - float(losses[index]) / spread if spread > 0 else None
    return PenaltyChoice(index, index in (0, len(losses) - 1), tuple(losses.tolist()), score)


def solve_ridge(problems: Sequence[ProbeProblem]) -> Iterator[tuple[int, SweepRow]]:
    """Fit, validate and test every tap on every label subset of every target.

    Fits on the same rows of the same tap share their decomposition. Targets share nothing else, so the rows of a target
    are identical bit by bit whichever others are solved with it.

    Args:
        problems: one per target, all with the same features, taps and device.

    Yields:
        Number of the problem, and one of its rows.
    """
    subsets: dict[tuple[float, int], list[tuple[int, LabelSubset]]] = {}
    for number, problem in enumerate(problems):
        for subset in problem.subsets:
            subsets.setdefault((subset.fraction, subset.draw), []).append((number, subset))
    for tap in problems[0].taps:
        # Opened once per tap: opening a memory map costs as much as a small fit, and there are thousands of fits.
        features = functools.cache(functools.partial(problems[0].features, tap))
        for group in subsets.values():
            solved = _solve_group([_Cell(problems[number], tap, subset, features) for number, subset in group])
            yield from zip((number for number, _ in group), solved, strict=True)


@dataclass(frozen=True)
class _Cell:
    """One tap and label subset of one target; ``features`` are those of the tap, by split."""

    problem: ProbeProblem
    tap: str
    subset: LabelSubset
    features: Callable[[str], NDArray[np.float32]]

    @functools.cached_property
    def holdouts(self) -> tuple[Holdout, ...]:
        """The fit on the whole subset, for testing, followed by those for validation."""
        return self.problem.tested(self.subset), *self.problem.holdouts(self.subset)

    def decompose(self, rows: NDArray[np.int64]) -> Decomposition:
        return decompose(self.features(self.problem.training)[rows], self.problem.device)

    def predict(self, decomposition: Decomposition, holdout: Holdout) -> Predicted:
        """Fit on the rows of a holdout and predict its held-out samples."""
        path = decomposition.fit(self.problem.labels[self.problem.training][holdout.rows])
        truth = self.problem.labels[holdout.split][holdout.held_out]
        held_out = self.features(holdout.split)[holdout.held_out]
        return Predicted(path.predict(held_out), truth, path.standardiser.dropped)


def _solve_group(cells: Sequence[_Cell]) -> list[SweepRow]:
    """Solve the same label subset of several targets, one decomposition at a time."""
    asked: dict[bytes, list[tuple[int, int]]] = {}
    for number, cell in enumerate(cells):
        for place, holdout in enumerate(cell.holdouts):
            asked.setdefault(holdout.rows.tobytes(), []).append((number, place))
    predicted: dict[tuple[int, int], Predicted] = {}
    for places in asked.values():
        first, place = places[0]
        decomposition = cells[first].decompose(cells[first].holdouts[place].rows)
        for number, place in places:
            cell = cells[number]
            predicted[number, place] = cell.predict(decomposition, cell.holdouts[place])
    return [
        _row(cell, [predicted[number, place] for place in range(len(cell.holdouts))])
        for number, cell in enumerate(cells)
    ]


def _row(cell: _Cell, predicted: Sequence[Predicted]) -> SweepRow:
    """Select the penalty on all predictions but the first, which are those of the test samples."""
    problem, subset = cell.problem, cell.subset
    tested, *validated = predicted
    errors = [part.errors for part in validated]
    choice = choose_penalty(functools.reduce(operator.add, errors) if errors else None)
    held_out = cell.holdouts[0]
    dtype = prediction_dtype(problem.labels[held_out.split])
    # Predictions are scored in their stored dtype, so that stored outcomes give the same score.
    stored = tested.values.astype(dtype).astype(np.float64)
    outcomes = np.full(len(problem.labels[held_out.split]), np.nan, dtype=dtype)
    outcomes[held_out.held_out] = stored[:, choice.index]
    pair = tested.truth, stored[:, choice.index]
    return SweepRow(
        tap=cell.tap,
        fraction=subset.fraction,
        draw=subset.draw,
        n_train=len(subset.indices),
        n_val=problem.n_val(subset),
        n_test=len(tested.truth),
        val_kind=problem.plan(subset).kind,
        candidates=RIDGE_PENALTIES,
        chosen=RIDGE_PENALTIES[choice.index],
        chosen_index=choice.index,
        at_edge=choice.at_edge,
        val_loss=choice.val_loss,
        val_score=choice.val_score,
        test_score=problem.r2_of(*pair),
        outcomes=outcomes,
        dropped_channels=tested.dropped_channels,
        extra={"rmse": rmse(*pair)},
        runner_up_gap=choice.gap,
        chosen_loss=choice.loss,
        validation=_validation(cell.holdouts[1:], validated, choice.index),
        explored=tuple(np.square(stored - tested.truth[:, None]).sum(0).tolist()) if problem.explore else (),
    )


def _validation(holdouts: Sequence[Holdout], validated: Sequence[Predicted], index: int) -> ValidationItems | None:
    if not validated:
        return None
    values = np.concatenate([part.values[:, index] for part in validated])
    truth = np.concatenate([part.truth for part in validated])
    items = np.concatenate([holdout.held_out for holdout in holdouts])
    return ValidationItems(holdouts[0].split, items, np.square(values - truth), values)
