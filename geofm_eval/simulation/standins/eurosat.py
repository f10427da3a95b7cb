"""Simulated chips in the layout of EuroSAT."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.items import NAMES
from geofm_eval.simulation.scene import simulate_blocks
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.standins.chips import write_geotiff


def write_eurosat(folder: Path, task: TaskSpec) -> None:
    """Write simulated chips as EuroSAT: ``<Class>/<Class>_<n>.tif`` and ``eurosat-{train,val,test}.txt``.

    Every class has the same number of chips in every split; the first classes have one more if sizes are not divisible.
    The task's ``bands`` give the order in the files.
    """
    lists: dict[str, list[str]] = {name: [] for name in NAMES}
    sizes = task.sizes or (0, 0, 0)
    for position, kind in enumerate(task.classes):
        counts = [size // len(task.classes) + (position < size % len(task.classes)) for size in sizes]
        names = [f"{kind}_{number}" for number in range(1, sum(counts) + 1)]
        _write_class(folder / kind, names, task.bands)
        ends = np.cumsum([0, *counts])
        for split, (start, end) in zip(NAMES, itertools.pairwise(ends), strict=True):
            lists[split] += [f"{name}.jpg\n" for name in names[start:end]]
    for split, lines in lists.items():
        (folder / f"{task.options['split_lists']}-{split}.txt").write_text("".join(lines), encoding="utf-8")


def in_file_order(chips: Array, bands: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Reorder simulated (n, 13, height, width) chips to a task's bands and round them to digital numbers."""
    order = list(SENTINEL2)
    return np.rint(chips[:, [order.index(name) for name in bands]]).astype(np.uint16)


def _write_class(folder: Path, names: list[str], bands: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    chips = (chip for block in simulate_blocks(folder.name, len(names)) for chip in in_file_order(block, bands))
    for name, chip in zip(names, chips, strict=True):
        write_geotiff(folder / f"{name}.tif", chip)
