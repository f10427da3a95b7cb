"""The problem of the dense probe: fit every tap on tokens, and choose the penalty on held-out tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geofm_eval.catalog import TaskSpec
from geofm_eval.dense.budget import ChipBudget, check_classes
from geofm_eval.dense.fits import Fit, LinearMap, logistic, ridge
from geofm_eval.dense.tokens import TokenSample
from geofm_eval.errors import DataError
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.ridge import RIDGE_PENALTIES
from geofm_eval.probes.selection import near_minimum

Subset = tuple[float, int]
"""Label fraction and draw."""
Key = tuple[str, Subset]
"""Tap and label subset."""


@dataclass(frozen=True)
class TokenSolution:
    """Solution for one tap and label subset: the map, and those that validated its penalty.

    Args:
        apply: map at the chosen penalty, fitted on all training tokens.
        index: position of the chosen penalty.
        losses: (L,) mean validation loss.
        validators: maps at the chosen penalty, each with the split and the chips that it is scored on.
        fit: fit of ``apply``.
    """

    apply: LinearMap
    index: int
    losses: NDArray[np.float64]
    validators: tuple[tuple[LinearMap, str, NDArray[np.int64]], ...]
    fit: Fit


@dataclass(frozen=True)
class _Held:
    """Fits of all taps, and held-out tokens of some chips of a split."""

    fits: Mapping[str, Fit]
    split: str
    chips: NDArray[np.int64]
    tokens: TokenSample


@dataclass(frozen=True)
class TokenProblem:
    """Problem of a task for tokens of any model; can be pickled.

    Args:
        budgets: chips of every label subset.
    """

    task: TaskSpec
    budgets: Mapping[Subset, ChipBudget]
    device: torch.device

    @property
    def penalties(self) -> tuple[float, ...]:
        """Penalties to choose from."""
        return RIDGE_PENALTIES if self.task.kind == "dense_regression" else PENALTIES

    def solved(self, samples: Mapping[str, TokenSample]) -> dict[Key, TokenSolution]:
        """Solve every tap and label subset on tokens of the training and validation chips.

        Raises:
            DataError: the training chips have only one class or a constant target, or there are no validation tokens.
        """
        return dict(found for subset in self.budgets for found in self._of_subset(subset, samples))

    def _of_subset(self, subset: Subset, samples: Mapping[str, TokenSample]) -> Iterator[tuple[Key, TokenSolution]]:
        train, budget = samples["train"], self.budgets[subset]
        known = train.of(budget.train)
        self._check(known.targets, subset)
        final = self._fits(known)
        held = [_Held(final, "val", budget.val, samples["val"].of(budget.val))]
        if budget.folds:
            held = [
                _Held(self._fits(train.of(budget.without(k))), "train", fold, train.of(fold))
                for k, fold in enumerate(budget.folds)
            ]
        weight = sum(float(one.tokens.weights.sum()) for one in held)
        if weight == 0:
            raise DataError(
                f"{self.task.slug}: no validation token has both data and a label at {subset[0]:g} of the labels, "
                "so no penalty can be chosen; check the images and labels of the validation chips"
            )
        for tap, coarse in final.items():
            near = near_minimum(np.sum([one.fits[tap].losses(one.tokens) for one in held], axis=0) / weight)
            exact = [one.fits[tap].refined(near) for one in held]
            losses = np.sum([fit.losses(one.tokens) for fit, one in zip(exact, held, strict=True)], axis=0) / weight
            index = int(np.argmin(losses))
            fit = coarse.refined([index]) if budget.folds else exact[0]
            validators = tuple((own.at(index), one.split, one.chips) for own, one in zip(exact, held, strict=True))
            yield (tap, subset), TokenSolution(fit.at(index), index, losses, validators, fit)

    def _fits(self, tokens: TokenSample) -> dict[str, Fit]:
        fit = ridge if self.task.kind == "dense_regression" else logistic
        return dict(fit(tokens, self.device))

    def _check(self, targets: NDArray[np.float64], subset: Subset) -> None:
        """Reject labels from which nothing can be learned."""
        regression = self.task.kind == "dense_regression"
        constant = not len(targets) or np.ptp(targets, axis=0).max() == 0
        if regression and constant:
            raise DataError(
                f"{self.task.slug}: the target is constant over the training chips, expected different values. Use a "
                "larger label fraction, or check the labels"
            )
        if not regression:
            where = f"the training chips at {subset[0]:g} of the labels"
            check_classes(np.flatnonzero(targets.any(0)), self.task, where)
