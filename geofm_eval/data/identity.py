"""Identity of data: hashes of the files that are read, and of the labels.

Data supplied by users are identified by the bytes of the files. Simulated data are identified by the version of their
generator, because the bytes of generated files can differ between processors.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.readers.rasters import MASK
from geofm_eval.own_code import code_sha256
from geofm_eval.store import content_hash

LABEL_VERSION = 2
"""Increase whenever the same files would give other labels."""

GENERATOR_VERSION = 2
"""Increase whenever the same seed gives other chips; part of the identity of simulated chips."""

LANDSCAPE_VERSION = 3
"""Increase whenever the same seed gives another landscape; part of the identity of simulated landscapes."""

_TIFF = (".tif", ".tiff")
_LABEL_FIELDS = {"reader", "options", "kind", "ignore", "label_nodata"}


class Sidecars:
    """Finds the mask files that are read together with GeoTIFFs; lists each folder once."""

    def __init__(self) -> None:
        self._masks: dict[Path, frozenset[Path]] = {}

    def of(self, path: Path) -> tuple[Path, ...]:
        """Return the sidecar files that the reader of ``path`` uses."""
        if path.suffix.lower() not in _TIFF:
            return ()
        if path.parent not in self._masks:
            self._masks[path.parent] = frozenset(path.parent.glob(f"*{MASK}"))
        mask = path.with_name(path.name + MASK)
        return (mask,) if mask in self._masks[path.parent] else ()


def generator_version(task: TaskSpec) -> str:
    """Return the version of the generator that draws the stand-in of a task."""
    return f"{GENERATOR_VERSION}" if task.standin == "eurosat" else f"landscape{LANDSCAPE_VERSION}"


def reader_identity(task: TaskSpec) -> str:
    """Return the name of a task's reader; for a user's own code, the function and the hash of the code."""
    source, _, function = task.reader.rpartition(":")
    return f"{function}@{code_sha256(Path(source))}" if source.endswith(".py") else task.reader


def image_files(item: Item) -> tuple[Path, ...]:
    """Return the files that hold the pixels of a sample."""
    return item.path, *item.others


def label_file(item: Item) -> Path:
    """Return the file that holds the per-pixel labels of a sample."""
    return item.target or item.path


def label_files(item: Item) -> tuple[Path, ...]:
    """Return every file that determines the per-pixel labels of a sample."""
    return label_file(item), *item.target_others


def files_read(task: TaskSpec, items: Iterable[Item]) -> list[Path]:
    """Return every file that is read for some samples, sidecars included."""
    sidecars = Sidecars()
    labels = label_files if task.dense else (lambda _: ())
    read = [path for item in items for path in (*image_files(item), *labels(item))]
    return [part for path in dict.fromkeys(read) for part in (path, *sidecars.of(path))]


def items_sha256(task: TaskSpec, items: Sequence[Item], contents: Mapping[Path, str]) -> str:
    """Hash everything that determines the pixels of some samples and that the task does not declare.

    File and folder names are not hashed: another copy of the same images has the same hash.

    Args:
        task: task of the samples.
        items: samples, in order.
        contents: SHA-256 of every file that is read; empty for simulated data.

    Returns:
        Hex SHA-256. Simulated data: over ids and generator version. Otherwise: over ids, the contents of image files
        and their sidecars, and the selected frames of a series with their dates.
    """
    if task.simulated:
        return lines_sha256([f"generator\t{generator_version(task)}", *(item.id for item in items)])
    sidecars = Sidecars()
    rows = (
        [item.id, [str(day) for day in item.dates], item.frames, *_read(image_files(item), sidecars, contents)]
        for item in items
    )
    return lines_sha256(content_hash(row) for row in rows)


def places_sha256(items: Iterable[Item]) -> str:
    """Hash the ids and places of samples without images, which are all that is known of them besides labels."""
    return lines_sha256(f"{item.id}\t{item.lonlat}" for item in items)


def labels_sha256(task: TaskSpec, items: Sequence[Item], contents: Mapping[Path, str]) -> str:
    """Hash the labels of some samples.

    Args:
        task: task of the samples.
        items: samples, in order.
        contents: SHA-256 of every file that is read; empty for simulated data.

    Returns:
        Hex SHA-256 over ids and labels. Dense tasks: over ids, contents of the label files, and what the task declares
        about labels. Simulated dense tasks: file names and the generator version replace the contents.
    """
    version = f"labels\t{LABEL_VERSION}"
    if not task.dense:
        return lines_sha256([version, *(f"{item.id}\t{item.label}" for item in items)])
    if task.simulated:
        made = [f"generator\t{generator_version(task)}"]
        return lines_sha256([version, *made, *(f"{item.id}\t{label_file(item).name}" for item in items)])
    fields = {**task.model_dump(mode="json", include=_LABEL_FIELDS), "reader": reader_identity(task)}
    # Readers of own data find classes by name, others by number.
    declared = [list(task.classes) if task.own else len(task.classes), fields]
    sidecars = Sidecars()
    rows = ([item.id, *_read(label_files(item), sidecars, contents)] for item in items)
    return lines_sha256([version, content_hash(declared), *map(content_hash, rows)])


def _read(paths: Iterable[Path], sidecars: Sidecars, contents: Mapping[Path, str]) -> list[list[str]]:
    return [[contents[part] for part in (path, *sidecars.of(path))] for path in paths]


def lines_sha256(lines: Iterable[str]) -> str:
    """Return the hex SHA-256 of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
