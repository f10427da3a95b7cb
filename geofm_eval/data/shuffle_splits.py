"""Shuffle splits for data without an official split: forty random test sets, and label subsets of the remaining data.

The folds are those of NeuCo-Bench: scikit-learn's ShuffleSplit over the labelled samples in the order of the published
table, with 10 % held out and seed 42. A variant draws whole blocks (grid cells of longitude and latitude, or groups of
samples), so that no test sample shares a block with a training sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofm_eval.data.items import Item
from geofm_eval.data.labels import Indices, Labels, LabelSubset, ValidationPlan, random_folds, strata_of, stratified
from geofm_eval.errors import ContractError, DataError
from geofm_eval.plurals import counted
from geofm_eval.stats.out_of_fold import TEST_SHARE

SHUFFLES = 40
SEED = 42
MIN_ITEMS = 20
"""With fewer samples a test set would have fewer than two, for which R2 is undefined."""

MIN_BLOCKS = 10
"""With fewer blocks a single one would exceed 10 % of the data."""

Blocks = npt.NDArray[np.str_]
"""(n,) block name of every sample."""


@dataclass(frozen=True)
class Shuffle:
    """Positions of the training part and the test set of one random division, ascending."""

    train: Indices
    test: Indices


def shuffles(n: int, blocks: Blocks | None = None, order: Indices | None = None) -> list[Shuffle]:
    """Split ``n`` samples forty times.

    Args:
        n: number of samples.
        blocks: (n,) block of every sample. If given, each block is in the test set as a whole or not at all.
        order: (n,) positions of the samples in the order that is split; by default their own. The published order gives
            the published folds.

    Raises:
        ContractError: too few samples or blocks, or ``blocks`` does not have n names.
    """
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit  # here, because it takes a second to load

    if n < MIN_ITEMS:
        raise ContractError(
            f"found {counted(n, 'sample')}; shuffle splits need at least {MIN_ITEMS}. Give the task a fixed split "
            "instead"
        )
    if blocks is not None:
        _check_blocks(blocks, n)
    order = np.arange(n) if order is None else order
    cut = ShuffleSplit if blocks is None else GroupShuffleSplit
    groups = None if blocks is None else blocks[order]
    drawn = cut(n_splits=SHUFFLES, test_size=TEST_SHARE, random_state=SEED).split(np.zeros((n, 1)), groups=groups)
    return [Shuffle(np.sort(order[train]), np.sort(order[test])) for train, test in drawn]


def published_order(items: Sequence[Item]) -> Indices:
    """Return (n,) positions of the samples by rank, or in their own order if they have no ranks."""
    ranks = [item.rank for item in items if item.rank is not None]
    return np.argsort(ranks, kind="stable") if len(ranks) == len(items) else np.arange(len(items))


def _check_blocks(blocks: Blocks, n: int) -> None:
    if blocks.shape != (n,):
        raise ContractError(f"blocks has shape {blocks.shape}; expected ({n},), one block name per sample")
    count = len(np.unique(blocks))
    if count < MIN_BLOCKS:
        raise ContractError(
            f"found {counted(count, 'block')}; block shuffle splits need at least {MIN_BLOCKS}. Use smaller blocks"
        )


def item_blocks(items: Sequence[Item], blocks: object) -> Blocks | None:
    """Return the block of every sample, according to a task's option ``blocks``.

    Args:
        items: samples, in the order of the split.
        blocks: None for no blocks; ``group`` for the samples' own groups; a number for square cells of that many
            degrees.

    Raises:
        ContractError: any other value.
        DataError: a sample lacks the group or position that defines its block.
    """
    if blocks is None:
        return None
    if blocks == "group":
        return np.array([_group(item) for item in items])
    if isinstance(blocks, int | float) and not isinstance(blocks, bool) and blocks > 0:
        return np.array([_cell(item, float(blocks)) for item in items])
    raise ContractError(f"option blocks is {blocks!r}; expected 'group' or the side of a cell in degrees")


def _group(item: Item) -> str:
    if item.group is None:
        raise DataError(f"sample '{item.id}' has no group, but blocks = 'group' needs one. Remove the option")
    return item.group


def _cell(item: Item, degrees: float) -> str:
    if item.lonlat is None:
        raise DataError(
            f"sample '{item.id}' has no longitude and latitude, but blocks in degrees need them. Remove the option"
        )
    return "{}/{}".format(*(math.floor(value / degrees) for value in item.lonlat))


def shuffled_subsets(
    labels: Labels, fractions: Sequence[float], seed: int, blocks: Blocks | None = None, order: Indices | None = None
) -> tuple[list[LabelSubset], dict[tuple[float, int], ValidationPlan]]:
    """Draw label subsets from the training part of every shuffle; the number of the shuffle is stored as the draw.

    Subsets are stratified and nested within a shuffle. Penalties are selected by inner cross-validation on them, so no
    test sample influences any choice. With all labels, neither subsets nor inner folds depend on labels or seed: all
    targets of the same samples are then fitted on the same rows.

    Args:
        labels: (n,) float64 targets of all samples.
        fractions: label fractions in (0, 1] of the training part.
        seed: seed of the subsets below fraction 1; test sets and inner folds do not depend on it.
        blocks: (n,) block of every sample.
        order: (n,) positions of the samples in the order that is split; by default their own.

    Returns:
        The subsets, and the validation plan of each (fraction, draw).

    Raises:
        ContractError: too few samples or blocks, or a fraction outside (0, 1].
    """
    subsets, plans = [], {}
    for draw, shuffle in enumerate(shuffles(len(labels), blocks, order)):
        strata = strata_of(labels[shuffle.train])
        for fraction in fractions:
            kept = stratified(strata, fraction, ("shuffles", seed, draw))
            rows = shuffle.train[kept]
            subsets.append(LabelSubset(fraction, draw, rows, shuffle.test))
            inner = None if blocks is None else blocks[rows]
            plans[fraction, draw] = random_folds(len(rows), ("inner", SEED, draw), inner)
    number = {fraction: number for number, fraction in enumerate(fractions)}
    return sorted(subsets, key=lambda subset: (number[subset.fraction], subset.draw)), plans
