"""NeuCo-Bench: one zarr cube of four seasons per location and sensor, with labels by location in tables."""

import logging
import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.items import Definition, Item, Listing
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.files import place, read_rows
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.series import band_positions, without_empty
from geofm_eval.data.readers.tags import check_tag
from geofm_eval.data.readers.zarrs import read_arrays
from geofm_eval.errors import ContractError, DataError, Unavailable

log = logging.getLogger(__name__)

MODALITIES = {
    "s1": ("VV", "VH"),
    "s2l1c": tuple(SENTINEL2),
    "s2l2a": tuple(name for name in SENTINEL2 if name != "B10"),
}
"""Bands of the cubes of every modality, in file order."""

SEASONS = (date(2020, 4, 15), date(2020, 7, 15), date(2020, 10, 15), date(2021, 1, 15))
"""Middle of the seasons of a cube, in file order. Months are published, days and years are not."""

PLACES = "locations.csv"
"""Optional table of longitude and latitude by location (id,lon,lat); the published data do not include positions."""

_SUFFIX = ".zarr.zip"

_SPELLINGS = {"landcover_agriculture": ("landcover_agriculture", "landcover_aggriculture")}
"""Targets whose table has another spelling, at least in the publishers' description."""


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the locations of an SSL4EO-S12-downstream folder with the labels of one target.

    All locations of the folder are samples, ordered by id, so that targets of the same locations share features.
    Locations missing in the target's table have the label NaN. There is no official split; the only key is ``all``. The
    publishers cut their folds in the order of the target's table, which is stored as the rank of the samples. The
    listing is official if every label has its cube; it is custom if some lack one or the task draws blocks, which the
    publishers do not.

    The folder holds ``data/<modality>/<part>/<id>.zarr.zip`` and ``labels/<target>__<type>.csv``. The task's options
    are ``modality`` (``s1``, ``s2l1c`` or ``s2l2a``), ``target`` (for example ``biomass_mean``), ``blocks`` (side in
    degrees of the grid cells that are held out as a whole; needs ``locations.csv``) and ``zeros``: pixels that are zero
    in every band are ``invalid`` (default), or ``values`` that models see, for a target that counts them.
    """
    modality, target = _options(task)
    band_positions(task, MODALITIES[modality], f"modality '{modality}'")
    folder = root / "data" / modality
    cubes = sorted([*visible(folder, f"*{_SUFFIX}"), *visible(folder, f"*/*{_SUFFIX}")], key=lambda path: path.name)
    if not cubes:
        raise Unavailable("data", f"{folder} has no cubes (<part>/<id>{_SUFFIX})", task.how_to_get)
    labels = _read_labels(task, root / "labels", target)
    places = _read_places(task, root / PLACES)
    ids = {path.name.removesuffix(_SUFFIX): path for path in cubes}
    if len(ids) < len(cubes):
        raise DataError(f"{folder}: {len(cubes) - len(ids)} locations have more than one cube; keep one per location")
    if absent := sum(id not in ids for id, label in labels.items() if not math.isnan(label)):
        log.warning("%s: %d labelled locations of '%s' have no cube in %s", task.slug, absent, target, folder)
    ranks = {id: rank for rank, id in enumerate(labels)}
    items = tuple(
        Item(id, path, labels.get(id, math.nan), lonlat=places.get(id), dates=SEASONS, rank=ranks.get(id))
        for id, path in ids.items()
    )
    definition: Definition = "custom" if absent or "blocks" in task.options else "official"
    return Listing(root, {"all": items}, definition, lambda item: _load_cube(item.path, modality, task))


def _options(task: TaskSpec) -> tuple[str, str]:
    check_options(task, modality=None, target=None, blocks=None, zeros=("invalid", "values"))
    modality, target = task.options.get("modality"), task.options.get("target")
    if modality not in MODALITIES or not isinstance(target, str):
        raise ContractError(
            f"task '{task.slug}': options are {task.options}; expected modality = {', '.join(MODALITIES)} and target ="
            " the name of a label table, for example 'biomass_mean'"
        )
    if task.kind != "regression" or task.protocol != "shuffle_splits":
        raise ContractError(
            f"task '{task.slug}': NeuCo-Bench tasks are regressions without an official split; set kind = 'regression' "
            "and protocol = 'shuffle_splits'"
        )
    return modality, target


def _read_labels(task: TaskSpec, folder: Path, target: str) -> dict[str, float]:
    if not folder.is_dir():
        raise Unavailable("data", f"the folder of label tables, {folder}, does not exist", task.how_to_get)
    tables = sorted(path for name in _SPELLINGS.get(target, (target,)) for path in visible(folder, f"{name}__*.csv"))
    if len(tables) != 1:
        known = sorted({path.name.partition("__")[0] for path in visible(folder, "*__*.csv")})
        raise DataError(
            f"{folder}: found {len(tables)} tables {target}__<type>.csv, expected one; existing targets: "
            f"{', '.join(known) or 'none'}"
        )
    labels: dict[str, float] = {}
    for where, row in read_rows(tables[0], ("id", "label")):
        if row["id"] in labels:
            raise DataError(f"{where}: location '{row['id']}' already has a label; keep one row per location")
        labels[row["id"]] = _number(row["label"] or "nan", where)
    return labels


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: label is '{text}', expected a number; leave missing labels empty") from None


def _read_places(task: TaskSpec, path: Path) -> dict[str, tuple[float, float]]:
    if not path.is_file():
        if "blocks" in task.options:
            raise Unavailable("data", f"{path}, the positions that blocks need, does not exist", task.how_to_get)
        return {}
    rows = read_rows(path, ("id", "lon", "lat"))
    return {row["id"]: place(row["lon"], row["lat"], where) for where, row in rows if row["lon"] or row["lat"]}


def _load_cube(path: Path, modality: str, task: TaskSpec) -> npt.NDArray[np.float32]:
    """Read the task's bands of a cube, (4, bands, height, width), seasons in file order."""
    arrays, attributes = read_arrays(path, "bands", ("band",))
    # Complete cubes store the order of their bands.
    names = tuple(str(name) for name in arrays["band"]) if "band" in arrays else MODALITIES[modality]
    stored = arrays["bands"]
    seasons = stored[0] if stored.ndim == 5 and len(stored) == 1 else stored
    if seasons.ndim != 4 or seasons.shape[:2] != (len(SEASONS), len(names)):
        raise DataError(
            f"{path}: shape is {stored.shape}, expected (1, {len(SEASONS)} seasons, {len(names)} bands, height, "
            "width). Fetch this file again"
        )
    tag = _tag(path, attributes)
    for band in task.bands:
        check_tag(path, task, band, tag)
    chosen = seasons[:, band_positions(task, names, path)]
    as_stored = modality == "s1" or task.options.get("zeros") == "values"
    return chosen.astype(np.float32) if as_stored else without_empty(chosen)


def _tag(path: Path, attributes: Mapping[str, Any]) -> tuple[float, float]:
    found = (attributes.get("scale_factor", 1), attributes.get("add_offset", 0))
    try:
        return float(found[0]), float(found[1])
    except (TypeError, ValueError):
        raise DataError(f"{path}: scale_factor and add_offset are {str(found)[:80]}, expected numbers") from None
