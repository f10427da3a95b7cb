"""AI4SmallFarms: Sentinel-2 tiles of Vietnam and Cambodia with the outlines of smallholder fields."""

from pathlib import Path
from typing import Any

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

FOLDER = "sentinel-2-asia"
FOLDERS = {"train": ("train",), "val": ("validate", "val"), "test": ("test",)}
"""Folders of every split, as published and as renamed by benchmarks."""


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the tiles of an AI4SmallFarms folder by split: ``sentinel-2-asia/<split>/{images,masks}/<tile>.tif``.

    The folders are the publishers' split. A ``splits.csv`` (columns chip, split) in the root takes precedence. It may
    list tiles of any folder; tiles without a file are dropped and counted. A name for which several folders hold
    different files must include its folder, for example ``sentinel-2-asia/train/images/0_vietnam``.

    Tiles differ in size, near 500 pixels per side. Masks hold outlines of fields, about a quarter of all pixels, as 255
    or as 1.
    """
    check_options(task)
    tiles = {split: _tiles(root / FOLDER, names) for split, names in FOLDERS.items()}
    load_target = class_loader(task, {0: 0, 1: 1}, {0: 0, 255: 1})

    def load(item: Item) -> npt.NDArray[Any]:
        return read_bands(item.path, task, task.bands).marked

    own = read_split_file(root)
    if own is None:
        check_complete(task, root, tiles, f"{FOLDER}/<split>/images/<tile>.tif")
        return Listing(root, tiles, "official", load, load_target)
    listed = listed_items(root, own, tiles, lambda name: _item(root / FOLDER / "train", name))
    return custom_listing(root, listed, lambda path: f"{path.parent.name} file", load, load_target)


def _tiles(folder: Path, names: tuple[str, ...]) -> tuple[Item, ...]:
    return tuple(
        _item(folder / name, image.stem) for name in names for image in visible(folder / name / "images", "*.tif")
    )


def _item(folder: Path, name: str) -> Item:
    return Item(name, folder / "images" / f"{name}.tif", None, target=folder / "masks" / f"{name}.tif")
