"""Shuffle splits for data without an official split: forty random test sets, and label subsets of what each leaves.

The folds are those of NeuCo-Bench: scikit-learn's ShuffleSplit over the labelled items in the order of the published
table, a tenth held out, seed 42. A variant draws whole blocks (grid cells of longitude and latitude, or the items'
groups), so that a test item has no neighbour of its block in the training part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofm_eval.data.items import Item
from geofm_eval.data.labels import Indices, Labels, LabelSubset, ValidationPlan, random_folds, strata_of, stratified
from geofm_eval.errors import ContractError, DataError
from geofm_eval.stats.out_of_fold import TEST_SHARE

SHUFFLES = 40
SEED = 42
MIN_ITEMS = 20
"""With fewer items a fold would be tested on fewer than two, for which R2 is undefined."""

MIN_BLOCKS = 10
"""With fewer blocks a single one is more than a tenth of the data."""

Blocks = npt.NDArray[np.str_]
"""(n,) name of the block of every item."""


@dataclass(frozen=True)
class Shuffle:
    """One random cut of all items into a training part and a test set.

    Args:
        train: positions of the training part, ascending.
        test: positions of the test set, ascending.
    """

    train: Indices
    test: Indices


def shuffles(n: int, blocks: Blocks | None = None, order: Indices | None = None) -> list[Shuffle]:
    """Cut ``n`` items forty times.

    Args:
        n: number of items.
        blocks: (n,) block of every item; a block then lies in the test set with all of its items or with none.
        order: (n,) positions of the items in the order that is cut; by default their own. The folds are the published
            ones when it is the published order.

    Raises:
        ContractError: too few items or blocks, or as many block names as there are not items.
    """
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit  # here, because it takes a second to load

    if n < MIN_ITEMS:
        raise ContractError(f"shuffle splits need at least {MIN_ITEMS} items, found {n}: give the task a split instead")
    if blocks is not None:
        _check_blocks(blocks, n)
    order = np.arange(n) if order is None else order
    cut = ShuffleSplit if blocks is None else GroupShuffleSplit
    groups = None if blocks is None else blocks[order]
    drawn = cut(n_splits=SHUFFLES, test_size=TEST_SHARE, random_state=SEED).split(np.zeros((n, 1)), groups=groups)
    return [Shuffle(np.sort(order[train]), np.sort(order[test])) for train, test in drawn]


def published_order(items: Sequence[Item]) -> Indices:
    """(n,) positions of the items by rank; their own order where they have none."""
    ranks = [item.rank for item in items if item.rank is not None]
    return np.argsort(ranks, kind="stable") if len(ranks) == len(items) else np.arange(len(items))


def _check_blocks(blocks: Blocks, n: int) -> None:
    if blocks.shape != (n,):
        raise ContractError(f"blocks must name the block of each of the {n} items, found shape {blocks.shape}")
    count = len(np.unique(blocks))
    if count < MIN_BLOCKS:
        raise ContractError(
            f"block shuffle splits need at least {MIN_BLOCKS} blocks, found {count}: take smaller blocks"
        )


def item_blocks(items: Sequence[Item], blocks: object) -> Blocks | None:
    """Block of every item, as a task's option ``blocks`` says.

    Args:
        items: in the order of the split.
        blocks: None for none; ``group`` for the items' own groups; a number for square cells of so many degrees.

    Raises:
        ContractError: any other value.
        DataError: an item lacks what its block follows from.
    """
    if blocks is None:
        return None
    if blocks == "group":
        return np.array([_group(item) for item in items])
    if isinstance(blocks, int | float) and not isinstance(blocks, bool) and blocks > 0:
        return np.array([_cell(item, float(blocks)) for item in items])
    raise ContractError(f"option blocks = {blocks!r} is unknown: expected 'group' or the side of a cell in degrees")


def _group(item: Item) -> str:
    if item.group is None:
        raise DataError(f"item '{item.id}' has no group, which blocks = 'group' needs: leave the option out")
    return item.group


def _cell(item: Item, degrees: float) -> str:
    if item.lonlat is None:
        raise DataError(f"item '{item.id}' has no longitude and latitude, which blocks in degrees need")
    return "{}/{}".format(*(math.floor(value / degrees) for value in item.lonlat))


def shuffled_subsets(
    labels: Labels,
    fractions: Sequence[float],
    seed: int,
    blocks: Blocks | None = None,
    order: Indices | None = None,
) -> tuple[list[LabelSubset], dict[tuple[float, int], ValidationPlan]]:
    """Cut label subsets of every shuffle's training part; the number of the shuffle stands as their draw.

    The subsets are stratified and nested within a shuffle; penalties are chosen by inner cross-validation on them, so
    that nothing of a test set takes part in any choice. With all labels neither subsets nor inner folds depend on
    labels or seed: all targets of the same items are then fitted on the same rows.

    Args:
        labels: (n,) float64 targets of all items.
        fractions: shares in (0, 1] of the training part.
        seed: seed of the subsets below fraction 1; test sets and inner folds do not depend on it.
        blocks: (n,) block of every item.
        order: (n,) positions of the items in the order that is cut; by default their own.

    Returns:
        The subsets, and how each (fraction, draw) is validated.

    Raises:
        ContractError: too few items or blocks, or a fraction outside (0, 1].
    """
    subsets, plans = [], {}
    for draw, shuffle in enumerate(shuffles(len(labels), blocks, order)):
        strata = strata_of(labels[shuffle.train])
        for fraction in fractions:
            kept = stratified(strata, fraction, ("shuffles", seed, draw))
            rows = shuffle.train[kept]
            subsets.append(LabelSubset(fraction, draw, rows, shuffle.test))
            plans[fraction, draw] = random_folds(
                len(rows), ("inner", SEED, draw), None if blocks is None else blocks[rows]
            )
    number = {fraction: number for number, fraction in enumerate(fractions)}
    return sorted(subsets, key=lambda subset: (number[subset.fraction], subset.draw)), plans
