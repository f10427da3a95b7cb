"""Label budgets of dense tasks: chips are the labelled items, and strata follow from what their pixels show."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geofm_eval.data.inspection import labelled
from geofm_eval.data.labels import Indices, strata_of, stratified
from geofm_eval.data.split import Split

SHARE_BINS = 3
CHIPS_PER_BIN = 4


@dataclass(frozen=True)
class ChipBudget:
    """The chips that a training may see.

    Args:
        train: positions in the training split, ascending.
        val: positions in the validation split, ascending.
    """

    train: Indices
    val: Indices


def chip_strata(split: Split) -> Indices:
    """Stratum of every chip: the rarest class of the split that it shows, and how much of it; or its mean target's bin.

    Rare classes are then in every subset, however small. Chips that share a rarest class are cut into ``SHARE_BINS`` by
    its share of their pixels where there are at least ``CHIPS_PER_BIN`` for each. A chip without a label has the
    stratum -1.
    """
    task = split.task
    targets = [split.read_target(item) for item in range(len(split))]
    known = [target[labelled(target, task)] for target in targets]
    if task.kind == "dense_regression":
        return strata_of(np.array([float(values.mean()) if values.size else 0.0 for values in known]))
    counts = np.stack([np.bincount(values.astype(np.int64), minlength=len(task.classes)) for values in known])
    shown = np.where(counts > 0, counts.sum(0), np.iinfo(np.int64).max)
    rarest = np.where(counts.any(1), shown.argmin(1), -1)
    strata = np.where(rarest < 0, -1, rarest * SHARE_BINS)
    for label in np.unique(rarest[rarest >= 0]):
        members = np.flatnonzero(rarest == label)
        if len(members) >= SHARE_BINS * CHIPS_PER_BIN:
            shares = counts[members, label] / counts[members].sum(1)
            edges = np.quantile(shares, np.arange(1, SHARE_BINS) / SHARE_BINS)
            strata[members] += np.searchsorted(edges, shares, side="left")
    return strata.astype(np.int64)


def chip_budget(
    strata: dict[str, Indices], fraction: float, draw: int, budget: Literal["matched", "full"], seed: int
) -> ChipBudget:
    """Cut the chips of a label fraction; draws are nested (10 % in 100 %) and the same for all models.

    Args:
        strata: of the chips of ``train`` and ``val``.
        fraction: share of the training chips; every stratum keeps at least one.
        draw: number of the random draw.
        budget: ``matched`` cuts the validation chips by the same rule, ``full`` keeps all of them.
        seed: of the task.
    """
    share = fraction if budget == "matched" else 1.0
    return ChipBudget(
        stratified(strata["train"], fraction, ("labels", seed, draw)),
        stratified(strata["val"], share, ("validation", seed, draw)),
    )
