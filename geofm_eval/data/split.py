"""Splits: items with stable ids, lazily read in the unit that the task declares, and checked before use."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.identity import files_read, items_sha256, labels_sha256
from geofm_eval.data.inspection import NO_PIXEL, checked_target, inspect_items
from geofm_eval.data.items import ABSENT, NAMES, Definition, Item, Listing
from geofm_eval.data.offset import check_offset
from geofm_eval.data.pixels import RawImage, check_stored, check_unit, to_unit
from geofm_eval.data.readers import READERS
from geofm_eval.data.readers.listed import check_inside
from geofm_eval.data.standins import ensure_standin
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.paths import in_home
from geofm_eval.progress import LogProgress, StartProgress

__all__ = ["ALL", "NAMES", "Item", "RawImage", "Split", "check_splits", "open_splits", "to_unit"]

log = logging.getLogger(__name__)

ALL = "all"
"""Name of the only split of a task whose data have no official one."""


@dataclass(frozen=True)
class Split:
    """One split of a task, lazily read.

    Args:
        task: the task.
        name: ``train``, ``val`` or ``test``; ``all`` where the data have no official split.
        items: the images, in the order of every array that belongs to this split.
        definition: ``official``, or ``custom`` when the folder's own split file made it: never to be compared with
            numbers of the official split.
        load: reads stored values of one item, (bands, height, width) or (dates, bands, height, width).
        load_target: reads the label of every pixel of one item, (height, width); None for other tasks.
        dropped: ids of items that were left out because they cannot be measured, by reason.
        progress: starts the progress of hashing the files.

    Raises:
        DataError: a label that is no class of the task, or outside the range of its target.
    """

    task: TaskSpec
    name: str
    items: tuple[Item, ...]
    definition: Definition
    load: Callable[[Item], npt.NDArray[Any]] = field(repr=False)
    load_target: Callable[[Item], npt.NDArray[Any]] | None = field(default=None, repr=False)
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    progress: StartProgress = field(default=LogProgress, repr=False)

    def __post_init__(self) -> None:
        for item in self.items:
            _check_label(item, self.task)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> tuple[str, ...]:
        """Stable ids of the items."""
        return tuple(item.id for item in self.items)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """(n,) int64 class of every item, or float64 value of a regression target.

        Raises:
            ContractError: the task has a label for every pixel: use :meth:`read_target`.
        """
        if self.task.dense:
            raise ContractError(f"task '{self.task.slug}' has no label per item, only one per pixel: use read_target")
        kind = np.float64 if self.task.kind == "regression" else np.int64
        return np.array([item.label for item in self.items], dtype=kind)

    @property
    def groups(self) -> npt.NDArray[np.str_] | None:
        """(n,) scene or event of every item; None unless all items have one."""
        groups = [item.group for item in self.items if item.group is not None]
        return np.array(groups) if groups and len(groups) == len(self.items) else None

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every image; reads all of them, once."""
        found = (self.read(index).valid.shape[-2:] for index in range(len(self)))
        return tuple((int(height), int(width)) for height, width in found)

    @cached_property
    def items_sha256(self) -> str:
        """What the images are known by; see :func:`geofm_eval.data.identity.items_sha256`."""
        return items_sha256(self.task, self.items, self._contents)

    @cached_property
    def labels_sha256(self) -> str:
        """What the labels are known by; see :func:`geofm_eval.data.identity.labels_sha256`."""
        return labels_sha256(self.task, self.items, self._contents)

    @cached_property
    def _contents(self) -> Mapping[Path, str]:
        return self._hashed()

    def _hashed(self) -> Mapping[Path, str]:
        """Sha256 of every file that is read; simulated data are known by their generator."""
        if self.task.simulated:
            return {}
        return hashes_of(files_read(self.task, self.items), self.task.root, self.progress)

    def check_unchanged(self) -> None:
        """Refuse data that changed since they were hashed: what was computed meanwhile belongs to neither content.

        Raises:
            DataError: a file that is read has another content, or came or went.
        """
        before, now = self._contents, self._hashed()
        changed = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        if changed:
            raise DataError(
                f"{changed[0]}: changed while the run was under way (files of task '{self.task.slug}' that did: "
                f"{len(changed)}). Nothing was stored. Wait until nothing writes to the data, and start again"
            )

    def read(self, index: int) -> RawImage:
        """Read one image, or one series of images, in the units of the task's bands.

        Args:
            index: position of the item.

        Raises:
            DataError: the file is unreadable, has other bands or dates than the task declares, no valid pixel, or
                values in another unit.
        """
        item = self.items[index]
        stored = self.load(item)
        check_stored(stored, item.dates, self.task, item.path)
        image = to_unit(stored, self.task, item.dates)
        if not image.valid.any():
            raise DataError(
                f"{item.path}: has {NO_PIXEL} (all are NaN or nodata). Set inspect = true in the "
                f"catalog entry of task '{self.task.slug}', which leaves such items out and counts them, or take it out"
            )
        check_unit(image, self.task, item.path)
        return image

    def read_target(self, index: int) -> npt.NDArray[Any]:
        """Read the label of every pixel of one item; see :meth:`read_pair`."""
        return self.read_pair(index)[1]

    def read_pair(self, index: int) -> tuple[RawImage, npt.NDArray[Any]]:
        """Read one image and the label of each of its pixels, the image once.

        Args:
            index: position of the item.

        Returns:
            What :meth:`read` gives; and (height, width) int64 classes with the task's ``ignore`` value where there is
            none, or float32 with NaN.

        Raises:
            ContractError: the task has one label per item.
            DataError: a file is unreadable, or has another size than the image or values that the task lacks.
        """
        if self.load_target is None:
            raise ContractError(f"task '{self.task.slug}' has one label per item, none per pixel: use labels")
        item, image = self.items[index], self.read(index)
        return image, checked_target(self.load_target(item), image.valid, self.task, item)


def _check_label(item: Item, task: TaskSpec) -> None:
    label = item.label
    if task.dense:
        return
    if label is None:
        raise DataError(f"{item.path}: item '{item.id}' has no label, and task '{task.slug}' needs one per item")
    if task.kind == "classification" and not 0 <= label < len(task.classes):
        raise DataError(
            f"{item.path}: label {label} is out of range; task '{task.slug}' has "
            f"{len(task.classes)} classes, 0 to {len(task.classes) - 1}"
        )
    low, high = task.target_range or (-math.inf, math.inf)
    if task.kind == "regression" and not low <= label <= high:
        raise DataError(
            f"{item.path}: item '{item.id}' has the target {label:g}, expected {low:g} to {high:g} {task.target_unit}"
            f" of task '{task.slug}': check the unit of the labels"
        )


def open_splits(task: TaskSpec, progress: StartProgress = LogProgress) -> dict[str, Split]:
    """Open train, val and test of a task; a stand-in is generated first where needed.

    Args:
        task: entry of the catalog.
        progress: starts the progress of hashing the files.

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
    names = NAMES if task.protocol == "holdout" else (ALL,)
    check_inside(listing.root, (path for name in names for item in listing.items[name] for path in item.files))
    _check_present(task, listing, names)
    dropped = _unusable(task, listing, names, progress)
    splits = {name: _split(task, name, listing, dropped[name], progress) for name in names}
    check_splits(splits)
    check_offset(task, listing, progress)
    log.info("%s: %s", task.slug, ", ".join(f"{name} {_described(split)}" for name, split in splits.items()))
    return splits


def _unusable(
    task: TaskSpec, listing: Listing, names: Sequence[str], progress: StartProgress
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Ids that cannot be measured by reason, by split; those that the reader left out itself are among them."""
    inspected = inspect_items(task, listing, progress) if task.inspect else {}
    found = {}
    for name in names:
        unlabelled = tuple(
            item.id for item in listing.items[name] if item.label is not None and item.label != item.label
        )
        reasons = {"the target is NaN": unlabelled} if unlabelled else {}
        found[name] = {**listing.dropped.get(name, {}), **reasons, **inspected.get(name, {})}
    return found


def _split(
    task: TaskSpec, name: str, listing: Listing, dropped: Mapping[str, tuple[str, ...]], progress: StartProgress
) -> Split:
    out = {item for ids in dropped.values() for item in ids}
    kept = tuple(item for item in listing.items[name] if item.id not in out)
    return Split(task, name, kept, listing.definition, listing.load, listing.load_target, dropped, progress)


def _described(split: Split) -> str:
    dropped = "; ".join(f"{len(ids)} dropped: {reason}" for reason, ids in split.dropped.items())
    return f"{len(split)} ({dropped})" if dropped else f"{len(split)}"


def check_splits(splits: Mapping[str, Split]) -> None:
    """Refuse splits that would give wrong scores.

    A scene or event that two splits share is refused too, unless the task says that its published split is so: its
    items are alike, so the test score would be too good.

    Args:
        splits: the splits of one task by name.

    Raises:
        Unavailable: a split whose files are all absent.
        DataError: an empty split, an item that is listed twice, an item or a group in two splits.
    """
    for name, split in splits.items():
        if not split.items:
            left_out = f" ({_described(split)})" if split.dropped else ""
            if split.dropped and all(reason.endswith(ABSENT) for reason in split.dropped):
                raise Unavailable(
                    "data", f"{split.task.slug}: files of all items of split '{name}'{left_out}", split.task.how_to_get
                )
            raise DataError(f"{split.task.slug}: split '{name}' is empty{left_out}; every split needs images")
        item, times = Counter(split.ids).most_common(1)[0]
        if times > 1:
            raise DataError(f"{split.task.slug}: split '{name}' lists item '{item}' more than once; list it once")
    _check_separate("item", {name: split.ids for name, split in splits.items()})
    if not all(split.task.shared_groups for split in splits.values()):
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


def _check_present(task: TaskSpec, listing: Listing, names: Sequence[str]) -> None:
    """Look whether all files of the items are there."""
    items = [item for name in names for item in listing.items[name]]
    absent = [path for item in items if (path := next((p for p in item.files if not p.exists()), None)) is not None]
    if absent and len(absent) == len(items):
        what = f"none of the {len(items)} listed files is in {listing.root}, such as {absent[0].name}"
        raise Unavailable("data", what, task.how_to_get)
    if absent:
        raise DataError(
            f"{listing.root}: {len(absent)} of {len(items)} listed files are absent, the first is {absent[0]}. "
            f"Complete the copy, or list what is there in a splits.csv; its columns: geofm-eval fetch {task.slug}"
        )
