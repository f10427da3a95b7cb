"""Label subsets and inner folds of cross-validated data: every fold is tested by probes of the other folds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geofm_eval.data.labels import (
    FOLDS,
    NO_VALIDATION,
    Indices,
    Labels,
    LabelSubset,
    ValidationPlan,
    distinct,
    ranked_folds,
    strata_of,
    stratified,
    stratified_folds,
)
from geofm_eval.data.units import Names, assign_folds

Plans = dict[tuple[float, int], ValidationPlan]


def draw_and_fold(number: int, folds: int) -> tuple[int, int]:
    """Return draw and fold of a label subset from its own number, which counts the folds of each draw."""
    return divmod(number, folds)


def folded_subsets(
    labels: Labels, fold_of: Indices, fractions: Sequence[float], draws: int, seed: int, groups: Names | None = None
) -> tuple[list[LabelSubset], Plans]:
    """Draw the label subsets of every fold, and plan their validation.

    A subset is drawn from the samples outside the fold, by the rule of :func:`label_subsets`, and tested on the fold.
    Its number is draw x folds + fold. It is validated by cross-validation within the subset alone.

    Args:
        labels: (n,) classes or targets of all samples.
        fold_of: (n,) fold of every sample, from 0.
        fractions: label fractions in (0, 1].
        draws: number of draws for every fraction below 1.
        seed: the same seed gives the same subsets.
        groups: (n,) group of every sample; inner folds keep groups together as well.

    Returns:
        Subsets and plans, without fractions that select the same samples as a larger one in every fold.
    """
    folds = int(fold_of.max()) + 1
    places = [(f, draw, fold) for f in fractions for draw in range(draws if f < 1 else 1) for fold in range(folds)]
    drawn = {place: _subset(labels, fold_of, *place, folds, seed) for place in places}
    in_fold = [{(f, draw): one.indices for (f, draw, k), one in drawn.items() if k == fold} for fold in range(folds)]
    kept = {fraction for of_fold in in_fold for fraction in distinct(of_fold)}
    subsets = [one for (fraction, _, _), one in drawn.items() if fraction in kept]
    plans = {
        (one.fraction, one.draw): inner_plan(
            labels[one.indices], None if groups is None else groups[one.indices], ("folds", seed, one.draw)
        )
        for one in subsets
    }
    return subsets, plans


def _subset(
    labels: Labels, fold_of: Indices, fraction: float, draw: int, fold: int, folds: int, seed: int
) -> LabelSubset:
    others = np.flatnonzero(fold_of != fold)
    chosen = stratified(strata_of(labels[others]), fraction, ("labels", seed, draw, fold))
    return LabelSubset(fraction, draw * folds + fold, others[chosen], np.flatnonzero(fold_of == fold))


def inner_plan(labels: Labels, groups: Names | None, stream: tuple[str | int, ...]) -> ValidationPlan:
    """Return the folds within one label subset: whole groups, as far as there are several.

    A sample is not held out if no other group has its class, because a probe cannot predict a class that it has not
    seen.

    Args:
        labels: (n,) classes or targets of the subset.
        groups: (n,) group of every sample; None if all are independent.
        stream: names the random order.
    """
    count = 0 if groups is None else len(np.unique(groups))
    if groups is None or count < 2 or count == len(labels):
        return ranked_folds(labels, stream) if labels.dtype.kind == "f" else stratified_folds(labels, stream)
    folds = min(FOLDS, count)
    fold_of = assign_folds(strata_of(labels), folds, stream, groups)
    held = [_known_elsewhere(labels, np.flatnonzero(fold_of == fold)) for fold in range(folds)]
    held = [fold for fold in held if 0 < len(fold) < len(labels) - 1]
    return ValidationPlan("inner_cv", np.empty(0, dtype=np.int64), tuple(held)) if held else NO_VALIDATION


def _known_elsewhere(labels: Labels, fold: Indices) -> Indices:
    if labels.dtype.kind == "f":
        return fold
    return fold[np.isin(labels[fold], np.delete(labels, fold))]


def merged(rows: Sequence[npt.NDArray[np.generic]], fold_of: Indices) -> npt.NDArray[np.generic]:
    """Return (draws, n) out-of-fold outcomes from (n,) outcomes of every fold of every draw, in this order."""
    folds = int(fold_of.max()) + 1
    if len(rows) % folds:
        raise ValueError(f"found {len(rows)} rows of {folds} folds, expected a multiple")
    stacked = np.stack(rows).reshape(len(rows) // folds, folds, len(fold_of))
    return stacked[:, fold_of, np.arange(len(fold_of))]
