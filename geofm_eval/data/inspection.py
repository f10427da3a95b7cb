"""Find samples that cannot be measured: no valid pixel, or no label at a valid pixel. Results are cached."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.identity import files_read, items_sha256, labels_sha256, reader_identity
from geofm_eval.data.items import Item, Listing, stored_pixels
from geofm_eval.data.pixels import check_stored, check_unit, to_unit
from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import content_hash, remember

log = logging.getLogger(__name__)

INSPECTION_VERSION = 2
"""Increase whenever other samples would be found unusable."""

NO_PIXEL = "no valid pixel"
NO_LABEL = "no label at a valid pixel"


def inspect_items(
    task: TaskSpec, listing: Listing, progress: StartProgress = LogProgress
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Find the samples of every split that cannot be measured.

    The result is cached, so that a data set is not read again by every process.

    Args:
        task: declares units, nodata and the ignore value.
        listing: contents of the data set, from its reader.
        progress: starts a progress display for hashing files.

    Returns:
        Ids by split and reason; splits and reasons without ids are omitted.

    Raises:
        DataError: a file does not match what the task declares.
    """
    path = geofm_cache() / "inspections" / f"{inspection_key(task, listing.items, progress)}.json"

    def look() -> dict[str, dict[str, list[str]]]:
        log.info("%s: checking for samples without valid pixels or labels", task.slug)
        return {split: _unusable(task, listing, items) for split, items in listing.items.items()}

    known: dict[str, dict[str, list[str]]] = remember(path, look)
    return {
        split: {reason: tuple(ids) for reason, ids in reasons.items()} for split, reasons in known.items() if reasons
    }


def inspection_key(task: TaskSpec, splits: Mapping[str, Sequence[Item]], progress: StartProgress) -> str:
    """Hash the contents of the samples' files and what the task declares about their values."""
    values = ("scale", "offset", "nodata", "plausible", "ignore", "label_nodata")
    fields = ("reader", "options", "bands", "dates", "kind", *values)
    declared = {**task.model_dump(mode="json", include=set(fields)), "reader": reader_identity(task)}
    if not task.dense:
        # Targets are not read here, so tasks that differ only in their target share one inspection.
        options = task.options_without_target
        declared["options"] = {name: value for name, value in options.items() if name != "blocks"}
    every = [item for items in splits.values() for item in items]
    known = {} if task.simulated else hashes_of(files_read(task, every), task.root, progress)
    data = {
        name: [items_sha256(task, items, known), labels_sha256(task, items, known) if task.dense else None]
        for name, items in splits.items()
    }
    return content_hash({"version": INSPECTION_VERSION, "task": declared, "data": data})


def _unusable(task: TaskSpec, listing: Listing, items: Sequence[Item]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items:
        reason = _reason(task, listing, item)
        if reason is not None:
            found.setdefault(reason, []).append(item.id)
    return found


def _reason(task: TaskSpec, listing: Listing, item: Item) -> str | None:
    stored = stored_pixels(listing.load, item)
    check_stored(stored, item.dates, task, item.path)
    image = to_unit(stored, task, item.dates)
    if not image.valid.any():
        return NO_PIXEL
    check_unit(image, task, item.path)
    if listing.load_target is None:
        return None
    target = checked_target(listing.load_target(item), image.valid, task, item)
    seen = image.valid if image.valid.ndim == 2 else image.valid.any(axis=0)
    return None if bool((labelled(target, task) & seen).any()) else NO_LABEL


def labelled(target: npt.NDArray[Any], task: TaskSpec) -> npt.NDArray[np.bool_]:
    """Return which pixels of a dense target (height, width) have a label."""
    return np.isfinite(target) if task.numeric else np.asarray(target != task.ignore)


def checked_target(
    target: npt.NDArray[Any], valid: npt.NDArray[np.bool_], task: TaskSpec, item: Item
) -> npt.NDArray[Any]:
    """Check the size and values of a dense target and return it unchanged.

    Args:
        target: (height, width), from the reader.
        valid: (height, width) bool of the image, or (dates, height, width).
        task: declares classes, or the range of the target.
        item: the sample, for messages.

    Raises:
        DataError: the size differs from the image's, or a value is unknown to the task.
    """
    where = item.target or item.path
    if target.shape != valid.shape[-2:]:
        raise DataError(
            f"{where}: the label map has {target.shape} pixels but the image has {valid.shape[-2:]}; sizes must match. "
            "Fetch both files again"
        )
    values = target[labelled(target, task)]
    if not values.size:
        return target
    low, high = (0, len(task.classes) - 1) if task.classes else task.target_range or (-np.inf, np.inf)
    if values.min() < low or values.max() > high:
        raise DataError(
            f"{where}: label values range from {values.min():g} to {values.max():g}, expected {low:g} to {high:g}"
            f"{f', or {task.ignore} for ignored pixels,' if task.classes else ''} for task '{task.slug}'"
        )
    return target
