"""The ridge probe: linear regression of a number at 40 penalties, the penalty chosen on validation squared error.

Every fit is closed form. With standardised features X (n, p) and the centred target y, the weights at penalty a are
V (L + a)^-1 V'X'y, where X'X = V L V' is decomposed once for the whole path; where n < p the smaller XX' is decomposed
instead (Hoerl & Kennard 1970; dual form: Saunders, Gammerman & Vovk 1998). The penalties are multiples of the mean
eigenvalue of X'X, so that they mean the same at any number of items and channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofm_eval.data.labels import LabelSubset
from geofm_eval.metrics import r2, rmse
from geofm_eval.probes.heads import as_tensor
from geofm_eval.probes.problem import Holdout, ProbeProblem, SweepRow
from geofm_eval.probes.selection import Choice
from geofm_eval.probes.standardise import Standardiser, fit_standardiser

RIDGE_PENALTIES = tuple(float(c) for c in np.logspace(4, -6, 40))
"""Penalties as multiples of tr(X'X)/p, strongest first."""


@dataclass(frozen=True)
class RidgePath:
    """A linear regression fitted at every penalty.

    Attributes:
        weights: (D', L) float64, per standardised channel.
        centre: mean target of the training items.
    """

    standardiser: Standardiser
    weights: Tensor
    centre: float

    def predict(self, features: NDArray[np.float32], penalty: int | None = None) -> NDArray[np.float64]:
        """Predictions (n, L) for ``features`` (n, D); L = 1 when the index of a ``penalty`` is given."""
        chosen = self.weights if penalty is None else self.weights[:, penalty : penalty + 1]
        rows = self.standardiser(as_tensor(features, self.weights.device))
        predicted: NDArray[np.float64] = (rows @ chosen + self.centre).cpu().numpy()
        return predicted


@dataclass(frozen=True)
class PathErrors:
    """Validation of a path, kept so that folds can be added up.

    Attributes:
        squared: (L,) float64, summed squared errors.
        targets: (n,) float64, targets of the validation items.
    """

    squared: NDArray[np.float64]
    targets: NDArray[np.float64]

    def __add__(self, other: "PathErrors") -> "PathErrors":
        return PathErrors(self.squared + other.squared, np.concatenate([self.targets, other.targets]))


def fit_ridge(
    features: NDArray[np.float32], targets: NDArray[np.float64], device: torch.device | None = None
) -> RidgePath:
    """Fit the whole path on training ``features`` (n, D) and ``targets`` (n,); the intercept is not penalised."""
    rows = as_tensor(features, device or torch.device("cpu"))
    standardiser = fit_standardiser(rows)
    truth = torch.from_numpy(targets).to(rows.device)
    centre = truth.mean()
    return RidgePath(standardiser, _weights(standardiser(rows), truth - centre), float(centre))


def _weights(rows: Tensor, truth: Tensor) -> Tensor:
    """Weights (p, L) for standardised ``rows`` (n, p) and the centred ``truth`` (n,)."""
    n, p = rows.shape
    dual = n < p
    values, axes = torch.linalg.eigh(rows @ rows.T if dual else rows.T @ rows)
    values = values.clamp(min=0)
    penalties = torch.tensor(RIDGE_PENALTIES, dtype=rows.dtype, device=rows.device) * values.sum() / max(p, 1)
    along = axes.T @ (truth if dual else rows.T @ truth)
    weights: Tensor = axes @ (along[:, None] / (values[:, None] + penalties))
    return rows.T @ weights if dual else weights


def path_errors(path: RidgePath, features: NDArray[np.float32], targets: NDArray[np.float64]) -> PathErrors:
    """Errors of every penalty of ``path`` on validation ``features`` (n, D) with ``targets`` (n,)."""
    return PathErrors(np.square(path.predict(features) - targets[:, None]).sum(0), targets)


def choose_penalty(errors: PathErrors | None) -> Choice:
    """The penalty with the lowest validation squared error; ties go to the stronger, which stands earlier on the path.

    Without any validation item it is the one nearest to the mean eigenvalue of X'X. The validation score is R2; it is
    None where the validation target is constant.
    """
    if errors is None:
        return Choice(int(np.argmin(np.abs(np.log(RIDGE_PENALTIES)))), False, (), None)
    losses = errors.squared / len(errors.targets)
    index = int(np.argmin(losses))
    spread = float(errors.targets.var())
    score = 1 - float(losses[index]) / spread if spread > 0 else None
    return Choice(index, index in (0, len(losses) - 1), tuple(losses.tolist()), score)


def solve_ridge(problem: ProbeProblem) -> Iterator[SweepRow]:
    """Fit, choose and test every tap on every label subset."""
    for tap in problem.taps:
        for subset in problem.subsets:
            yield _row(problem, tap, subset)


def _row(problem: ProbeProblem, tap: str, subset: LabelSubset) -> SweepRow:
    tested = problem.tested(subset)
    path = _fit(problem, tap, tested)
    choice = choose_penalty(_validation(problem, tap, subset, path))
    predicted = path.predict(problem.features(tap, tested.split)[tested.held_out], choice.index)[:, 0]
    outcomes = np.full(len(problem.labels[tested.split]), np.nan, dtype=np.float32)
    outcomes[tested.held_out] = predicted
    # Scored as they are stored, so that whoever reads the outcomes finds the same score.
    pair = problem.labels[tested.split][tested.held_out], outcomes[tested.held_out].astype(np.float64)
    return SweepRow(
        tap=tap,
        fraction=subset.fraction,
        draw=subset.draw,
        n_train=len(subset.indices),
        n_val=problem.n_val(subset),
        n_test=len(tested.held_out),
        val_kind=problem.plan(subset).kind,
        candidates=RIDGE_PENALTIES,
        chosen=RIDGE_PENALTIES[choice.index],
        chosen_index=choice.index,
        at_edge=choice.at_edge,
        val_loss=choice.val_loss,
        val_score=choice.val_score,
        test_score=r2(*pair),
        outcomes=outcomes,
        converged=True,
        iterations=0,
        dropped_channels=path.standardiser.dropped,
        extra={"rmse": rmse(*pair)},
    )


def _fit(problem: ProbeProblem, tap: str, holdout: Holdout) -> RidgePath:
    features, targets = problem.features(tap, problem.training), problem.labels[problem.training]
    return fit_ridge(features[holdout.rows], targets[holdout.rows], problem.device)


def _validation(problem: ProbeProblem, tap: str, subset: LabelSubset, path: RidgePath) -> PathErrors | None:
    """Errors on what the subset is validated on; None where nothing can be held out.

    Args:
        problem: the problem.
        tap: name of the tap.
        subset: the label subset.
        path: fitted on the whole subset, which is what a validation split validates.
    """
    total: PathErrors | None = None
    for holdout in problem.holdouts(subset):
        fitted = path if holdout.split == "val" else _fit(problem, tap, holdout)
        held_out = problem.features(tap, holdout.split)[holdout.held_out]
        errors = path_errors(fitted, held_out, problem.labels[holdout.split][holdout.held_out])
        total = errors if total is None else total + errors
    return total
