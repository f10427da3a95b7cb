"""Common code of readers of chips with per-pixel classes: split files, missing files, class maps, options."""

import filecmp
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import ABSENT, Item, Listing, Load
from geofm_eval.data.readers.files import read_text, rows_by_split
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.listed import is_litter, listed_name
from geofm_eval.data.readers.rasters import Raster, grid_of, read_target
from geofm_eval.errors import ContractError, DataError, Unavailable

SPLIT_FILE = "splits.csv"
"""Split file that a user adds to a folder, with the columns ``chip`` and ``split``; takes precedence over official
lists."""


def check_options(task: TaskSpec, **known: Sequence[object] | None) -> None:
    """Refuse options that a reader does not know; ``chip``, the size of simulated chips, is known to all.

    Args:
        task: the task.
        known: allowed values of each option; None for one that the reader checks itself.

    Raises:
        ContractError: an unknown option or value.
    """
    for name, value in task.options.items():
        if name != "chip" and name not in known:
            raise ContractError(
                f"task '{task.slug}': option {name} is unknown to reader '{task.reader}'; expected "
                f"{', '.join(known) or 'none'}"
            )
        allowed = known.get(name)
        if allowed is not None and value not in allowed:
            raise ContractError(
                f"task '{task.slug}': option {name} is {value!r}; expected {' or '.join(map(repr, allowed))}"
            )


def read_split_file(root: Path) -> dict[str, tuple[str, ...]] | None:
    """Read the chips of every split from the folder's split file; None if there is none.

    Raises:
        DataError: the file is damaged or names an unknown split.
    """
    if not (root / SPLIT_FILE).is_file():
        return None
    rows = rows_by_split(root / SPLIT_FILE, ("chip",))
    return {
        name: tuple(listed_name(row["chip"], where) for where, row in listed if not is_litter(row["chip"]))
        for name, listed in rows.items()
    }


def listed_items(
    root: Path, own: Mapping[str, Iterable[str]], items: Mapping[str, tuple[Item, ...]], absent: Callable[[str], Item]
) -> dict[str, list[Item]]:
    """Return the samples of every split of a folder's split file, found by id or by folder and id.

    Args:
        root: the folder.
        own: names of every split.
        items: samples in the folder.
        absent: returns a sample for a name that the folder does not contain.

    Raises:
        DataError: several folders hold different files for a name that is given without its folder.
    """
    by_name: dict[str, list[Item]] = {}
    by_path: dict[str, Item] = {}
    for item in (item for found in items.values() for item in found):
        by_name.setdefault(item.id, []).append(item)
        path = f"{item.path.parent.relative_to(root).as_posix()}/{item.id}"
        by_path[path] = replace(item, id=path)

    def find(name: str) -> Item:
        first, *others = by_name.get(name) or [by_path.get(name) or absent(name)]
        if not all(_same_files(first, other) for other in others):
            place = first.path.parent.relative_to(root).as_posix()
            raise DataError(
                f"{root / SPLIT_FILE}: '{name[:80]}' is in {len(others) + 1} folders, with different files. Include "
                f"its folder, for example {place}/{name[:80]}"
            )
        return first

    return {split: [find(name) for name in names] for split, names in own.items()}


def _same_files(one: Item, other: Item) -> bool:
    pairs = list(zip(one.files, other.files, strict=True))
    return all(a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def custom_listing(
    root: Path, items: Mapping[str, Iterable[Item]], kinds: Callable[[Path], str], load: Load, load_target: Load
) -> Listing:
    """List the samples of a folder's split file; samples with a missing file are dropped and counted.

    ``kinds`` names the kind of a missing file in the reason, for example ``S2Hand file``.
    """
    present: dict[str, tuple[Item, ...]] = {}
    dropped: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, listed in items.items():
        found = [(item, next((path for path in item.files if not path.is_file()), None)) for item in listed]
        present[name] = tuple(item for item, absent in found if absent is None)
        for item, absent in found:
            if absent is not None:
                reasons = dropped.setdefault(name, {})
                reason = f"{kinds(absent)} {ABSENT}"
                reasons[reason] = (*reasons.get(reason, ()), item.id)
    return Listing(root, present, "custom", load, load_target, dropped)


def check_complete(task: TaskSpec, root: Path, found: Mapping[str, Sequence[Item]], pattern: str) -> None:
    """Refuse an incomplete copy of a data set whose official split is defined by its folders alone.

    Args:
        task: declares the number of images.
        root: folder that was searched.
        found: samples by split or folder.
        pattern: file pattern that was searched.

    Raises:
        Unavailable: nothing was found.
        DataError: a split is empty, or the number of samples differs from the task's.
    """
    counts = {name: len(items) for name, items in found.items()}
    if not any(counts.values()):
        raise Unavailable("data", f"{root} has neither {SPLIT_FILE} nor {pattern}", task.how_to_get)
    total = sum(task.official_sizes or counts.values())
    if not all(counts.values()) or sum(counts.values()) != total:
        raise DataError(
            f"{root}: found {', '.join(f'{count} for {name}' for name, count in counts.items())}, expected {total} of "
            f"{pattern} in total. Complete the copy, or list the existing files in a {SPLIT_FILE} (chip,split)"
        )


def read_lists(task: TaskSpec, root: Path, lists: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read the official list of every split: its non-empty lines.

    Raises:
        Unavailable: all lists are missing.
        DataError: some lists are missing, or one cannot be read.
    """
    absent = [path.name for path in lists.values() if not path.is_file()]
    if len(absent) == len(lists):
        raise Unavailable("data", f"{root} has neither {SPLIT_FILE} nor {', '.join(absent)}", task.how_to_get)
    if absent:
        raise DataError(
            f"{root}: split lists {', '.join(absent)} are missing, but other lists exist. {task.how_to_get}"
        )
    return {
        split: tuple(listed_name(line.strip(), path) for line in read_text(path).splitlines() if line.strip())
        for split, path in lists.items()
    }


def check_aligned(first: Raster, second: Raster) -> None:
    """Refuse two images of one sample that differ in size or grid.

    Raises:
        DataError: they differ.
    """
    if first.pixels.shape[1:] != second.pixels.shape[1:]:
        raise DataError(
            f"{second.path}: the image has {second.pixels.shape[1:]} pixels, but {first.path.parent.name}/"
            f"{first.path.name} has {first.pixels.shape[1:]}; fetch both files again"
        )
    check_one_grid(first.grid, second.grid)


def class_loader(task: TaskSpec, *codes: Mapping[int, int]) -> Load:
    """Return a function that reads the class map of a sample, which must share the grid of its image.

    Args:
        task: declares the ignore value and the meaning of the nodata value of label files.
        codes: see :func:`classes_of`.
    """

    def load_target(item: Item) -> npt.NDArray[np.int64]:
        labels = read_target(item.target or item.path)
        check_one_grid(grid_of(item.path), labels.grid)
        return classes_of(labels, task, *codes)

    return load_target


def classes_of(labels: Raster, task: TaskSpec, *codes: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Map the stored values of a class map to classes.

    Masked pixels have no label. Pixels with the file's nodata value have none either, unless a code contains that value
    and the task does not set ``label_nodata = "ignore"``; many files declare their class 0 as nodata.

    Args:
        labels: map of one band.
        task: declares ``ignore`` and ``label_nodata``.
        codes: class, or ignore value, of every stored value. If several are given, the first that contains all values
            of the file is used.

    Returns:
        (height, width) int64.

    Raises:
        DataError: no code contains all values of the map.
    """
    stored, present = labels.pixels[0], np.ones(labels.pixels.shape[1:], bool)
    if labels.masked is not None:
        present &= ~labels.masked
    if labels.nodata is not None and (task.label_nodata == "ignore" or not any(labels.nodata in c for c in codes)):
        present &= ~labels.is_nodata[0]
    found = np.unique(stored[present])
    code = next((code for code in codes if all(value in code for value in found)), None)
    if code is None:
        raise DataError(f"{labels.path}: {_unknown_labels(found, labels.nodata, codes, task)}")
    classes = np.full(stored.shape, task.ignore, np.int64)
    for value in found:
        classes[present & (stored == value)] = code[int(value)]
    return classes


def _unknown_labels(
    found: npt.NDArray[Any], nodata: float | None, codes: Sequence[Mapping[int, int]], task: TaskSpec
) -> str:
    values = ", ".join(f"{value:g}" for value in found[:8]) + (", ..." if len(found) > 8 else "")
    expected = " or ".join(", ".join(map(str, sorted(code))) for code in codes)
    cure = "Fetch the file again, or check that it is the label file of this data set"
    if task.own:
        cure = "Set values = { VALUE = 'CLASS' } in the options of the task, and list values without a label in ignore"
    if nodata is not None and nodata in found:
        cure = f"If its nodata value {nodata:g} means no label, set label_nodata = 'ignore' in the task's catalog entry"
    return f"label values {values} are out of range, expected {expected}. {cure}"
