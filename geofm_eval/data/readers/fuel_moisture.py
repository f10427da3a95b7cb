"""Live fuel moisture: series of single pixels in npy arrays, grouped by the site where plants were weighed."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.chips import check_options
from geofm_eval.data.readers.files import read_text
from geofm_eval.data.readers.grids import degrees
from geofm_eval.data.readers.series import band_positions, dates_of, load_array
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.plurals import counted
from geofm_eval.seeds import generator

COLUMNS = (
    *("VV", "VH", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"),
    *("TEMPERATURE_2M", "TOTAL_PRECIPITATION", "ELEVATION", "SLOPE", "NDVI"),
)
"""Columns of the array of pixels. The last is an index computed from other columns, not a band; in the published
file it is computed from B07 and B03 instead of B08 and B04."""

STEP = timedelta(days=30)
"""Time between images of a series; the last step ends on the day of the label."""

VAL_SHARE = 0.2
"""Proportion of the training sites used for validation; the publishers draw eight at random."""

_PIXELS = "s1_s2_era5_srtm"
_ARRAYS = (_PIXELS, "month", "target", "site", "latlon", "is_test")
_LABELS = "single_file_labels.geojson"


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the series of a fuel moisture folder; validation takes whole sites from the training data.

    The folder holds ``npy/*.npy`` and ``single_file_labels.geojson``, which has the day of every label. The task's
    ``dates`` must be the length of the stored series.
    """
    check_options(task)
    wanted, positions = dates_of(task), band_positions(task, COLUMNS, "the layout of fuel moisture")
    arrays = _read_arrays(task, root)
    pixels, path = arrays[_PIXELS], root / "npy" / f"{_PIXELS}.npy"
    if pixels.ndim != 3 or pixels.shape[1:] != (wanted, len(COLUMNS)):
        raise DataError(
            f"{path}: shape is {pixels.shape}, expected (series, {counted(wanted, 'date')}, {len(COLUMNS)} columns) "
            f"for task '{task.slug}'. Set dates in the task's catalog entry, or fetch the file again"
        )
    items: dict[str, list[Item]] = {name: [] for name in NAMES}
    rows = {}
    val = _validation_sites(arrays)
    for row, dates in enumerate(_read_dates(root / _LABELS, arrays)):
        item = _item(row, path, arrays, dates)
        rows[item.id] = row
        items["test" if arrays["is_test"][row] else "val" if item.group in val else "train"].append(item)

    def load(item: Item) -> npt.NDArray[np.float32]:
        # Opened again, because an earlier memory map would still show a file that has since been replaced.
        series = np.asarray(load_array(item.path)[rows[item.id]])[:, positions]
        return series[:, :, None, None].astype(np.float32)

    return Listing(root, {name: tuple(found) for name, found in items.items()}, "official", load)


def _read_arrays(task: TaskSpec, root: Path) -> dict[str, npt.NDArray[Any]]:
    paths = {name: root / "npy" / f"{name}.npy" for name in _ARRAYS}
    absent = [path.name for path in (*paths.values(), root / _LABELS) if not path.is_file()]
    if absent:
        raise Unavailable("data", f"{root} has no {', '.join(absent)}", task.how_to_get)
    arrays = {name: load_array(path) for name, path in paths.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{root / 'npy'}: arrays differ in length ({found}); fetch all of them from the same source")
    flags = np.unique(arrays["is_test"])
    if not set(flags.tolist()) <= {0, 1}:
        raise DataError(
            f"{paths['is_test']}: values are {flags.tolist()}, expected 0 (training) and 1 (test). Fetch the file again"
        )
    return arrays


def _validation_sites(arrays: Mapping[str, npt.NDArray[Any]]) -> set[str]:
    sites = np.unique(arrays["site"][arrays["is_test"] == 0])
    order = generator("fuel_moisture", "validation").permutation(len(sites))
    return {str(site) for site in sites[order[: round(VAL_SHARE * len(sites))]]}


def _item(row: int, path: Path, arrays: Mapping[str, npt.NDArray[Any]], dates: tuple[date, ...]) -> Item:
    lat, lon = (float(value) for value in arrays["latlon"][row])
    site = str(arrays["site"][row])
    return Item(f"series_{row:05d}", path, float(arrays["target"][row]), site, degrees(lon, lat), dates=dates)


def _read_dates(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[tuple[date, ...]]:
    """Yield the dates of every series: the start of each step, the last of which ends on the day of the label.

    The geojson lists the labels of all series in the same order, and further labels without images.
    """
    labels = iter(_read_labels(path))
    steps = arrays[_PIXELS].shape[1]
    for row, (site, target, months) in enumerate(zip(arrays["site"], arrays["target"], arrays["month"], strict=True)):
        day = next((day for at, value, day in labels if at == site and _same(value, target)), None)
        if day is None:
            raise DataError(
                f"{path}: row {row} of the arrays (site '{site}', {target:g} percent) has no matching label in this "
                "order; the files do not belong together. Fetch both again"
            )
        dates = tuple(day - (steps - step) * STEP for step in range(steps))
        if [found.month - 1 for found in dates] != list(months):
            raise DataError(
                f"{path.parent / 'npy' / 'month.npy'}: row {row} has the months {list(months)} (0 is January), but the "
                f"label of {day} has images of {', '.join(map(str, dates))}. Fetch both files again"
            )
        yield dates


def _same(value: float | None, target: float) -> bool:
    """True for one value stored in two files; a NaN target, removed from the arrays, matches any label of its site."""
    return math.isnan(target) or (value is not None and abs(value - target) < 1e-6)


def _read_labels(path: Path) -> list[tuple[str, float | None, date]]:
    try:
        found = [feature["properties"] for feature in json.loads(read_text(path))["features"]]
        return [(row["site"], row["percent(t)"], datetime.fromisoformat(row["date"]).date()) for row in found]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: cannot read the labels ({error!r}); expected features with site, date and percent(t). Fetch the "
            "file again"
        ) from error
