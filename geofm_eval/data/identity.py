"""What data are known by: hashes of what the reader reads, and of the labels.

Data that a user supplies are known by the bytes of the files that are read. Simulated data are known by the version of
their generator, as the bytes of a file can differ between processors.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.generators import generator_version
from geofm_eval.data.items import Item
from geofm_eval.data.readers.rasters import MASK
from geofm_eval.store import content_hash

LABEL_VERSION = 2
"""Raised whenever the same files would give other labels."""

_TIFF = (".tif", ".tiff")
_LABEL_FIELDS = {"reader", "options", "kind", "ignore", "label_nodata"}


class Sidecars:
    """Finds the masks that are read with GeoTIFFs; every folder is listed once."""

    def __init__(self) -> None:
        self._masks: dict[Path, frozenset[Path]] = {}

    def of(self, path: Path) -> tuple[Path, ...]:
        """Files beside ``path`` that its reader honours."""
        if path.suffix.lower() not in _TIFF:
            return ()
        if path.parent not in self._masks:
            self._masks[path.parent] = frozenset(path.parent.glob(f"*{MASK}"))
        mask = path.with_name(path.name + MASK)
        return (mask,) if mask in self._masks[path.parent] else ()


def image_files(item: Item) -> tuple[Path, ...]:
    """Files that the pixels of an item are read from."""
    return item.path, *item.others


def label_file(item: Item) -> Path:
    """File that the label of every pixel of an item is read from."""
    return item.target or item.path


def files_read(task: TaskSpec, items: Iterable[Item]) -> list[Path]:
    """Every file that is read for some items, sidecars included."""
    sidecars = Sidecars()
    labels = (lambda item: (label_file(item),)) if task.dense else (lambda _: ())
    read = [path for item in items for path in (*image_files(item), *labels(item))]
    return [part for path in dict.fromkeys(read) for part in (path, *sidecars.of(path))]


def items_sha256(task: TaskSpec, items: Sequence[Item], contents: Mapping[Path, str]) -> str:
    """Hash of what decides the pixels of some items, as far as it is not declared by the task.

    Args:
        task: of the items.
        items: in order.
        contents: sha256 of every file that is read; empty for simulated data.

    Returns:
        Hex sha256 over the ids and, of simulated data, the version of the generator; else over the contents of the
        images' files with their sidecars, and over which images of a series are taken, of which dates. Names of files
        and folders are no part of it: another copy of the same images has the same hash.
    """
    if task.simulated:
        return lines_sha256([f"generator\t{generator_version(task)}", *(item.id for item in items)])
    sidecars = Sidecars()
    rows = (
        [item.id, [str(day) for day in item.dates], item.frames, *_read(image_files(item), sidecars, contents)]
        for item in items
    )
    return lines_sha256(content_hash(row) for row in rows)


def labels_sha256(task: TaskSpec, items: Sequence[Item], contents: Mapping[Path, str]) -> str:
    """Hash of the labels of some items.

    Args:
        task: of the items.
        items: in order.
        contents: sha256 of every file that is read; empty for simulated data.

    Returns:
        Hex sha256 over ids and labels; for dense tasks over ids, contents of the label files, and what the task
        declares about them. Of simulated labels, which the generator's version decides, names stand for contents.
    """
    version = f"labels\t{LABEL_VERSION}"
    if not task.dense:
        return lines_sha256([version, *(f"{item.id}\t{item.label}" for item in items)])
    if task.simulated:
        made = [f"generator\t{generator_version(task)}"]
        return lines_sha256([version, *made, *(f"{item.id}\t{label_file(item).name}" for item in items)])
    declared = [len(task.classes), task.model_dump(mode="json", include=_LABEL_FIELDS)]
    sidecars = Sidecars()
    rows = ([item.id, *_read((label_file(item),), sidecars, contents)] for item in items)
    return lines_sha256([version, content_hash(declared), *map(content_hash, rows)])


def _read(paths: Iterable[Path], sidecars: Sidecars, contents: Mapping[Path, str]) -> list[list[str]]:
    """Of every file its sha256, and that of its mask where it has one."""
    return [[contents[part] for part in (path, *sidecars.of(path))] for path in paths]


def lines_sha256(lines: Iterable[str]) -> str:
    """Hex sha256 of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
