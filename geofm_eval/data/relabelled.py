"""Splits with shuffled labels: a control that shows what training changes without any information in the labels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted
from geofm_eval.seeds import generator

FEWEST = 2


def with_shuffled_labels(split: Split, rows: Sequence[int], seed: int) -> Split:
    """Exchange the labels of some samples at random; whole label maps for dense tasks.

    Args:
        split: the split; not modified.
        rows: positions of the training samples whose labels are shuffled.
        seed: seed of the order.

    Returns:
        The split with shuffled labels and another ``labels_sha256``.

    Raises:
        DataError: fewer than two samples.
    """
    if len(rows) < FEWEST:
        raise DataError(
            f"{split.task.slug}: cannot shuffle labels, found {counted(len(rows), 'labelled sample')} and need at "
            f"least {FEWEST}. Use a larger label fraction"
        )
    order = generator("shuffled labels", split.task.slug, seed).permutation(len(rows))
    # Each sample takes the label of its neighbour in a random order, so none keeps its own.
    pairs = zip(order, np.roll(order, 1), strict=True)
    giver = {split.items[rows[one]].id: split.items[rows[other]] for one, other in pairs}
    load = split.load_target
    if load is None:
        return replace(split, items=tuple(replace(i, label=giver.get(i.id, i).label) for i in split.items))
    # The names of label files are part of the labels' hash.
    givers = [giver.get(item.id, item) for item in split.items]
    items = (replace(i, target=other.target or other.path) for i, other in zip(split.items, givers, strict=True))

    own = {item.id: item for item in split.items}

    def load_other(item: Item) -> npt.NDArray[Any]:
        if item.id not in giver:
            return load(item)
        return _fitted(load(giver[item.id]), load(own[item.id]).shape, split.task)

    return replace(split, items=tuple(items), load_target=load_other)


def _fitted(target: npt.NDArray[Any], shape: Sequence[int], task: TaskSpec) -> npt.NDArray[Any]:
    cut = target[: shape[0], : shape[1]]
    missing = [(0, length - have) for length, have in zip(shape, cut.shape, strict=True)]
    return np.pad(cut, missing, constant_values=np.nan if task.numeric else task.ignore)
