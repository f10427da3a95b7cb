"""Splits: items with stable ids, lazily read in the unit that the task declares, and checked before use."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data import eurosat
from geofm_eval.data.items import NAMES, Definition, Item, Listing
from geofm_eval.data.scene import GENERATOR_VERSION
from geofm_eval.data.standins import ensure_standin
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.paths import in_home

__all__ = ["NAMES", "READERS", "Item", "RawImage", "Split", "check_splits", "open_splits", "to_unit"]

log = logging.getLogger(__name__)

READERS: dict[str, Callable[[TaskSpec, Path], Listing]] = {"eurosat": eurosat.read_listing}
"""Readers of on-disk layouts by the name that tasks use."""


@dataclass(frozen=True)
class RawImage:
    """One image in the task's unit, before any model's normalisation.

    Args:
        pixels: (bands, height, width) float32, bands in file order; NaN where invalid.
        valid: (height, width) bool, False where any band has no data.
    """

    pixels: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """One split of a task, lazily read.

    Args:
        task: the task.
        name: ``train``, ``val`` or ``test``.
        items: the images, in the order of every array that belongs to this split.
        definition: ``official``, or ``custom`` when the folder's own split file made it: never to be compared with
            numbers of the official split.
        sizes: bytes of every item's file.
        load: reads stored values of one file, (bands, height, width).

    Raises:
        DataError: a label that is no class of the task.
    """

    task: TaskSpec
    name: str
    items: tuple[Item, ...]
    definition: Definition
    sizes: tuple[int, ...]
    load: Callable[[Path], npt.NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        for item in self.items:
            if not 0 <= item.label < len(self.task.classes):
                raise DataError(
                    f"{item.path}: label {item.label} is out of range; task '{self.task.slug}' has "
                    f"{len(self.task.classes)} classes, 0 to {len(self.task.classes) - 1}"
                )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> tuple[str, ...]:
        """Stable ids of the items."""
        return tuple(item.id for item in self.items)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(n,) int64 class of every item."""
        return np.array([item.label for item in self.items], dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.str_] | None:
        """(n,) scene or event of every item; None unless all items have one."""
        groups = [item.group for item in self.items if item.group is not None]
        return np.array(groups) if groups and len(groups) == len(self.items) else None

    @cached_property
    def items_sha256(self) -> str:
        """Sha256 over ids and file sizes: another copy of the same images has the same hash."""
        # Simulated images of every version have the same ids and sizes.
        made_by = [f"generator\t{GENERATOR_VERSION}"] if self.task.simulated else []
        return _sha256([*made_by, *(f"{item.id}\t{size}" for item, size in zip(self.items, self.sizes, strict=True))])

    @cached_property
    def labels_sha256(self) -> str:
        """Sha256 over ids and labels."""
        return _sha256(f"{item.id}\t{item.label}" for item in self.items)

    def read(self, index: int) -> RawImage:
        """Read one image in the task's unit.

        Args:
            index: position of the item.

        Raises:
            DataError: the file is unreadable, has another number of bands, no valid pixel, or values in another unit.
        """
        path = self.items[index].path
        stored = self.load(path)
        if len(stored) != len(self.task.bands):
            raise DataError(
                f"{path}: shape {stored.shape}, expected {len(self.task.bands)} bands ({', '.join(self.task.bands)}) "
                f"of task '{self.task.slug}'"
            )
        image = to_unit(stored, self.task)
        _check_unit(image, self.task, path)
        return image


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def to_unit(stored: npt.NDArray[Any], task: TaskSpec) -> RawImage:
    """Apply a task's scale and offset to stored values and mark what is no data.

    Args:
        stored: (bands, height, width) values as in the file; left as they are.
        task: declares scale, offset and nodata.
    """
    pixels = stored.astype(np.float32)
    present: npt.NDArray[np.bool_] = np.isfinite(pixels)
    if task.nodata is not None:
        present &= stored != task.nodata
    valid = np.asarray(present.all(axis=0))
    pixels = pixels * np.float32(task.scale) + np.float32(task.offset)
    pixels[:, ~valid] = np.nan
    return RawImage(pixels, valid)


def _check_unit(image: RawImage, task: TaskSpec, path: Path) -> None:
    if not image.valid.any():
        raise DataError(f"{path}: has no valid pixel (all are NaN or nodata): remove it from the split file")
    median = float(np.median(image.pixels[:, image.valid]))
    low, high = task.plausible
    if low <= median <= high:
        return
    raise DataError(
        f"{path}: the median value is {median:.4g} {task.unit}, expected {low:g} to {high:g} as task '{task.slug}' "
        f"declares. {_cure(median, task)}"
    )


def _cure(median: float, task: TaskSpec) -> str:
    if 0 < median <= 2 and task.unit == "DN":
        return (
            "These look like reflectances (0..1) where DN are declared: "
            f"set scale = {10_000 * task.scale:g} in the task's catalog entry"
        )
    return "Set the task's scale and offset so that values are in its unit, or replace the file if it is damaged"


def open_splits(task: TaskSpec) -> dict[str, Split]:
    """Open train, val and test of a task; a stand-in is generated first where needed.

    Args:
        task: entry of the catalog.

    Raises:
        ContractError: the task's reader is unknown.
        Unavailable: the data are absent.
        DataError: part of the data is absent, or the splits are not what splits must be.
    """
    if task.reader not in READERS:
        raise ContractError(
            f"task '{task.slug}': reader '{task.reader}' is unknown; known readers: {', '.join(READERS)}"
        )
    root = ensure_standin(task) if task.simulated else in_home(task.root, "data", task.how_to_get)
    listing = READERS[task.reader](task, root)
    sizes = _sizes(task, listing)
    splits = {
        name: Split(task, name, listing.items[name], listing.definition, sizes[name], listing.load) for name in NAMES
    }
    check_splits(splits)
    log.info("%s: %s", task.slug, ", ".join(f"{name} {len(split)}" for name, split in splits.items()))
    return splits


def check_splits(splits: Mapping[str, Split]) -> None:
    """Refuse splits that would give wrong scores.

    A scene or event that two splits share is refused too: its items are alike, so the test score would be too good.

    Args:
        splits: the splits of one task by name.

    Raises:
        DataError: an empty split, an item that is listed twice, an item or a group in two splits.
    """
    for name, split in splits.items():
        if not split.items:
            raise DataError(f"{split.task.slug}: split '{name}' is empty; every split needs images")
        item, times = Counter(split.ids).most_common(1)[0]
        if times > 1:
            raise DataError(f"{split.task.slug}: split '{name}' lists item '{item}' more than once; list it once")
    _check_separate("item", {name: split.ids for name, split in splits.items()})
    _check_separate("group", {name: _known_groups(split) for name, split in splits.items()})


def _known_groups(split: Split) -> tuple[str, ...]:
    return tuple(item.group for item in split.items if item.group is not None)


def _check_separate(what: str, names: Mapping[str, Sequence[str]]) -> None:
    first: dict[str, str] = {}
    for split, found in names.items():
        for name in dict.fromkeys(found):
            if first.setdefault(name, split) != split:
                raise DataError(
                    f"{what} '{name}' stands in splits '{first[name]}' and '{split}': keep all of it in one of them"
                )


def _sizes(task: TaskSpec, listing: Listing) -> dict[str, tuple[int, ...]]:
    """Bytes of every file by split, after a look at whether all of them are there."""
    sizes = {name: [_size(item.path) for item in listing.items[name]] for name in NAMES}
    listed = sum(len(found) for found in sizes.values())
    absent = [
        item.path for name in NAMES for item, size in zip(listing.items[name], sizes[name], strict=True) if size < 0
    ]
    if absent and len(absent) == listed:
        raise Unavailable("data", f"none of the {listed} listed files is in {listing.root}", task.how_to_get)
    if absent:
        raise DataError(
            f"{listing.root}: {len(absent)} of {listed} listed files are absent, the first is {absent[0]}. "
            "Complete the copy, or list what is there in a splits.csv (file,class,split)"
        )
    return {name: tuple(found) for name, found in sizes.items()}


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
