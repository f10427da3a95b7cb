"""Noise chips, and memory of a process."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split


def noise_split(task: TaskSpec, name: str, count: int, side: int) -> Split:
    """Make a split of ``count`` noise chips with labels of two classes, generated on reading, without a disk."""
    items = tuple(Item(f"{name}{index}", Path(f"{index}.tif"), None) for index in range(count))

    def image(item: Item) -> Any:
        rng = np.random.default_rng(int(item.path.stem))
        return rng.uniform(0, 5000, (len(task.bands), side, side)).astype(np.float32)

    def target(item: Item) -> Any:
        return np.random.default_rng(int(item.path.stem)).integers(0, 2, (side, side))

    return Split(task, name, items, "official", image, target)


def anonymous_mib() -> float:
    """Return the anonymous memory of this process in MiB, without mapped files, which can be dropped."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024
