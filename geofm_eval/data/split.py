"""Splits: items with stable ids, lazily read in the unit that the task declares, and checked before use."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.identity import files_read, items_sha256, labels_sha256
from geofm_eval.data.inspection import NO_PIXEL, checked_target
from geofm_eval.data.items import NAMES, Definition, Item
from geofm_eval.data.pixels import RawImage, check_stored, check_unit, to_unit
from geofm_eval.errors import ContractError, DataError
from geofm_eval.progress import LogProgress, StartProgress

__all__ = ["ALL", "NAMES", "Item", "RawImage", "Split", "to_unit"]

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
