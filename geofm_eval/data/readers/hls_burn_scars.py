"""HLS Burn Scars: Harmonized Landsat and Sentinel-2 chips of wildfires in the United States."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers.chips import (
    check_complete,
    check_options,
    class_loader,
    custom_listing,
    listed_items,
    read_split_file,
)
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.rasters import read_bands

FOLDERS = ("training", "validation")
IMAGE, MASK = "_merged.tif", ".mask.tif"
"""File name endings; the part before them is the id."""

VAL_SHARE, VAL_SEED = 0.1, 23
"""Proportion of the training folder that is drawn for validation, and PANGAEA's seed for the draw."""

_TILE = re.compile(r"\.(T\d{2}[A-Z]{3})\.")
_HLS_FILL = -9999


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the chips of an HLS Burn Scars folder by split.

    The publishers provide two folders. As in PANGAEA, ``validation`` is used as the test split, and ``training`` is
    divided into training (90 %) and validation by PANGAEA's draw, so that training and test images match its published
    results. No image is in two splits, as in PANGAEA since 2025; its versions of 2024 validated on 10 % of the test
    images.

    A ``splits.csv`` (columns chip, split) in the root takes precedence. Its chips without a file are dropped and
    counted. A name for which both folders hold different files must include its folder.

    The group of a chip is the Sentinel-2 grid tile in its name. Values are reflectances (0..1); 9999 or HLS' own -9999
    mark no data.
    """
    check_options(task)
    folders = {folder: _chips(root / folder) for folder in FOLDERS}
    load_target = class_loader(task, {-1: task.ignore, 0: 0, 1: 1})

    def load(item: Item) -> npt.NDArray[Any]:
        pixels = read_bands(item.path, task, task.bands).marked
        return np.where(pixels == _HLS_FILL, np.float32(np.nan), pixels)

    own = read_split_file(root)
    if own is None:
        check_complete(task, root, folders, f"{{training,validation}}/<chip>{IMAGE}")
        return Listing(root, _official(folders), "official", load, load_target)
    listed = listed_items(root, own, folders, lambda name: _item(root / "training", name))
    return custom_listing(root, listed, _kind, load, load_target)


def _official(folders: Mapping[str, tuple[Item, ...]]) -> dict[str, tuple[Item, ...]]:
    chips = folders["training"]
    order = np.random.RandomState(VAL_SEED).permutation(len(chips))
    val = set(order[: math.ceil(VAL_SHARE * len(chips))].tolist())
    return {
        "train": tuple(chip for position, chip in enumerate(chips) if position not in val),
        "val": tuple(chip for position, chip in enumerate(chips) if position in val),
        "test": folders["validation"],
    }


def _chips(folder: Path) -> tuple[Item, ...]:
    return tuple(_item(folder, path.name.removesuffix(IMAGE)) for path in visible(folder, f"*{IMAGE}"))


def _item(folder: Path, name: str) -> Item:
    tile = _TILE.search(name)
    group = None if tile is None else tile[1]
    return Item(name, folder / f"{name}{IMAGE}", None, group, target=folder / f"{name}{MASK}")


def _kind(path: Path) -> str:
    return "mask file" if path.name.endswith(MASK) else "image file"
