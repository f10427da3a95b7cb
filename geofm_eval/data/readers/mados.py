"""MADOS: Sentinel-2 crops of the sea with sparse labels of marine debris, oil and other floating objects."""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2, canonical
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.chips import (
    SPLIT_FILE,
    check_options,
    classes_of,
    custom_listing,
    read_lists,
    read_split_file,
)
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.rasters import grid_of, read_bands, read_target
from geofm_eval.data.readers.series import band_positions
from geofm_eval.errors import DataError

WAVELENGTHS = {
    "B01": (443, 442),
    "B02": (492,),
    "B03": (560, 559),
    "B04": (665,),
    "B05": (704,),
    "B06": (740, 739),
    "B07": (783, 780),
    "B08": (833,),
    "B8A": (865, 864),
    "B11": (1614, 1610),
    "B12": (2202, 2186),
}
"""Wavelengths in nm that name a band's files: of Sentinel-2A, then of Sentinel-2B where they differ."""


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the crops of a MADOS folder by split.

    Crop 3 of scene 12 is ``Scene_12_3`` in ``splits/{train,val,test}_X.txt``, and
    ``Scene_12/<m>/Scene_12_L2R_rhorc_<nm>_3.tif`` on disk, one file per band, where ``<m>`` is the pixel size in
    metres: 10, 20 or 60. A ``splits.csv`` (columns chip, split) in the root takes precedence over the lists. Its crops
    without a file are dropped and counted.

    The group of a crop is its scene. A task may use any of the eleven bands. Values are Rayleigh-corrected
    reflectances from ACOLITE, which may be slightly negative. Labels are 1 to 15; 0 marks unlabelled pixels, the
    largest part of each image.

    """
    check_options(task)
    band_positions(task, tuple(WAVELENGTHS), "MADOS")
    bands = tuple(canonical(name) for name in task.bands)
    load, load_target = functools.partial(_load, task), functools.partial(_load_classes, task)
    own = read_split_file(root)
    if own is not None:
        listed = {split: [_item(root, name, bands, root / SPLIT_FILE) for name in own[split]] for split in own}
        return custom_listing(root, listed, _kind, load, load_target)
    lists = {split: root / "splits" / f"{split}_X.txt" for split in NAMES}
    items = {
        split: tuple(_item(root, name, bands, lists[split]) for name in names)
        for split, names in read_lists(task, root, lists).items()
    }
    return Listing(root, items, "official", load, load_target)


def _item(root: Path, name: str, bands: tuple[str, ...], where: Path) -> Item:
    scene, _, crop = name.rpartition("_")
    if not scene or not crop.isdigit():
        raise DataError(f"{where}: '{name}' is not the name of a crop, expected <scene>_<crop>, for example Scene_12_3")
    path, *others = (_band_file(root / scene, band, crop) for band in bands)
    target = root / scene / "10" / f"{scene}_L2R_cl_{crop}.tif"
    return Item(name, path, None, scene, others=tuple(others), target=target)


def _band_file(folder: Path, band: str, crop: str) -> Path:
    """File of one band; if there is none, the path that Sentinel-2A would use."""
    resolution = folder / f"{SENTINEL2[band].gsd:.0f}"
    names = [resolution / f"{folder.name}_L2R_rhorc_{nanometres}_{crop}.tif" for nanometres in WAVELENGTHS[band]]
    return next((path for path in names if path.is_file()), names[0])


def _kind(path: Path) -> str:
    return "label file" if "_cl_" in path.name else "file of a band"


def _load(task: TaskSpec, item: Item) -> npt.NDArray[Any]:
    bands = [read_bands(path, task, (band,)) for band, path in zip(task.bands, (item.path, *item.others), strict=True)]
    finest = min(bands, key=lambda band: _factor(band.path))
    height, width = (_factor(finest.path) * side for side in finest.pixels.shape[1:])
    repeated = []
    for band in bands:
        factor, shape = _factor(band.path), band.pixels.shape[1:]
        if shape != (math.ceil(height / factor), math.ceil(width / factor)):
            raise DataError(
                f"{band.path}: the {shape} pixels of {10 * factor} m do not cover the {(height, width)} pixels of 10 m "
                f"of {finest.path.name}. Fetch the scene again"
            )
        check_one_grid(finest.grid, band.grid, corner_only=factor != _factor(finest.path))
        repeated.append(band.marked[0].repeat(factor, 0).repeat(factor, 1)[:height, :width])
    return np.stack(repeated)


def _load_classes(task: TaskSpec, item: Item) -> npt.NDArray[np.int64]:
    """Read the class map of 10 m pixels; the item's first file may have coarser pixels."""
    labels, finest = read_target(item.target or item.path), min((item.path, *item.others), key=_factor)
    check_one_grid(labels.grid, grid_of(finest), corner_only=_factor(finest) > 1)
    codes = {0: task.ignore, **{number + 1: number for number in range(len(task.classes))}}
    return classes_of(labels, task, codes)


def _factor(path: Path) -> int:
    """Side of a file's pixels as a multiple of 10 m."""
    return int(path.parent.name) // 10
