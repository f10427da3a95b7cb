"""PASTIS: one series of images and one map of crop types per patch, with folds and dates in ``metadata.geojson``."""

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers.chips import check_options, read_split_file
from geofm_eval.data.readers.files import read_text
from geofm_eval.data.readers.grids import degrees, project
from geofm_eval.data.readers.listed import listed_name
from geofm_eval.data.readers.series import band_positions, dates_of, load_array
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.plurals import counted

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Bands of ``S2_<id>.npy`` in file order."""

FOLDS = {"train": (1, 2, 3), "val": (4,), "test": (5,)}
"""Official folds of every split."""

VOID = 19
"""Class of parcels that are mostly outside their patch; such pixels are ignored."""

_METADATA = "metadata.geojson"


@dataclass(frozen=True)
class _Patch:
    """One patch of the metadata: its fold, and the frames of its series as (date, position in the file), ascending."""

    id: str
    fold: int
    frames: tuple[tuple[date, int], ...]
    centre: tuple[float, float] | None


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the patches of a PASTIS or PASTIS-R folder by fold, with evenly spaced frames in order of date.

    A ``splits.csv`` (chip,split) takes precedence over the folds; partial copies use it to list their patches. Samples
    have no group, because all folds contain all four Sentinel-2 tiles.

    The root is the folder of the data set or its parent. The task's ``dates`` is the number of frames taken from every
    series, from first to last.
    """
    check_options(task)
    wanted, positions = dates_of(task), band_positions(task, BANDS, "PASTIS")
    folder = root / "PASTIS-R" if (root / "PASTIS-R" / _METADATA).is_file() else root
    patches = _read_metadata(task, folder)
    chips = read_split_file(folder)
    splits = _by_fold(patches) if chips is None else _by_list(patches, chips, folder)
    items, dropped = {}, {}
    for split, chosen in splits.items():
        short = tuple(patch.id for patch in chosen if len(patch.frames) < wanted)
        dropped[split] = {f"fewer than {wanted} dates": short} if short else {}
        kept = {patch.id: _spread(patch.frames, wanted) for patch in chosen if patch.id not in short}
        items[split] = tuple(_item(folder, patch, kept[patch.id]) for patch in chosen if patch.id in kept)

    def load(item: Item) -> npt.NDArray[Any]:
        return _load_series(item, item.frames, len(patches[item.id].frames), positions)

    return Listing(folder, items, "official" if chips is None else "custom", load, _load_classes, dropped)


def _by_fold(patches: Mapping[str, _Patch]) -> dict[str, list[_Patch]]:
    return {split: [patch for patch in patches.values() if patch.fold in folds] for split, folds in FOLDS.items()}


def _by_list(
    patches: Mapping[str, _Patch], chips: Mapping[str, Sequence[str]], folder: Path
) -> dict[str, list[_Patch]]:
    unknown = [chip for listed in chips.values() for chip in listed if chip not in patches]
    if unknown:
        raise DataError(f"{folder / 'splits.csv'}: patch {unknown[0]} is not in {_METADATA}; list ids that are in it")
    return {split: [patches[chip] for chip in listed] for split, listed in chips.items()}


def _spread(frames: Sequence[tuple[date, int]], wanted: int) -> tuple[tuple[date, int], ...]:
    """Frames at even steps from first to last, rounded down as in PANGAEA; the middle frame if one is wanted."""
    if wanted == 1:
        return (frames[len(frames) // 2],)
    return tuple(frames[step * (len(frames) - 1) // (wanted - 1)] for step in range(wanted))


def _item(folder: Path, patch: _Patch, frames: Sequence[tuple[date, int]]) -> Item:
    return Item(
        patch.id,
        folder / "DATA_S2" / f"S2_{patch.id}.npy",
        None,
        lonlat=patch.centre,
        target=folder / "ANNOTATIONS" / f"TARGET_{patch.id}.npy",
        dates=tuple(day for day, _ in frames),
        frames=tuple(position for _, position in frames),
    )


def _read_metadata(task: TaskSpec, folder: Path) -> dict[str, _Patch]:
    path = folder / _METADATA
    if not path.is_file():
        raise Unavailable("data", f"{folder} has no {_METADATA}", task.how_to_get)
    try:
        content = json.loads(read_text(path))
        features = content["features"]
        found = [_patch(feature, f"{path}, feature {number}") for number, feature in enumerate(features)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot read the PASTIS metadata ({error!r}); expected features with ID_PATCH, Fold and dates-S2. "
            "Unpack the file again"
        ) from error
    folds: dict[str, int] = {}
    for patch in found:
        if patch.id in folds:
            raise DataError(
                f"{path}: patch {patch.id} is listed twice, in folds {folds[patch.id]} and {patch.fold}; keep one entry"
            )
        folds[patch.id] = patch.fold
    places = _places(content, [patch.centre for patch in found])
    return {patch.id: replace(patch, centre=place) for patch, place in zip(found, places, strict=True)}


def _patch(feature: Mapping[str, Any], where: str) -> _Patch:
    properties = feature["properties"]
    fold = int(properties["Fold"])
    if not 1 <= fold <= 5:
        raise DataError(f"{where}: fold is {fold}, expected 1 to 5; unpack the file again")
    listed = properties["dates-S2"]
    listed = json.loads(listed) if isinstance(listed, str) else listed
    frames = sorted((_day(value, where), int(position)) for position, value in listed.items())
    if sorted(position for _, position in frames) != list(range(len(frames))):
        raise DataError(
            f"{where}: dates-S2 must have one date for each of the frames 0 to {len(frames) - 1}; unpack the file again"
        )
    twice = next((day for (day, _), (after, _) in pairwise(frames) if day == after), None)
    if twice is not None:
        raise DataError(
            f"{where}: date {twice} occurs twice in dates-S2, so the order of the frames is ambiguous; leave the patch "
            "out"
        )
    name = listed_name(str(properties["ID_PATCH"]), where)
    return _Patch(name, fold, tuple(frames), _centre(feature.get("geometry")))


def _day(value: object, where: str) -> date:
    try:
        return datetime.strptime(str(value), "%Y%m%d").date()
    except ValueError:
        raise DataError(
            f"{where}: date in dates-S2 is '{value}', expected a day like 20190131; unpack the file again"
        ) from None


def _centre(geometry: Mapping[str, Any] | None) -> tuple[float, float] | None:
    if not geometry:
        return None
    corners = np.asarray(_flat(geometry["coordinates"])).reshape(-1, 2)
    x, y = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return float(x), float(y)


def _flat(nested: Any) -> list[float]:
    return [number for part in nested for number in _flat(part)] if isinstance(nested, list) else [float(nested)]


def _places(
    content: Mapping[str, Any], centres: Sequence[tuple[float, float] | None]
) -> Sequence[tuple[float, float] | None]:
    name = str((content.get("crs") or {}).get("properties", {}).get("name", "CRS84"))
    if name.endswith(("CRS84", "4326")):
        return [centre and degrees(*centre) for centre in centres]
    if importlib.util.find_spec("rasterio") is None:
        return [None] * len(centres)
    x, y = zip(*(centre or (math.nan, math.nan) for centre in centres), strict=True)
    found = project(f"EPSG:{name.rpartition(':')[2]}", "EPSG:4326", x, y)
    return [None] * len(centres) if found is None else [degrees(*place) for place in np.transpose(found).tolist()]


def _load_series(item: Item, frames: Sequence[int], dated: int, positions: Sequence[int]) -> npt.NDArray[Any]:
    stored = load_array(item.path)
    if stored.ndim != 4 or stored.shape[1] != len(BANDS):
        raise DataError(
            f"{item.path}: shape is {stored.shape}, expected (dates, {len(BANDS)} bands, height, width). Unpack the "
            "file again"
        )
    if len(stored) != dated:
        raise DataError(
            f"{item.path}: found {counted(len(stored), 'frame')}, but {_METADATA} has dates for {dated}; the files do "
            "not belong together. Unpack both again"
        )
    return np.asarray(stored[list(frames)][:, list(positions)])


def _load_classes(item: Item) -> npt.NDArray[np.int64]:
    path = item.target or item.path
    stored = load_array(path)
    if stored.ndim != 3:
        raise DataError(
            f"{path}: shape is {stored.shape}, expected (layers, height, width) with classes in the first. Unpack the "
            "file again"
        )
    classes = np.asarray(stored[0]).astype(np.int64)
    return np.where(classes == VOID, -1, classes)
