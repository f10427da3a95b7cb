"""Write the samples of a task as plain arrays with a table and a manifest, which any environment can read."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.data.items import Item
from geofm_eval.data.readers.listed import listed_name
from geofm_eval.data.split import ALL, Split
from geofm_eval.datasets import open_splits
from geofm_eval.exporting.entry import entry_of
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import file_sha256, storing, write_bytes, write_json
from geofm_eval.version import __version__

TABLE, MANIFEST, ENTRY = "samples.csv", "manifest.json", "task.toml"
COLUMNS = ("id", "file", "label", "mask", "split", "fold", "group", "lon", "lat", "date")


@dataclass(frozen=True)
class Exported:
    """An export: the folder, its number of samples, and its size in bytes."""

    folder: Path
    samples: int
    bytes: int


def export_samples(task: TaskSpec, folder: Path, progress: StartProgress = LogProgress) -> Exported:
    """Write every sample of a task as ``samples/<id>.npy``, float32 in the declared unit, NaN where there are no data.

    Images are (bands, height, width); of a series there is one file per date. ``samples.csv`` has one row per file,
    with label or mask, split or fold, group, place and date. ``manifest.json`` describes bands, units and classes, and
    has the SHA-256 of every file. ``task.toml`` is a catalog entry that reads the folder again. Files of an interrupted
    export that are complete stay.

    Args:
        task: task of the catalog.
        folder: target; it may hold an earlier export.
        progress: starts a progress display.

    Raises:
        Unavailable: the data are missing.
        DataError: a sample cannot be read.
        StoreError: the folder cannot be written, or the disk is full.
    """
    splits = open_splits(task, progress)
    shown = progress(f"export of {task.slug}", sum(len(split) for split in splits.values()))
    rows: list[dict[str, str]] = []
    with storing(folder / MANIFEST):
        for split in splits.values():
            for index in range(len(split)):
                rows += _written(split, index, folder)
                shown.update(1)
        shown.done()
        write_bytes(folder / TABLE, _table(rows))
        write_bytes(folder / ENTRY, entry_of(task, splits, folder, TABLE).encode())
        files = sorted({row[name] for row in rows for name in ("file", "mask") if row[name]})
        write_json(folder / MANIFEST, _manifest(task, splits, folder, files))
    size = sum((folder / name).stat().st_size for name in files)
    return Exported(folder, sum(map(len, splits.values())), size)


def _written(split: Split, index: int, folder: Path) -> Iterator[dict[str, str]]:
    """Write one sample; yield its rows, one per date."""
    item, mask = split.items[index], ""
    name = listed_name(item.id, split.task.slug).replace("\\", "/")
    if split.task.dense:
        mask = f"masks/{name}.npy"
        image, target = split.read_pair(index)
        _save(folder / mask, target.astype(np.float32 if split.task.numeric else np.int16))
    else:
        image = split.read(index)
    days = [f"{day}" for day in image.dates] or [""]
    for day, single in zip(days, image.single_images(), strict=True):
        file = f"samples/{name}/{day}.npy" if day else f"samples/{name}.npy"
        _save(folder / file, single.pixels)
        yield _row(split, item, index) | {"file": file, "mask": mask, "date": day}


def _save(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    content = buffer.getvalue()
    # Unchanged files of an earlier export are left alone.
    if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
        write_bytes(path, content)


def _row(split: Split, item: Item, index: int) -> dict[str, str]:
    lon, lat = item.lonlat or ("", "")
    return {
        "id": item.id,
        "label": _label(split.task, item),
        "split": "" if split.name == ALL else split.name,
        "fold": str(split.folds[index]) if split.folds else "",
        "group": item.group or "",
        "lon": str(lon),
        "lat": str(lat),
    }


def _label(task: TaskSpec, item: Item) -> str:
    if item.label is None:
        return ""
    return task.classes[int(item.label)] if task.classes else repr(float(item.label))


def _table(rows: list[dict[str, str]]) -> bytes:
    used = [name for name in COLUMNS if any(row[name] for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _manifest(task: TaskSpec, splits: Mapping[str, Split], folder: Path, files: list[str]) -> dict[str, Any]:
    return {
        "task": task.slug,
        "title": task.title,
        "kind": task.kind,
        "metric": task.metric,
        "classes": list(task.classes),
        "ignore": task.ignore,
        "target_unit": task.target_unit,
        "bands": list(task.bands),
        "units": [unit_of(band) or "unknown" for band in task.bands],
        "product": task.product,
        "gsd_m": task.gsd,
        "values": "float32 in the unit of each band, NaN where there are no data; axes (bands, height, width)",
        "licence": task.licence,
        "citation": task.citation,
        "written_by": f"geofm-eval {__version__}",
        "items_sha256": {name: split.items_sha256 for name, split in splits.items()},
        "labels_sha256": {name: split.labels_sha256 for name, split in splits.items()},
        "files": {name: file_sha256(folder / name) for name in files},
        "table_sha256": hashlib.sha256((folder / TABLE).read_bytes()).hexdigest(),
    }
