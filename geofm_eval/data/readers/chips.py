"""What readers of image chips with a class per pixel share: split files, absent files, class maps, options."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.items import ABSENT, Item, Listing
from geofm_eval.data.readers.files import load_geotiff, read_text, rows_by_split
from geofm_eval.errors import ContractError, DataError, Unavailable

SPLIT_FILE = "splits.csv"
"""Split file of a folder's own, with the columns ``chip`` and ``split``; it goes before the official lists."""

Load = Callable[[Item], npt.NDArray[Any]]


def check_options(task: TaskSpec, known: Mapping[str, Sequence[str]]) -> None:
    """Refuse options that a reader does not know.

    Args:
        task: the task. ``chip``, the size of simulated chips, is known to all.
        known: values that each option may have.

    Raises:
        ContractError: an unknown option, or an unknown value.
    """
    for name, value in task.options.items():
        if name != "chip" and (name not in known or value not in known[name]):
            expected = "; ".join(f"{option} = {' or '.join(map(repr, values))}" for option, values in known.items())
            raise ContractError(
                f"task '{task.slug}': option {name} = {value!r} is unknown; expected {expected or 'none'}"
            )


def read_split_file(root: Path) -> dict[str, tuple[str, ...]] | None:
    """Read the chips of every split from a folder's own split file; None where it has none.

    Raises:
        DataError: the file is damaged or names an unknown split.
    """
    if not (root / SPLIT_FILE).is_file():
        return None
    rows = rows_by_split(root / SPLIT_FILE, ("chip",))
    return {name: tuple(row["chip"] for _, row in listed) for name, listed in rows.items()}


def custom_listing(
    root: Path, items: Mapping[str, Iterable[Item]], kinds: Callable[[Path], str], load: Load, load_target: Load
) -> Listing:
    """List what a folder's own split file names; items of which a file is absent are dropped and counted.

    Args:
        root: the folder.
        items: items of every split.
        kinds: what a file is called in the reason, such as ``S2Hand file``.
        load: as in :class:`geofm_eval.data.items.Listing`.
        load_target: likewise.
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
    """Refuse a copy that lacks images, where folders alone tell what belongs to the official split.

    Args:
        task: declares how many images there are.
        root: the folder.
        found: items by split or folder.
        pattern: files that were looked for.

    Raises:
        Unavailable: nothing was found.
        DataError: something was found, but not for every split, or not as many as the task declares.
    """
    counts = {name: len(items) for name, items in found.items()}
    if not any(counts.values()):
        raise Unavailable("data", f"{root} has neither {SPLIT_FILE} nor {pattern}", task.how_to_get)
    total = sum(task.official_sizes or counts.values())
    if not all(counts.values()) or sum(counts.values()) != total:
        raise DataError(
            f"{root}: found {', '.join(f'{count} for {name}' for name, count in counts.items())}, expected {total} of "
            f"{pattern} in all. Complete the copy, or list what is there in a {SPLIT_FILE} (chip,split)"
        )


def read_lists(task: TaskSpec, root: Path, lists: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read the official list of every split: its lines without the empty ones.

    Args:
        task: for what to do about absent lists.
        root: the folder.
        lists: file of every split.

    Raises:
        Unavailable: no list is there.
        DataError: some are absent, or one cannot be read.
    """
    absent = [path.name for path in lists.values() if not path.is_file()]
    if len(absent) == len(lists):
        raise Unavailable("data", f"{root} has neither {SPLIT_FILE} nor {', '.join(absent)}", task.how_to_get)
    if absent:
        raise DataError(f"{root}: no {', '.join(absent)}, but other lists are there. {task.how_to_get}")
    return {
        split: tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
        for split, path in lists.items()
    }


def load_bands(path: Path, count: int) -> npt.NDArray[Any]:
    """Read the pixels of a GeoTIFF of a known number of bands, nodata of its own as NaN.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: the file cannot be read or has another number of bands.
    """
    pixels = load_geotiff(path)
    if len(pixels) != count:
        raise DataError(
            f"{path}: the number of bands is {len(pixels)}, expected {count}: this is not the file that its place says"
        )
    return pixels


def class_loader(*codes: Mapping[int, int]) -> Load:
    """Return what reads the class map of an item; see :func:`load_classes`."""

    def load_target(item: Item) -> npt.NDArray[np.int64]:
        if item.target is None:
            raise ContractError(f"item '{item.id}' has no file of labels")
        return load_classes(item.target, *codes)

    return load_target


def load_classes(path: Path, *codes: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Read a class map of one band.

    Args:
        path: the file; a nodata value that it declares is a label like any other.
        codes: class, or ignore value, of every stored value that may occur; of several codes the first that knows all
            values of the file is taken.

    Returns:
        (height, width) int64.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: the file cannot be read, has several bands, or holds values that no code knows.
    """
    stored = load_geotiff(path, mark_nodata=False)
    if len(stored) != 1:
        raise DataError(f"{path}: {len(stored)} bands, expected one band of labels")
    found = np.unique(stored)
    code = next((code for code in codes if all(value in code for value in found)), None)
    if code is None:
        values = ", ".join(f"{value:g}" for value in found[:8]) + (", ..." if len(found) > 8 else "")
        expected = " or ".join(", ".join(map(str, sorted(code))) for code in codes)
        raise DataError(
            f"{path}: label values {values} are out of range, expected {expected}. Fetch the file again, or check that "
            "it is the label file of this data set"
        )
    labels = np.zeros(stored.shape[1:], np.int64)
    for value in found:
        labels[stored[0] == value] = code[int(value)]
    return labels
