"""Splits: items with stable ids, lazily read, in the units that the task declares, checked before anything is computed."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data import eurosat
from geofm_eval.data.items import SPLIT_NAMES, Definition, Item, Listing
from geofm_eval.data.standins import ensure_standin
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.paths import in_home

__all__ = ["READERS", "SPLIT_NAMES", "Item", "RawImage", "Split", "open_splits"]

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
        DataError: a label that is no class of the task, an item twice.
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
        return _sha256(f"{item.id}\t{size}" for item, size in zip(self.items, self.sizes, strict=True))

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
                f"{path}: has {len(stored)} bands, task '{self.task.slug}' declares {len(self.task.bands)}: "
                f"{', '.join(self.task.bands)}"
            )
        image = _to_unit(stored, self.task)
        _check_unit(image, self.task, path)
        return image


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _to_unit(stored: npt.NDArray[Any], task: TaskSpec) -> RawImage:
    pixels = stored.astype(np.float32)
    finite = np.isfinite(pixels)
    valid = finite.all(axis=0) if task.nodata is None else (finite & (stored != task.nodata)).all(axis=0)
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
    found = f"{path}: the median of its valid pixels is {median:.4g} after scale {task.scale:g} and offset {task.offset:g}"
    expected = f"task '{task.slug}' declares {task.unit} with medians in {low:g}..{high:g}"
    raise DataError(f"{found}; {expected}. {_cure(median, task)}")


def _cure(median: float, task: TaskSpec) -> str:
    if 0 < median <= 2 and task.unit == "DN":
        return (
            "These look like reflectances (0..1) where DN are declared: "
            f"set scale = {10_000 * task.scale:g} in the task's catalog entry"
        )
    return "Set the task's scale and offset so that values are in its unit, or replace the file if it is damaged"


def open_splits(task: TaskSpec, check_groups: bool = True) -> dict[str, Split]:
    """Open train, val and test of a task; a stand-in is generated first where needed.

    Args:
        task: entry of the catalog.
        check_groups: refuse a scene or event whose items are in two splits.

    Raises:
        ContractError: the task's reader is unknown.
        Unavailable: the data are absent.
        DataError: part of the data is absent, or the splits are not what splits must be.
    """
    if task.reader not in READERS:
        raise ContractError(f"task '{task.slug}': reader '{task.reader}' is unknown; known: {', '.join(READERS)}")
    root = ensure_standin(task) if task.simulated else in_home(task.root, "data", task.how_to_get)
    listing = READERS[task.reader](task, root)
    _check_separate(listing, "item", lambda item: item.id)
    if check_groups:
        _check_separate(listing, "group", lambda item: item.group)
    sizes = _sizes(task, listing)
    splits = {
        name: Split(task, name, listing.items[name], listing.definition, sizes[name], listing.load)
        for name in SPLIT_NAMES
    }
    _check_filled(listing, splits)
    log.info("%s: %s", task.slug, ", ".join(f"{name} {len(split)}" for name, split in splits.items()))
    return splits


def _check_filled(listing: Listing, splits: dict[str, Split]) -> None:
    for name, split in splits.items():
        if not split.items:
            raise DataError(f"{listing.root}: the {name} split is empty; each of {', '.join(SPLIT_NAMES)} needs images")


def _check_separate(listing: Listing, what: str, key: Callable[[Item], str | None]) -> None:
    """Refuse an item that is listed twice, or a group that two splits share: test scores would be too good."""
    seen: dict[str, str] = {}
    for name in SPLIT_NAMES:
        found: Sequence[str] = [value for item in listing.items[name] if (value := key(item)) is not None]
        if what == "item" and len(set(found)) < len(found):
            twice = next(value for value in found if found.count(value) > 1)
            raise DataError(f"{listing.root}: item '{twice}' is listed twice in {name}: remove one of the lines")
        for value in dict.fromkeys(found):
            if seen.setdefault(value, name) != name:
                raise DataError(
                    f"{listing.root}: {what} '{value}' is in two splits, {seen[value]} and {name}: "
                    "keep all of it in one of them"
                )


def _sizes(task: TaskSpec, listing: Listing) -> dict[str, tuple[int, ...]]:
    """Bytes of every file by split, after a look at whether all of them are there."""
    sizes = {name: [_size(item.path) for item in listing.items[name]] for name in SPLIT_NAMES}
    absent = [
        item.path for name in SPLIT_NAMES for item, size in zip(listing.items[name], sizes[name], strict=True) if size < 0
    ]
    listed = sum(len(found) for found in sizes.values())
    if absent and len(absent) == listed:
        raise Unavailable("data", f"none of the {listed} listed files is in {listing.root}", task.how_to_get)
    if absent:
        raise DataError(
            f"{listing.root}: {len(absent)} of {listed} listed files are absent, first: {absent[0]}. Complete the copy, or "
            "list what is there in a splits.csv (file,class,split)"
        )
    return {name: tuple(found) for name, found in sizes.items()}


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
