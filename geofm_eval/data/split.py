"""Splits of a task: samples with stable ids, read lazily in the units that the task declares, and checked."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.identity import files_read, items_sha256, labels_sha256, places_sha256
from geofm_eval.data.inspection import NO_PIXEL, checked_target
from geofm_eval.data.items import NAMES, Definition, Item, Load, stored_pixels
from geofm_eval.data.pixels import RawImage, check_stored, check_unit, to_unit
from geofm_eval.errors import ContractError, DataError
from geofm_eval.plurals import counted
from geofm_eval.progress import LogProgress, StartProgress

__all__ = ["ALL", "NAMES", "Item", "RawImage", "Split", "to_unit"]

log = logging.getLogger(__name__)

ALL = "all"
"""Name of the only split of a task whose data have no official split."""


@dataclass(frozen=True)
class Split:
    """One split of a task, read lazily.

    Args:
        task: the task.
        name: ``train``, ``val`` or ``test``; ``all`` for data without an official split.
        items: samples, in the order of every array that belongs to this split.
        definition: ``official``, or ``custom`` if the split comes from the folder's own split file. Results of a custom
            split must not be compared with those of the official one.
        load: reads the stored values of one sample, (bands, height, width) or (dates, bands, height, width); None if
            the data have no images.
        load_target: reads the per-pixel labels of one sample, (height, width); None for other tasks.
        dropped: ids of samples that were left out because they cannot be measured, by reason.
        progress: starts a progress display for hashing files.
        folds: fold of every sample, from 0, for cross-validated data; empty for others.
        rule: how own data were divided; see :class:`geofm_eval.data.items.Listing`.

    Raises:
        DataError: a label is not a class of the task, or is outside the range of its target.
    """

    task: TaskSpec
    name: str
    items: tuple[Item, ...]
    definition: Definition
    load: Load | None = field(repr=False)
    load_target: Load | None = field(default=None, repr=False)
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    progress: StartProgress = field(default=LogProgress, repr=False)
    folds: tuple[int, ...] = ()
    rule: Mapping[str, str | float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in self.items:
            _check_label(item, self.task)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> tuple[str, ...]:
        """Stable ids of the samples."""
        return tuple(item.id for item in self.items)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """(n,) int64 class of every sample, or float64 value of its regression target.

        Raises:
            ContractError: the task has one label per pixel; use :meth:`read_target`.
        """
        if self.task.dense:
            raise ContractError(f"task '{self.task.slug}' has one label per pixel, not per sample; use read_target")
        kind = np.float64 if self.task.kind == "regression" else np.int64
        return np.array([item.label for item in self.items], dtype=kind)

    @property
    def groups(self) -> npt.NDArray[np.str_] | None:
        """(n,) scene or event of every sample; None unless all samples have one."""
        groups = [item.group for item in self.items if item.group is not None]
        return np.array(groups) if groups and len(groups) == len(self.items) else None

    @property
    def fold_count(self) -> int:
        """Number of folds; 0 if the data are not cross-validated."""
        return max(self.folds, default=-1) + 1

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every image; reads all of them once."""
        found = (self.read(index).valid.shape[-2:] for index in range(len(self)))
        return tuple((int(height), int(width)) for height, width in found)

    @cached_property
    def items_sha256(self) -> str:
        """Identity of the images, or of the samples if there are none; see :mod:`geofm_eval.data.identity`."""
        if self.load is None:
            return places_sha256(self.items)
        return items_sha256(self.task, self.items, self._contents)

    @cached_property
    def labels_sha256(self) -> str:
        """Identity of the labels; see :func:`geofm_eval.data.identity.labels_sha256`."""
        return labels_sha256(self.task, self.items, self._contents)

    @cached_property
    def _contents(self) -> Mapping[Path, str]:
        return self._hashed()

    def _hashed(self) -> Mapping[Path, str]:
        """SHA-256 of every file that is read; empty for simulated data, which their generator identifies."""
        if self.task.simulated:
            return {}
        return hashes_of(files_read(self.task, self.items), self.task.root, self.progress)

    def check_unchanged(self) -> None:
        """Refuse data that changed since they were hashed: results would belong to neither version.

        Raises:
            DataError: a file was changed, added or removed.
        """
        before, now = self._contents, self._hashed()
        changed = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        if changed:
            raise DataError(
                f"{changed[0]}: the file changed during the run ({counted(len(changed), 'changed file')} in task "
                f"'{self.task.slug}'). Nothing was stored. Wait until no process writes to the data, then try again"
            )

    def read(self, index: int) -> RawImage:
        """Read one image or series of images in the units of the task's bands.

        Args:
            index: position of the sample.

        Raises:
            ContractError: the data have no images.
            DataError: the file is unreadable, has other bands or dates than the task declares, has no valid pixel, or
                holds values in another unit.
        """
        item = self.items[index]
        stored = stored_pixels(self.load, item)
        check_stored(stored, item.dates, self.task, item.path)
        image = to_unit(stored, self.task, item.dates)
        if not image.valid.any():
            raise DataError(
                f"{item.path}: has {NO_PIXEL} (all are NaN or nodata). Set inspect = true in the catalog entry of task "
                f"'{self.task.slug}' to drop and count such samples, or remove this one"
            )
        check_unit(image, self.task, item.path)
        return image

    def read_target(self, index: int) -> npt.NDArray[Any]:
        """Read the per-pixel labels of one sample; see :meth:`read_pair`."""
        return self.read_pair(index)[1]

    def read_pair(self, index: int) -> tuple[RawImage, npt.NDArray[Any]]:
        """Read one image once, together with its per-pixel labels.

        Args:
            index: position of the sample.

        Returns:
            The image, as from :meth:`read`, and labels of (height, width): int64 classes with the task's ``ignore``
            value for unlabelled pixels, or float32 with NaN.

        Raises:
            ContractError: the task has one label per sample.
            DataError: a file is unreadable, the label map differs from the image in size, or it has values unknown to
                the task.
        """
        if self.load_target is None:
            raise ContractError(f"task '{self.task.slug}' has one label per sample, not per pixel; use labels")
        item, image = self.items[index], self.read(index)
        return image, checked_target(self.load_target(item), image.valid, self.task, item)


def _check_label(item: Item, task: TaskSpec) -> None:
    label = item.label
    if task.dense:
        return
    if label is None:
        raise DataError(
            f"{item.path}: sample '{item.id}' has no label, but task '{task.slug}' needs one per sample; leave the "
            "sample out"
        )
    if task.kind == "classification" and not 0 <= label < len(task.classes):
        raise DataError(
            f"{item.path}: label is {label}, but task '{task.slug}' has {len(task.classes)} classes, "
            f"0 to {len(task.classes) - 1}. Correct the label, or the classes of the task"
        )
    low, high = task.target_range or (-math.inf, math.inf)
    if task.kind == "regression" and not low <= label <= high:
        raise DataError(
            f"{item.path}: sample '{item.id}' has the target {label:g}, expected {low:g} to {high:g} {task.target_unit}"
            f" for task '{task.slug}'. Check the unit of the labels"
        )
