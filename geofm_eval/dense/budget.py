"""Label budgets of dense tasks: the labelled samples are chips, stratified by what their pixels show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.inspection import labelled
from geofm_eval.data.labels import MIN_PER_CLASS, Indices, ranked_folds, strata_of, stratified
from geofm_eval.data.split import Split
from geofm_eval.errors import DataError

SHARE_BINS = 3
CHIPS_PER_BIN = 4

FOLDS = 3
"""Number of folds; each is a separate training."""


@dataclass(frozen=True)
class ChipBudget:
    """Chips that a training may use.

    Args:
        train: positions in the training split, ascending.
        val: positions in the validation split, ascending; empty if the training chips are cross-validated.
        folds: parts of ``train``, each held out once for validation; empty if there are enough validation chips.
        absent: classes without labelled pixels in the training chips, which no model can learn.
    """

    train: Indices
    val: Indices
    folds: tuple[Indices, ...] = ()
    absent: tuple[int, ...] = ()

    def without(self, fold: int) -> Indices:
        """Return the training chips outside a fold."""
        return np.setdiff1d(self.train, self.folds[fold])

    @property
    def validated_on(self) -> int:
        """Number of chips that validation scores are computed on."""
        return sum(map(len, self.folds)) if self.folds else len(self.val)


@dataclass(frozen=True)
class ChipStrata:
    """Labels of the chips of a split.

    Args:
        strata: (n,) stratum of every chip; -1 without a label.
        shown: (n, K) bool, True for classes of a chip; (n, 0) for regression.
    """

    strata: Indices
    shown: NDArray[np.bool_]


def chip_strata(split: Split) -> ChipStrata:
    """Stratify chips by the rarest class of the split that they show and its area, or by the mean of their targets.

    Rare classes are thus in every subset, however small. Chips with the same rarest class form ``SHARE_BINS`` bins by
    its proportion of their pixels, if there are at least ``CHIPS_PER_BIN`` for each. Chips without a label get -1.

    Raises:
        DataError: the chips of a training split show fewer than two classes.
    """
    task = split.task
    # Chip by chip, because all pixels of a large data set do not fit into memory.
    targets = (split.read_target(item) for item in range(len(split)))
    known = (target[labelled(target, task)] for target in targets)
    if task.kind == "dense_regression":
        means = np.array([float(values.mean()) if values.size else np.nan for values in known])
        strata = np.full(len(split), -1, dtype=np.int64)
        strata[np.isfinite(means)] = strata_of(means[np.isfinite(means)])
        return ChipStrata(strata, np.zeros((len(split), 0), dtype=np.bool_))
    counts = np.stack([np.bincount(values.astype(np.int64), minlength=len(task.classes)) for values in known])
    if split.name == "train":
        check_classes(np.flatnonzero(counts.sum(0)), task, "the training chips")
    shown = np.where(counts > 0, counts.sum(0), np.iinfo(np.int64).max)
    rarest = np.where(counts.any(1), shown.argmin(1), -1)
    strata = np.where(rarest < 0, -1, rarest * SHARE_BINS)
    for label in np.unique(rarest[rarest >= 0]):
        members = np.flatnonzero(rarest == label)
        if len(members) >= SHARE_BINS * CHIPS_PER_BIN:
            shares = counts[members, label] / counts[members].sum(1)
            edges = np.quantile(shares, np.arange(1, SHARE_BINS) / SHARE_BINS)
            strata[members] += np.searchsorted(edges, shares, side="left")
    return ChipStrata(strata.astype(np.int64), counts > 0)


def check_classes(shown: Sequence[int] | Indices, task: TaskSpec, where: str) -> None:
    """Reject labels from which nothing can be learned.

    Args:
        shown: classes that occur.
        task: dense classification task.
        where: describes the chips, for the message.

    Raises:
        DataError: fewer than two classes.
    """
    if len(shown) < 2:
        found = f"only {task.classes[shown[0]]!r}" if len(shown) else "no class"
        raise DataError(
            f"{task.slug}: {where} show {found}, expected two or more classes; choose a split with chips of every class"
        )


def chip_budget(
    chips: Mapping[str, ChipStrata], fraction: float, draw: int, budget: Literal["matched", "full"], seed: int
) -> ChipBudget:
    """Select the chips of a label fraction; draws are nested (10 % in 100 %) and the same for all models.

    Args:
        chips: strata of the chips of ``train`` and ``val``.
        fraction: proportion of the training chips; every stratum keeps at least one.
        draw: number of the random draw.
        budget: ``matched`` selects validation chips by the same rule; if a class then has fewer than ``MIN_PER_CLASS``
            chips (or a regression so few in total), folds of the training chips are planned instead. ``full`` keeps
            all validation chips.
        seed: seed of the task.
    """
    share = fraction if budget == "matched" else 1.0
    known, held = chips["train"], chips["val"]
    train = _labelled(known, stratified(known.strata, fraction, ("labels", seed, draw)))
    absent = np.flatnonzero(~known.shown[train].any(0))
    val = _labelled(held, stratified(held.strata, share, ("validation", seed, draw)))
    folds = _folds(train, chips, val, (seed, draw)) if budget == "matched" and fraction < 1 else ()
    return ChipBudget(train, val[:0] if folds else val, folds, tuple(absent.tolist()))


def _labelled(chips: ChipStrata, chosen: Indices) -> Indices:
    """Keep chips with a labelled pixel; the others have neither a loss nor a score."""
    return chosen[chips.strata[chosen] >= 0]


def _folds(
    train: Indices, chips: Mapping[str, ChipStrata], val: Indices, stream: tuple[int, int]
) -> tuple[Indices, ...]:
    """Folds of the training chips; none with enough validation chips, or too few training chips to divide."""
    known, held = chips["train"], chips["val"]
    occurs = known.shown.any(0) | held.shown.any(0)
    fewest = min(held.shown[val][:, occurs].sum(0), default=len(val))
    if fewest >= MIN_PER_CLASS:
        return ()
    plan = ranked_folds(known.strata[train].astype(np.float64), ("folds", *stream), FOLDS)
    return tuple(train[fold] for fold in plan.folds)
