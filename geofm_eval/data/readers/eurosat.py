"""EuroSAT: ``<Class>/<Class>_<n>.tif`` (13 bands) or ``.jpg`` (RGB), with official split lists or a split file."""

import posixpath
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item, Listing
from geofm_eval.data.readers.chips import check_options, read_lists
from geofm_eval.data.readers.files import load_image, place, rows_by_split
from geofm_eval.data.readers.listed import is_litter, listed_name
from geofm_eval.data.readers.rasters import read_bands
from geofm_eval.errors import ContractError, DataError
from geofm_eval.plurals import some_of

SUFFIXES = {"tif": ".tif", "rgb": ".jpg"}
"""File name endings of the two editions."""

_NESTED = ("", "ds/images/remote_sensing/otherDatasets/sentinel_2/tif", "2750")
"""Folders below the root that may hold the class folders: the root, torchgeo's archive, the publishers' RGB archive."""

_SPLIT_FILES = ("splits.csv", "subset.csv")


def read_listing(task: TaskSpec, root: Path) -> Listing:
    """List the images of a EuroSAT folder by split.

    A ``splits.csv`` or ``subset.csv`` (columns file, class, split; optionally group, lon and lat) takes precedence over
    the official lists. Partial copies use it to list their files.

    The task's options are ``edition`` (``tif`` or ``rgb``) and ``split_lists`` (prefix of the list files).
    """
    suffix, prefix = _options(task)

    def load(item: Item) -> npt.NDArray[Any]:
        return read_bands(item.path, task, task.bands).marked if suffix == ".tif" else load_image(item.path)

    images = _images_root(task, root)
    # Split files are in the root or next to the class folders, which archives nest below it.
    for path in (folder / name for folder in (root, images) for name in _SPLIT_FILES):
        if path.is_file():
            return Listing(root, _read_split_file(task, path, images), "custom", load)
    with_images = any((images / f"{prefix}-{split}.txt").is_file() for split in NAMES)
    lists = {split: (images if with_images else root) / f"{prefix}-{split}.txt" for split in NAMES}
    items = {
        split: tuple(_listed(task, line, lists[split], images, suffix) for line in lines)
        for split, lines in read_lists(task, root, lists).items()
    }
    return Listing(root, items, "official", load)


def _options(task: TaskSpec) -> tuple[str, str]:
    if "chip" in task.options:
        raise ContractError(
            f"task '{task.slug}': found option chip, the size of simulated chips; simulated images of reader 'eurosat' "
            "always have 64 x 64 pixels, so remove it"
        )
    check_options(task, edition=None, split_lists=None)
    edition, prefix = task.options.get("edition"), task.options.get("split_lists")
    if edition not in SUFFIXES or not isinstance(prefix, str):
        raise ContractError(
            f"task '{task.slug}': options are {task.options}; expected edition = 'tif' or 'rgb', and split_lists = the "
            "prefix of the list files, for example 'eurosat'"
        )
    return SUFFIXES[edition], prefix


def _images_root(task: TaskSpec, root: Path) -> Path:
    for nested in _NESTED:
        if any((root / nested / name).is_dir() for name in task.classes):
            return root / nested
    return root


def _listed(task: TaskSpec, line: str, path: Path, images: Path, suffix: str) -> Item:
    """Sample of a line ``<Class>_<n>.jpg``; the lists say .jpg for both editions."""
    name = Path(line).stem
    kind = name.rpartition("_")[0]
    return Item(name, images / kind / f"{name}{suffix}", _label(task, kind, f"{path}, '{line[:80]}'"))


def _read_split_file(task: TaskSpec, path: Path, images: Path) -> dict[str, tuple[Item, ...]]:
    rows = rows_by_split(path, ("file", "class"))
    return {
        name: tuple(_item(task, row, images, where) for where, row in listed if not is_litter(row["file"]))
        for name, listed in rows.items()
    }


def _item(task: TaskSpec, row: dict[str, str], images: Path, where: str) -> Item:
    lonlat = place(row["lon"], row["lat"], where) if row.get("lon") and row.get("lat") else None
    label = _label(task, row["class"], where)
    # The id is the whole path, because every class folder may contain 0001.tif.
    name = posixpath.normpath(listed_name(row["file"], where))
    return Item(name, images / name, label, row.get("group") or None, lonlat)


def _label(task: TaskSpec, kind: str, where: str) -> int:
    if kind not in task.classes:
        raise DataError(f"{where}: label is '{kind[:60]}', expected one of {some_of(task.classes)}. Correct the label")
    return task.classes.index(kind)
