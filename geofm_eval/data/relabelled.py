"""Splits whose labels were exchanged at random: what a training does that learns nothing about the images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split
from geofm_eval.errors import DataError
from geofm_eval.seeds import generator

FEWEST = 2


def with_shuffled_labels(split: Split, rows: Sequence[int], seed: int) -> Split:
    """Exchange the labels of some items among each other; of dense tasks whole label maps.

    Args:
        split: is not changed.
        rows: positions of the items that a training sees.
        seed: of the order.

    Returns:
        The split with other labels, and with another ``labels_sha256``.

    Raises:
        DataError: a single item.
    """
    if len(rows) < FEWEST:
        raise DataError(f"{split.task.slug}: the labels of {len(rows)} item cannot be exchanged: take more labels")
    order = generator("shuffled labels", split.task.slug, seed).permutation(len(rows))
    # Along a random order everyone takes its neighbour's label: nobody keeps its own.
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
    """A label map in the size of another image: cut, or filled up with pixels without a label."""
    cut = target[: shape[0], : shape[1]]
    missing = [(0, length - have) for length, have in zip(shape, cut.shape, strict=True)]
    return np.pad(cut, missing, constant_values=np.nan if task.numeric else task.ignore)
