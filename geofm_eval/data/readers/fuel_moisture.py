"""Live fuel moisture on disk: series of single pixels in npy arrays, grouped by the site where plants were weighed."""

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
from geofm_eval.data.readers.files import read_text
from geofm_eval.data.readers.grids import degrees
from geofm_eval.data.readers.series import band_positions, check_option_names, dates_of, load_array
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.seeds import generator

COLUMNS = (
    *("VV", "VH", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"),
    *("TEMPERATURE_2M", "TOTAL_PRECIPITATION", "ELEVATION", "SLOPE", "NDVI"),
)
"""Columns of the array of pixels. The last, an index made of the others, is no band: it holds no measurement of its
own, and in the published file it is made of B07 and B03 rather than of B08 and B04."""

STEP = timedelta(days=30)
"""Time from one image of a series to the next; the last one ends on the day of the label."""

VAL_SHARE = 0.2
"""Share of the training sites that validation takes: the publishers draw eight at random."""

_PIXELS = "s1_s2_era5_srtm"
_ARRAYS = (_PIXELS, "month", "target", "site", "latlon", "is_test")
_LABELS = "single_file_labels.geojson"


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the series of a fuel moisture folder; validation takes whole sites of the training ones.

    Args:
        task: ``dates`` must be the length of the stored series.
        root: folder with ``npy/*.npy`` and ``single_file_labels.geojson``, which has the day of every label.

    Raises:
        ContractError: unknown options or bands, or no number of dates.
        Unavailable: an array or the geojson is absent.
        DataError: the arrays do not belong together, or a series has no label in the geojson.
    """
    check_option_names(task, ())
    wanted, positions = dates_of(task), band_positions(task, COLUMNS, "the layout of fuel moisture")
    arrays = _read_arrays(task, root)
    pixels, path = arrays[_PIXELS], root / "npy" / f"{_PIXELS}.npy"
    if pixels.ndim != 3 or pixels.shape[1:] != (wanted, len(COLUMNS)):
        raise DataError(
            f"{path}: shape {pixels.shape}, expected (series, {wanted} dates, {len(COLUMNS)} columns) for task "
            f"'{task.slug}'"
        )
    items: dict[str, list[Item]] = {name: [] for name in NAMES}
    rows = {}
    val = _validation_sites(arrays)
    for row, dates in enumerate(_read_dates(root / _LABELS, arrays)):
        item = _item(row, path, arrays, dates)
        rows[item.id] = row
        items["test" if arrays["is_test"][row] else "val" if item.group in val else "train"].append(item)

    def load(item: Item) -> npt.NDArray[np.float32]:
        # Opened anew: what was mapped earlier would go on showing a file that was replaced meanwhile.
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
        raise DataError(f"{root / 'npy'}: arrays of different length ({found}); fetch them again from one place")
    flags = np.unique(arrays["is_test"])
    if not set(flags.tolist()) <= {0, 1}:
        raise DataError(f"{paths['is_test']}: values {flags.tolist()}, expected 0 (training) and 1 (test)")
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
    """Dates of every series: the start of each of its steps, the last of which ends on the day of the label.

    The geojson has a label for every series, in the same order, and more that no images were found for.
    """
    labels = iter(_read_labels(path))
    steps = arrays[_PIXELS].shape[1]
    for row, (site, target, months) in enumerate(zip(arrays["site"], arrays["target"], arrays["month"], strict=True)):
        day = next((day for at, value, day in labels if at == site and _same(value, target)), None)
        if day is None:
            raise DataError(
                f"{path}: no label of site '{site}' with {target:g} percent in the order of the arrays, row {row}: "
                "the two do not belong together, fetch both again"
            )
        dates = tuple(day - (steps - step) * STEP for step in range(steps))
        if [found.month - 1 for found in dates] != list(months):
            raise DataError(
                f"{path.parent / 'npy' / 'month.npy'}: months {list(months)} (0 is January) in row {row}, but the "
                f"label of {day} has images of {', '.join(map(str, dates))}: fetch both again"
            )
        yield dates


def _same(value: float | None, target: float) -> bool:
    """True for one value stored in two files; a target that was taken out of the arrays fits any label of its site."""
    return math.isnan(target) or (value is not None and abs(value - target) < 1e-6)


def _read_labels(path: Path) -> list[tuple[str, float | None, date]]:
    try:
        found = [feature["properties"] for feature in json.loads(read_text(path))["features"]]
        return [(row["site"], row["percent(t)"], datetime.fromisoformat(row["date"]).date()) for row in found]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: not the labels of fuel moisture ({error!r}); expected features with site, date and percent(t). "
            "Fetch it again"
        ) from error
