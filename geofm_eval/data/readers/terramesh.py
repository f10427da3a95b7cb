"""TerraMesh examples: one folder per modality, with aligned tiles of the same name."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.chips import check_aligned, check_options, classes_of
from geofm_eval.data.readers.grids import centre, check_one_grid
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.rasters import Raster, grid_of, read_bands, read_target
from geofm_eval.data.readers.series import band_positions
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.plurals import counted, some_of

MODALITIES = {
    "S2L1C": tuple(SENTINEL2),
    "S2L2A": tuple(name for name in SENTINEL2 if name != "B10"),
    "S1RTC": ("VV", "VH"),
}
"""Bands of the tiles of every modality, in file order."""

OFFSET = 1000
"""Offset that processing baseline 04.00 and later adds to digital numbers."""

_LAND = "LULC"


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the tiles of a folder of TerraMesh examples; the label is the land cover class of most pixels.

    The examples are a handful of tiles to try a model on, ``<modality>/<tile>.tif``. The last two by name are for
    validation and test, the others for training. The task's option ``modalities`` names the folders that are read, for
    example ``["S2L2A", "S1RTC"]``; ``shifted`` names the tiles whose optical digital numbers carry the +1000 offset of
    baseline 04.00, which is subtracted.
    """
    modalities, shifted = _options(task)
    held = [band for modality in modalities for band in MODALITIES[modality]]
    positions = band_positions(task, held, ", ".join(modalities))
    tiles = visible(root / modalities[0], "*.tif")
    if not tiles:
        raise Unavailable("data", f"{root / modalities[0]} has no tiles (<tile>.tif)", task.how_to_get)
    if len(tiles) < len(NAMES):
        raise DataError(
            f"{root / modalities[0]}: found {counted(len(tiles), 'tile')}, expected at least one for every split. "
            "Fetch the folder again"
        )
    items = [_item(task, root, path, modalities) for path in tiles]
    splits = {"train": tuple(items[:-2]), "val": (items[-2],), "test": (items[-1],)}
    return Listing(root, splits, "custom", lambda item: _load(item, task, modalities, shifted)[positions])


def _options(task: TaskSpec) -> tuple[tuple[str, ...], frozenset[str]]:
    check_options(task, modalities=None, shifted=None)
    modalities, shifted = task.options.get("modalities", []), task.options.get("shifted", [])
    if not modalities or set(modalities) - set(MODALITIES):
        raise ContractError(
            f"task '{task.slug}': modalities are {modalities}; expected one or more of {', '.join(MODALITIES)}"
        )
    return tuple(modalities), frozenset(shifted)


def _item(task: TaskSpec, root: Path, path: Path, modalities: tuple[str, ...]) -> Item:
    others = tuple(root / modality / path.name for modality in modalities[1:])
    grid, land = grid_of(path), read_target(root / _LAND / path.name)
    check_one_grid(grid, land.grid)
    codes = {0: task.ignore, **{number + 1: number for number in range(len(task.classes))}}
    classes = classes_of(land, task, codes)
    seen = classes[classes != task.ignore]
    if not seen.size:
        raise DataError(
            f"{land.path}: no pixel has a class, expected one or more of {some_of(task.classes)}. Fetch the tile "
            "again, or leave it out"
        )
    return Item(path.stem, path, int(np.bincount(seen).argmax()), lonlat=centre(grid), others=others)


def _load(item: Item, task: TaskSpec, modalities: tuple[str, ...], shifted: frozenset[str]) -> npt.NDArray[np.float32]:
    tiles: list[Raster] = []
    parts = []
    for modality, path in zip(modalities, (item.path, *item.others), strict=True):
        shift = -OFFSET if modality.startswith("S2") and item.id in shifted else 0
        tiles.append(read_bands(path, task, MODALITIES[modality], shift=shift))
        check_aligned(tiles[0], tiles[-1])
        parts.append(tiles[-1].marked.astype(np.float32) + np.float32(shift))
    return np.concatenate(parts)
