"""Label budgets of dense tasks: chips are the labelled items, and strata follow from what their pixels show."""

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
"""Each is a training of its own."""


@dataclass(frozen=True)
class ChipBudget:
    """The chips that a training may see.

    Args:
        train: positions in the training split, ascending.
        val: positions in the validation split, ascending; none where the training chips are cross-validated.
        folds: parts of ``train``; each is held out once, to choose by, where too few validation chips are left.
        absent: classes that no labelled pixel of the training chips shows: nobody can learn them.
    """

    train: Indices
    val: Indices
    folds: tuple[Indices, ...] = ()
    absent: tuple[int, ...] = ()

    def without(self, fold: int) -> Indices:
        """Training chips beside those of a fold."""
        return np.setdiff1d(self.train, self.folds[fold])

    @property
    def validated_on(self) -> int:
        """Number of chips that validation scores rest on."""
        return sum(map(len, self.folds)) if self.folds else len(self.val)


@dataclass(frozen=True)
class ChipStrata:
    """What the chips of a split show.

    Args:
        strata: (n,) stratum of every chip; -1 without a label.
        shown: (n, K) bool, classes that a chip shows; (n, 0) for numbers.
    """

    strata: Indices
    shown: NDArray[np.bool_]


def chip_strata(split: Split) -> ChipStrata:
    """Stratum of every chip: the rarest class of the split that it shows, and how much of it; or its mean target's bin.

    Rare classes are then in every subset, however small. Chips that share a rarest class are cut into ``SHARE_BINS`` by
    its share of their pixels where there are at least ``CHIPS_PER_BIN`` for each. A chip without a label has the
    stratum -1.

    Raises:
        DataError: the chips of a training split show fewer than two classes.
    """
    task = split.task
    # One chip after another: all pixels of a large data set are more than memory holds.
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
    """Refuse labels that nothing can be learnt from.

    Args:
        shown: classes that occur.
        task: names them.
        where: says in which chips, for the message.

    Raises:
        DataError: fewer than two classes.
    """
    if len(shown) < 2:
        found = f"only {task.classes[shown[0]]!r}" if len(shown) else "no class"
        raise DataError(
            f"{task.slug}: {where} show {found}, expected two or more classes: choose a split with chips of every class"
        )


def chip_budget(
    chips: Mapping[str, ChipStrata], fraction: float, draw: int, budget: Literal["matched", "full"], seed: int
) -> ChipBudget:
    """Cut the chips of a label fraction; draws are nested (10 % in 100 %) and the same for all models.

    Args:
        chips: strata of the chips of ``train`` and ``val``.
        fraction: share of the training chips; every stratum keeps at least one.
        draw: number of the random draw.
        budget: ``matched`` cuts the validation chips by the same rule, and where that leaves a class fewer than
            ``MIN_PER_CLASS`` chips (or a regression so few at all) plans folds of the training chips instead; ``full``
            keeps all validation chips.
        seed: of the task.
    """
    share = fraction if budget == "matched" else 1.0
    known, held = chips["train"], chips["val"]
    train = _labelled(known, stratified(known.strata, fraction, ("labels", seed, draw)))
    absent = np.flatnonzero(~known.shown[train].any(0))
    val = _labelled(held, stratified(held.strata, share, ("validation", seed, draw)))
    folds = _folds(train, chips, val, (seed, draw)) if budget == "matched" and fraction < 1 else ()
    return ChipBudget(train, val[:0] if folds else val, folds, tuple(absent.tolist()))


def _labelled(chips: ChipStrata, chosen: Indices) -> Indices:
    """Chips with a labelled pixel: nothing is learnt from the others, and they have no score."""
    return chosen[chips.strata[chosen] >= 0]


def _folds(
    train: Indices, chips: Mapping[str, ChipStrata], val: Indices, stream: tuple[int, int]
) -> tuple[Indices, ...]:
    """Folds of the training chips; none where validation chips are enough, or training chips too few to be parted."""
    known, held = chips["train"], chips["val"]
    occurs = known.shown.any(0) | held.shown.any(0)
    fewest = min(held.shown[val][:, occurs].sum(0), default=len(val))
    if fewest >= MIN_PER_CLASS:
        return ()
    plan = ranked_folds(known.strata[train].astype(np.float64), ("folds", *stream), FOLDS)
    return tuple(train[fold] for fold in plan.folds)
