"""Noise chips generated on reading, so that no side of a comparison waits for a disk."""

from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split


def noise_split(task: TaskSpec, name: str, count: int, side: int) -> Split:
    """Make a split of ``count`` chips of ``side`` pixels with labels of two classes."""
    items = tuple(Item(f"{name}{index}", Path(f"{index}.tif"), None) for index in range(count))

    def image(item: Item) -> Any:
        rng = np.random.default_rng(int(item.path.stem))
        return rng.uniform(0, 5000, (len(task.bands), side, side)).astype(np.float32)

    def target(item: Item) -> Any:
        return np.random.default_rng(int(item.path.stem)).integers(0, 2, (side, side))

    return Split(task, name, items, "official", image, target)
