"""TerraMesh examples on disk: one folder per modality, aligned tiles of the same name in each."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.bands import SENTINEL2
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.files import load_geotiff
from geofm_eval.data.readers.series import band_positions, check_option_names
from geofm_eval.errors import ContractError, DataError, Unavailable

MODALITIES = {
    "S2L1C": tuple(SENTINEL2),
    "S2L2A": tuple(name for name in SENTINEL2 if name != "B10"),
    "S1RTC": ("VV", "VH"),
}
"""Bands of the tiles of every modality, in file order."""

OFFSET = 1000
"""What processing baseline 04.00 and later adds to digital numbers."""

_LAND = "LULC"


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the tiles of a folder of TerraMesh examples, each with the class of land that covers most of it.

    They are a handful, to run a model on: the first ones by name are for training, the last two for validation and
    test.

    Args:
        task: its option ``modalities`` names the folders that are read, such as ``["S2L2A", "S1RTC"]``; ``shifted``
            the tiles whose optical digital numbers carry the +1000 offset of baseline 04.00, which is taken off.
        root: folder with ``<modality>/<tile>.tif``.

    Raises:
        ContractError: the task's options or bands are not of this layout.
        Unavailable: rasterio is not installed, or a modality has no tiles.
        DataError: fewer than three tiles, or a damaged map of land cover.
    """
    modalities, shifted = _options(task)
    held = [band for modality in modalities for band in MODALITIES[modality]]
    positions = band_positions(task, held, ", ".join(modalities))
    tiles = sorted((root / modalities[0]).glob("*.tif"))
    if not tiles:
        raise Unavailable("data", f"{root / modalities[0]} has no tiles (<tile>.tif)", task.how_to_get)
    if len(tiles) < len(NAMES):
        raise DataError(f"{root / modalities[0]}: {len(tiles)} tiles, expected three or more, one for every split")
    items = [_item(task, root, path, modalities) for path in tiles]
    splits = {"train": tuple(items[:-2]), "val": (items[-2],), "test": (items[-1],)}
    return Listing(root, splits, "custom", lambda item: _load(item, modalities, shifted)[positions])


def _options(task: TaskSpec) -> tuple[tuple[str, ...], frozenset[str]]:
    check_option_names(task, ("modalities", "shifted"))
    modalities, shifted = task.options.get("modalities", []), task.options.get("shifted", [])
    if not modalities or set(modalities) - set(MODALITIES):
        raise ContractError(
            f"task '{task.slug}': modalities are {modalities}, expected some of {', '.join(MODALITIES)}"
        )
    return tuple(modalities), frozenset(shifted)


def _item(task: TaskSpec, root: Path, path: Path, modalities: tuple[str, ...]) -> Item:
    others = tuple(root / modality / path.name for modality in modalities[1:])
    land = load_geotiff(root / _LAND / path.name, mark_nodata=False)[0]
    counts = np.bincount(land.ravel().astype(np.int64), minlength=len(task.classes) + 1)
    if len(counts) > len(task.classes) + 1 or not counts[1:].any():
        raise DataError(
            f"{root / _LAND / path.name}: values {np.unique(land).tolist()}, expected 1 to {len(task.classes)} "
            f"({', '.join(task.classes)}), and 0 for no data"
        )
    return Item(path.stem, path, int(counts[1:].argmax()), lonlat=_centre(path), others=others)


def _centre(path: Path) -> tuple[float, float] | None:
    """Longitude and latitude of a tile's centre; None where it has no place on Earth."""
    import rasterio
    from rasterio.warp import transform

    with rasterio.open(path) as tile:
        if tile.crs is None:
            return None
        x, y = tile.xy((tile.height - 1) / 2, (tile.width - 1) / 2)
        lon, lat = transform(tile.crs, "EPSG:4326", [x], [y])
    return float(lon[0]), float(lat[0])


def _load(item: Item, modalities: tuple[str, ...], shifted: frozenset[str]) -> npt.NDArray[np.float32]:
    parts: list[npt.NDArray[Any]] = []
    for modality, path in zip(modalities, (item.path, *item.others), strict=True):
        stored = load_geotiff(path).astype(np.float32)
        if len(stored) != len(MODALITIES[modality]) or stored.shape[1:] != (parts or [stored])[0].shape[1:]:
            raise DataError(
                f"{path}: shape {stored.shape}, expected {len(MODALITIES[modality])} bands of the size of "
                f"{item.path.name} in {modalities[0]}"
            )
        optical = modality.startswith("S2")
        parts.append(stored - OFFSET if optical and item.id in shifted else stored)
    return np.concatenate(parts)
