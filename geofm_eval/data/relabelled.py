"""Splits whose labels were exchanged at random: what a training does that learns nothing about the images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from geofm_eval.data.items import Item
from geofm_eval.data.seeds import generator
from geofm_eval.data.split import Split


def with_shuffled_labels(split: Split, rows: Sequence[int], seed: int) -> Split:
    """Exchange the labels of some items among each other; of dense tasks whole label maps.

    Args:
        split: is not changed.
        rows: positions of the items that a training sees.
        seed: of the permutation.

    Returns:
        The split with other labels, and with another ``labels_sha256``.
    """
    order = generator("shuffled labels", split.task.slug, seed).permutation(len(rows))
    giver = {split.items[row].id: split.items[rows[other]] for row, other in zip(rows, order, strict=True)}
    load = split.load_target
    if load is None:
        return replace(split, items=tuple(replace(i, label=giver.get(i.id, i).label) for i in split.items))
    # The names of label files are part of the labels' hash.
    givers = [giver.get(item.id, item) for item in split.items]
    items = (replace(i, target=other.target or other.path) for i, other in zip(split.items, givers, strict=True))

    def load_other(item: Item) -> npt.NDArray[Any]:
        return load(giver.get(item.id, item))

    return replace(split, items=tuple(items), load_target=load_other)
