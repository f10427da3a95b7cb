"""BioMassters: one GeoTIFF per chip, sensor and month, with above-ground biomass per pixel."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.chips import check_aligned, check_options, read_split_file
from geofm_eval.data.readers.grids import Grid, check_one_grid
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.rasters import Raster, grid_of, read_bands, read_target
from geofm_eval.data.readers.series import band_positions, without_empty
from geofm_eval.errors import ContractError, DataError, Unavailable

RADAR = ("VV", "VH", "VV_DESCENDING", "VH_DESCENDING")
"""Bands of the Sentinel-1 files; an orbit without a pass in a month is -9999 everywhere."""

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Bands of the Sentinel-2 files, which are followed by the cloud probability (percent, 255 for none)."""

MONTHS = tuple(date(2020 if month < 4 else 2021, (month + 8) % 12 + 1, 15) for month in range(12))
"""Month by its number in file names, from September (00) to August (11); the year is not published."""

VAL_SHARE = 0.1
"""Proportion of the training chips used for validation; the publishers define no validation split."""

_FILE = re.compile(r"(?P<chip>[^_]+)_(?P<what>S1|S2|agbm)(?:_(?P<month>\d\d))?\.tif")
_Files = Mapping[tuple[str, str, int], Path]


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the chips of a BioMassters folder, in the official layout or flat with a split file.

    The task's bands determine which sensors are read. Each chip uses the first months of ``months`` for which all
    sensors have a file, as many as the task has dates; chips with fewer are dropped and counted. Validation is 10 % of
    the training chips, chosen by the hash of their names. A ``splits.csv`` (chip,split) takes precedence.

    The official layout has the folders ``{train,test}_features`` and ``{train,test}_agbm``. The task's options are
    ``months`` (numbers, preferred ones first), ``cloud`` (pixels above this cloud probability in percent are no data;
    optical tasks only) and ``split = "by_chip"`` (split a flat folder without splits.csv by chip, in the order of their
    names).
    """
    months, cloud = _options(task)
    sensors = [name for name, bands in (("S1", RADAR), ("S2", OPTICAL)) if set(bands) & set(task.bands)]
    band_positions(task, (*RADAR, *OPTICAL), "BioMassters")
    files = _find(task, root)
    chips, definition = _split(task, root, files)
    found: dict[str, list[int]] = {}
    items, dropped = {}, {}
    for split, names in chips.items():
        series = {name: _months(files, name, sensors, months)[: task.dates or 1] for name in names}
        short = tuple(name for name in names if len(series[name]) < (task.dates or 1))
        dropped[split] = {f"fewer than {task.dates or 1} of the months": short} if short else {}
        found |= {name: sorted(series[name]) for name in names if name not in short}
        items[split] = tuple(_item(task, files, name, sensors, found[name]) for name in names if name in found)

    def load(item: Item) -> npt.NDArray[np.float32]:
        frames = [_load_month(task, files, item.id, sensors, month, cloud) for month in found[item.id]]
        return _load_series(frames, item.path) if task.dates else frames[0][0]

    return Listing(root, items, definition, load, _load_biomass, dropped)


def _options(task: TaskSpec) -> tuple[Sequence[int], float]:
    check_options(task, months=None, cloud=None, split=("by_chip",))
    months, cloud = task.options.get("months", list(range(12))), task.options.get("cloud", 100)
    if sorted({*months} - {*range(12)}) or len({*months}) != len(months) or len(months) < (task.dates or 1):
        raise ContractError(
            f"task '{task.slug}': months are {months}; expected different numbers from 0 (September) to 11 (August), "
            f"at least {task.dates or 1}"
        )
    if not 0 <= cloud <= 100:
        raise ContractError(f"task '{task.slug}': option cloud is {cloud}; expected 0 to 100 percent")
    return months, cloud


def _find(task: TaskSpec, root: Path) -> dict[tuple[str, str, int], Path]:
    """Every file by chip, content (S1, S2, agbm) and month; biomass has month 0."""
    folders = ("", *(f"{split}_{what}" for split in ("train", "test") for what in ("features", "agbm")))
    files: dict[tuple[str, str, int], Path] = {}
    for folder in (root / name for name in folders):
        for path in visible(folder):
            if match := _FILE.fullmatch(path.name):
                first = files.setdefault((match["chip"], match["what"], int(match["month"] or 0)), path)
                if first != path:
                    raise DataError(f"{path}: the same file is also in {first.parent}; keep a chip in one folder")
    if not files:
        raise Unavailable("data", f"{root} has no <chip>_S1_<mm>.tif, <chip>_S2_<mm>.tif", task.how_to_get)
    return files


def _split(task: TaskSpec, root: Path, files: _Files) -> tuple[dict[str, tuple[str, ...]], Any]:
    listed = read_split_file(root)
    if listed is not None:
        known = {chip for chip, _, _ in files}
        absent = [name for names in listed.values() for name in names if name not in known]
        if absent:
            raise DataError(f"{root / 'splits.csv'}: chip '{absent[0]}' has no file; list only chips that exist")
        return listed, "custom"
    chips = {
        split: sorted({chip for (chip, _, _), path in files.items() if path.parent.name.startswith(f"{split}_")})
        for split in ("train", "test")
    }
    if any(chips.values()):
        val = set(sorted(chips["train"], key=_order)[: round(VAL_SHARE * len(chips["train"]))])
        train = tuple(chip for chip in chips["train"] if chip not in val)
        return {"train": train, "val": tuple(sorted(val)), "test": tuple(chips["test"])}, "official"
    if task.options.get("split") == "by_chip":
        return _by_chip(sorted({chip for chip, _, _ in files})), "custom"
    raise Unavailable(
        "data",
        f"{root} has neither train_features nor a splits.csv",
        f"Write a splits.csv (chip,split) next to the files. {task.how_to_get}",
    )


def _by_chip(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """20 % of the chips each for validation and test, the last by name; at least one each."""
    share = max(1, len(names) // 5)
    ends = (0, len(names) - 2 * share, len(names) - share, len(names))
    return {split: tuple(names[max(0, ends[i]) : ends[i + 1]]) for i, split in enumerate(NAMES)}


def _order(chip: str) -> str:
    return hashlib.sha256(chip.encode()).hexdigest()


def _months(files: _Files, chip: str, sensors: Iterable[str], months: Sequence[int]) -> list[int]:
    return [month for month in months if all((chip, sensor, month) in files for sensor in sensors)]


def _item(task: TaskSpec, files: _Files, chip: str, sensors: Sequence[str], months: Sequence[int]) -> Item:
    first, *others = [files[chip, sensor, month] for month in months for sensor in sensors]
    folder = first.parent.with_name(first.parent.name.replace("_features", "_agbm"))
    target = files.get((chip, "agbm", 0), folder / f"{chip}_agbm.tif")
    dates = tuple(MONTHS[month] for month in months) if task.dates else ()
    return Item(chip, first, None, others=tuple(others), target=target, dates=dates)


def _load_month(
    task: TaskSpec, files: _Files, chip: str, sensors: Sequence[str], month: int, cloud: float
) -> tuple[npt.NDArray[np.float32], Grid | None]:
    """Read the task's bands of one month, (bands, height, width), and their grid; cloudy and empty pixels are NaN."""
    parts: list[npt.NDArray[np.float32]] = []
    rasters: list[Raster] = []
    for sensor in sensors:
        raster = read_bands(files[chip, sensor, month], task, RADAR if sensor == "S1" else (*OPTICAL, "CLOUD"))
        rasters.append(raster)
        check_aligned(rasters[0], raster)
        parts.append(_without_cloud(raster.marked, cloud) if sensor == "S2" else raster.marked.astype(np.float32))
    held = [band for sensor in sensors for band in (RADAR if sensor == "S1" else OPTICAL)]
    grid = next((raster.grid for raster in rasters if raster.grid is not None), None)
    return np.concatenate(parts)[band_positions(task, held, f"chip {chip}")], grid


def _without_cloud(stored: npt.NDArray[Any], cloud: float) -> npt.NDArray[np.float32]:
    return np.where(stored[-1] > cloud, np.float32(np.nan), without_empty(stored[:-1]))


def _load_series(frames: Sequence[tuple[npt.NDArray[np.float32], Grid | None]], path: Path) -> npt.NDArray[np.float32]:
    """Stack the months of a chip, (dates, bands, height, width), which must share one grid."""
    sizes = {pixels.shape for pixels, _ in frames}
    if len(sizes) > 1:
        raise DataError(f"{path}: the months of the chip differ in size, {sorted(sizes)}; fetch the chip again")
    placed = [grid for _, grid in frames if grid is not None]
    for grid in placed[1:]:
        check_one_grid(placed[0], grid)
    return np.stack([pixels for pixels, _ in frames])


def _load_biomass(item: Item) -> npt.NDArray[np.float32]:
    raster = read_target(item.target or item.path)
    for path in (item.path, *item.others):
        check_one_grid(grid_of(path), raster.grid)
    biomass: npt.NDArray[np.float32] = raster.marked[0].astype(np.float32)
    return biomass
