"""Sen1Floods11: hand-labelled chips of eleven floods with Sentinel-1, Sentinel-2 or both."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers.chips import (
    check_aligned,
    check_options,
    class_loader,
    custom_listing,
    read_lists,
    read_split_file,
)
from geofm_eval.data.readers.rasters import Raster, read_bands
from geofm_eval.errors import DataError

CHIPS = "v1.1/data/flood_events/HandLabeled"
LISTS = "v1.1/splits/flood_handlabeled"
"""Folders of the chips and of the official split lists below the root."""

_FOLDERS = {"s1": ("S1Hand",), "s2": ("S2Hand",), "s1s2": ("S2Hand", "S1Hand")}
_BANDS = {"S1Hand": ("VV", "VH"), "S2Hand": tuple(SENTINEL2)}


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the chips of a Sen1Floods11 folder by split.

    The official split is by chip, so most events occur in all three splits. The chips of Bolivia form a separate set;
    the option ``test = "bolivia"`` uses them as the test split. A ``splits.csv`` (columns chip, split) in the root
    takes precedence over the official lists. Its chips without a file are dropped and counted.

    The group of a chip is its flood event, named after the country. Digital numbers are L1C of 2016 to 2019, before
    processing baseline 04.00, without the offset of 1000; 0 is no data. Cloudy pixels have the label -1.

    The task's options are ``modality`` (``s1``, ``s2``, or ``s1s2``: the bands of S2, then VV and VH) and ``test``
    (``test`` or ``bolivia``).
    """
    check_options(task, modality=tuple(_FOLDERS), test=("test", "bolivia"))
    chips = root / CHIPS
    folders = _FOLDERS[task.options.get("modality", "s2")]
    load_target = class_loader(task, {-1: task.ignore, 0: 0, 1: 1})

    own = read_split_file(root)
    if own is not None:
        items = {split: _items(chips, folders, names) for split, names in own.items()}
        return custom_listing(root, items, _kind, lambda item: _load(item, task), load_target)
    lists = {"train": "train", "val": "valid", "test": task.options.get("test", "test")}
    paths = {split: root / LISTS / f"flood_{name}_data.csv" for split, name in lists.items()}
    official = {
        split: _items(chips, folders, [_chip(line, paths[split]) for line in lines])
        for split, lines in read_lists(task, root, paths).items()
    }
    return Listing(root, official, "official", lambda item: _load(item, task), load_target)


def _chip(line: str, path: Path) -> str:
    chip, ending, _ = line.partition("_S1Hand.tif,")
    if not ending:
        raise DataError(
            f"{path}: line is '{line[:100]}', expected <chip>_S1Hand.tif,<chip>_LabelHand.tif. Correct the list"
        )
    return chip


def _items(chips: Path, folders: tuple[str, ...], names: Iterable[str]) -> tuple[Item, ...]:
    return tuple(_item(chips, folders, name) for name in names)


def _item(chips: Path, folders: tuple[str, ...], name: str) -> Item:
    path, *others = (chips / folder / f"{name}_{folder}.tif" for folder in folders)
    event = name.rpartition("_")[0]
    target = chips / "LabelHand" / f"{name}_LabelHand.tif"
    return Item(name, path, None, event or None, others=tuple(others), target=target)


def _kind(path: Path) -> str:
    return f"{path.parent.name} file"


def _load(item: Item, task: TaskSpec) -> npt.NDArray[Any]:
    first, *others = (read_bands(path, task, _BANDS[path.parent.name]) for path in (item.path, *item.others))
    for other in others:
        check_aligned(first, other)
    return np.concatenate([_marked(part) for part in (first, *others)])


def _marked(part: Raster) -> npt.NDArray[Any]:
    # Not every copy declares 0 as nodata, but 0 is never measured: the smallest digital number is 1.
    if part.path.parent.name == "S2Hand":
        return np.where(part.marked == 0, np.float32(np.nan), part.marked)
    return part.marked
