"""Label budgets: nested, stratified subsets of the training labels, and validation sets drawn by the same rule.

Strata are classes, or quantile bins of a regression target. Subsets depend only on the labels, the seed and the draw,
so they are the same for all models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geofm_eval.errors import ContractError
from geofm_eval.seeds import generator

MIN_PER_CLASS = 5
"""If any class has fewer validation samples, the training labels are cross-validated instead."""

BINS = 10
"""Number of quantile bins that regression targets are stratified by."""

MIN_FOR_TARGET = BINS * MIN_PER_CLASS
"""If a regression task has fewer validation samples, the training labels are cross-validated instead."""

FOLDS = 5

Indices = npt.NDArray[np.int64]
"""(n,) positions, ascending unless stated otherwise."""

Labels = npt.NDArray[Any]
"""(n,) int64 classes or float64 regression targets."""


@dataclass(frozen=True)
class LabelSubset:
    """Training labels that a probe may use.

    Args:
        fraction: label fraction, in (0, 1].
        draw: number of the random draw, always 0 at fraction 1. With shuffle splits, the number of the shuffle.
        indices: (n,) positions in the training split, ascending; n is the actual count.
        test: positions, in the same split, of the samples that this subset is tested on; None for the test split.
    """

    fraction: float
    draw: int
    indices: Indices
    test: Indices | None = None


@dataclass(frozen=True)
class ValidationPlan:
    """Samples that the penalty of a probe is selected on.

    Args:
        kind: ``split`` (samples of the validation split), ``inner_cv`` (folds of the label subset), or ``none`` (no
            class has two labelled samples, or there are fewer than three targets, so nothing can be held out).
        indices: positions in the validation split; empty unless ``split``.
        folds: held-out positions in the label subset's ``indices``, by fold; empty unless ``inner_cv``. The only sample
            of a class is never held out.
    """

    kind: Literal["split", "inner_cv", "none"]
    indices: Indices
    folds: tuple[Indices, ...] = ()


NO_VALIDATION = ValidationPlan("none", np.empty(0, dtype=np.int64))


def label_subsets(labels: Labels, fractions: Sequence[float], draws: int, seed: int) -> list[LabelSubset]:
    """Draw label subsets that are stratified, and nested within a draw (1 % in 10 % in 100 %).

    Every class, or quantile bin of a target, keeps at least one sample, so the actual count may exceed the fraction.

    Args:
        labels: (n,) classes or regression targets of the training split.
        fractions: label fractions in (0, 1].
        draws: number of draws for every fraction below 1.
        seed: the same seed gives the same subsets.

    Raises:
        ContractError: a fraction outside (0, 1], fewer than one draw, or no labels.
    """
    if len(labels) == 0:
        raise ContractError("the training split is empty; expected at least one training label to draw subsets from")
    if draws < 1:
        raise ContractError(f"draws is {draws}; label subsets need at least one draw")
    strata = strata_of(labels)
    return [
        LabelSubset(fraction, draw, stratified(strata, fraction, ("labels", seed, draw)))
        for fraction in fractions
        for draw in range(draws if fraction < 1 else 1)
    ]


def distinct(subsets: Mapping[tuple[float, int], Indices]) -> list[float]:
    """Return the label fractions without those that, in every draw, select the same samples as the next larger one.

    For example, 1 % and 10 % of 100 samples of ten classes are both one sample per class.

    Args:
        subsets: positions by fraction and draw.

    Returns:
        Fractions, ascending.
    """
    found: list[float] = []
    for fraction in sorted({fraction for fraction, _ in subsets}, reverse=True):
        own = {draw: indices for (one, draw), indices in subsets.items() if one == fraction}
        larger = {draw: subsets.get((found[-1], draw), subsets[found[-1], 0]) for draw in own} if found else {}
        if not larger or any(not np.array_equal(indices, larger[draw]) for draw, indices in own.items()):
            found.append(fraction)
    return found[::-1]


def strata_of(labels: Labels) -> Indices:
    """Return the stratum of every sample: its class, or the quantile bin of its regression target.

    Up to ten bins of equal size; equal targets share a bin.

    Args:
        labels: (n,) int64 classes or float64 targets.

    Raises:
        ContractError: a target is not finite.
    """
    if labels.dtype.kind != "f" or len(labels) == 0:
        return labels.astype(np.int64)
    if not np.isfinite(labels).all():
        raise ContractError("a regression target is not finite; remove samples without a target before splitting")
    inner = np.quantile(labels, np.arange(1, BINS) / BINS)
    return np.searchsorted(np.unique(inner), labels, side="left").astype(np.int64)


def stratified(labels: Indices, fraction: float, stream: tuple[str | int, ...]) -> Indices:
    """Return positions of a stratified subset; smaller fractions of the same stream are nested in larger ones.

    Args:
        labels: (n,) strata.
        fraction: in (0, 1]; a stratum of m samples keeps max(1, round(fraction * m)).
        stream: names the random order.

    Raises:
        ContractError: the fraction is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ContractError(f"label fraction is {fraction}; expected a value in (0, 1]")
    kept = []
    for label in np.unique(labels):
        members = generator(*stream, int(label)).permutation(np.flatnonzero(labels == label))
        kept.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate([*kept, np.empty(0, dtype=np.int64)])).astype(np.int64)


def validation_plan(
    train_labels: Labels, val_labels: Labels, fraction: float, draw: int, budget: Literal["matched", "full"], seed: int
) -> ValidationPlan:
    """Plan the selection of the penalty for one label subset.

    With the matched budget the validation split shrinks by the same fraction as the labels. If that leaves fewer than
    five samples of a class, or fewer than fifty of a regression task, the label subset is cross-validated instead.

    Args:
        train_labels: (n,) classes or targets of the label subset, in the order of its indices.
        val_labels: (m,) classes or targets of the whole validation split.
        fraction: fraction of the label subset.
        draw: draw of the label subset.
        budget: ``matched``, or ``full`` for the whole validation split at every fraction.
        seed: as for the label subsets.
    """
    if budget == "full":
        return ValidationPlan("split", np.arange(len(val_labels), dtype=np.int64))
    chosen = stratified(strata_of(val_labels), fraction, ("validation", seed, draw))
    if train_labels.dtype.kind == "f":
        if len(chosen) >= MIN_FOR_TARGET:
            return ValidationPlan("split", chosen)
        return ranked_folds(train_labels, ("folds", seed, draw))
    classes = np.union1d(train_labels, val_labels)
    counts = (val_labels[chosen][:, None] == classes[None, :]).sum(0)
    if counts.min() >= MIN_PER_CLASS:
        return ValidationPlan("split", chosen)
    return stratified_folds(train_labels, ("folds", seed, draw))


def _cross_validated(fold_of: Indices, folds: int) -> ValidationPlan:
    held_out = tuple(np.flatnonzero(fold_of == fold) for fold in range(folds))
    return ValidationPlan("inner_cv", np.empty(0, dtype=np.int64), held_out)


def stratified_folds(labels: Indices, stream: tuple[str | int, ...]) -> ValidationPlan:
    """Stratified folds; their number is that of the samples of the rarest divisible class, at most five."""
    classes, counts = np.unique(labels, return_counts=True)
    divisible = counts >= 2
    if not divisible.any():
        return NO_VALIDATION
    k = min(FOLDS, int(counts[divisible].min()))
    fold_of = np.full(len(labels), -1, dtype=np.int64)
    dealt = 0
    for label in classes[divisible]:
        members = generator(*stream, int(label)).permutation(np.flatnonzero(labels == label))
        # Continuing where the last class ended keeps the folds equally large.
        fold_of[members] = (np.arange(len(members)) + dealt) % k
        dealt += len(members)
    return _cross_validated(fold_of, k)


def ranked_folds(targets: Labels, stream: tuple[str | int, ...], folds: int = FOLDS) -> ValidationPlan:
    """Return folds stratified by target: each fold gets one of every ``folds`` samples with neighbouring ranks.

    With fewer samples than folds, each is held out once. With fewer than three, none can be, because a fit needs two.

    Args:
        targets: (n,) float64.
        stream: names the random order.
        folds: number of folds.
    """
    n = len(targets)
    if n < 3:
        return NO_VALIDATION
    k = min(folds, n)
    random = generator(*stream)
    deals = np.concatenate([random.permutation(k) for _ in range(-(-n // k))])[:n]
    # Ties are ranked at random: their order in the files would put neighbours into different folds.
    ranks = np.lexsort((random.permutation(n), targets))
    fold_of = np.empty(n, dtype=np.int64)
    fold_of[ranks] = deals
    return _cross_validated(fold_of, k)


def random_folds(n: int, stream: tuple[str | int, ...], blocks: npt.NDArray[np.str_] | None = None) -> ValidationPlan:
    """Return five folds of about equal size, drawn without the labels, so that targets of the same samples share them.

    With fewer than five samples, each is held out once. With fewer than three, none can be, because a fit needs two.

    Args:
        n: number of samples.
        stream: names the random order.
        blocks: (n,) block of every sample. If given, each block is kept in one fold, and blocks are counted instead of
            samples.
    """
    member = np.arange(n) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    count = int(member.max()) + 1 if n else 0
    if count < 3:
        return NO_VALIDATION
    k = min(FOLDS, count)
    return _cross_validated(generator(*stream).permutation(np.arange(count) % k)[member], k)
