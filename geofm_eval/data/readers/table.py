"""Own data listed in a table: labels, and if there are any, image files, splits, groups, places and dates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.images import TIFF, place_of
from geofm_eval.data.readers.mask_targets import legends_of, target_loader
from geofm_eval.data.readers.table_columns import Columns, columns_of
from geofm_eval.data.readers.table_files import TableFile, tables_of
from geofm_eval.data.readers.table_images import image_loader
from geofm_eval.data.readers.table_labels import check_classes
from geofm_eval.data.readers.table_rows import Row, rows_of
from geofm_eval.data.readers.table_texts import fold_numbers, mask_path, texts_of
from geofm_eval.data.tabular import where
from geofm_eval.errors import DataError

NO_LABEL = {
    "classification": "no label",
    "regression": "the target is NaN",
    "segmentation": "no mask",
    "dense_regression": "no mask",
}
"""Reason for dropping a sample without a label, by kind of task."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One sample of a table: its item, or the reason why it cannot be used; and label, split and fold as written."""

    id: str
    item: Item | None
    reason: str
    label: float
    split: str
    fold: str


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """List the samples of a table: CSV, TSV, JSON lines, parquet or GeoParquet.

    The label is in column ``label``; of tasks with one label per pixel, ``mask`` names the mask. Optional columns are
    ``id``, ``file`` (also ``file_name``, ``path``, ``image``; relative to the root, or to the table's folder if the
    root is the table), ``split``, ``fold``, ``group``, ``lon``, ``lat`` and ``date``; the centre of a GeoParquet
    geometry replaces ``lon`` and ``lat``. Without ``id``, the file is the id. A column of files per product,
    ``file.<product>``, gives the bands of several sensors. Rows with the same id are the dates of a series, if the task
    declares ``dates``. Samples without label or with another number of dates are dropped and counted.

    The task's options are ``file`` (name of the table below the root), ``label`` (name of the column of labels or
    masks), ``id``, ``columns`` (names of any, for example ``{ date = "acquired" }``), ``bands`` (bands of every
    product's files) and ``target`` (what is predicted, if the name of its column does not say it). ``values`` and
    ``ignore`` are as for the reader ``masks``. With a list of names as ``file``, or a name per split, ids begin with
    the name of the table: ``iowa/17`` for ``iowa.csv.gz``.

    Raises:
        ContractError: the task's options are wrong.
        Unavailable: there is no table.
        DataError: the table is damaged, lacks a column or has a wrong value; the message names the row.
    """
    folder, tables = root if root.is_dir() else root.parent, tables_of(task, root)
    columns = [_columns(task, table) for table in tables]
    _check_images(task, columns)
    found = [one for table, own in zip(tables, columns, strict=True) for one in _samples(task, folder, table, own)]
    at = tables[0].path if len(tables) == 1 else root
    dropped = _dropped(found)
    items = tuple(sorted((one.item for one in found if one.item is not None), key=lambda item: item.id))
    if task.kind == "classification":
        check_classes(task, at, {one.label for one in found})
    _check_left(task, at, items, dropped)
    load = image_loader(task, columns[0].bands) if columns[0].files else None
    load_target = target_loader(task, items) if task.dense else None
    given = {one.id: one.split for one in found if one.item is not None and one.split}
    folds = fold_numbers({one.id: one.fold for one in found if one.item is not None and one.fold})
    return Pool(folder, items, load, load_target, given, dropped, folds)


def _samples(task: TaskSpec, folder: Path, table: TableFile, own: Columns) -> Iterator[_Sample]:
    folds, masks = texts_of(own, "fold"), texts_of(own, "label") if task.dense else {}
    for id, group in groupby(rows_of(task, own, table.prefix), key=lambda row: row.id):
        rows = _sample(task, table.path, list(group))
        split = table.split or _agreed(table.path, rows, "split", [row.split for row in rows]) or ""
        fold = _agreed(table.path, rows, "fold", [folds.get(row.number, "") for row in rows]) or ""
        mask = _agreed(table.path, rows, "mask", [masks.get(row.number, "") for row in rows])
        reason = _unusable(task, rows)
        item = None if reason else _item(task, folder, table.path, rows)
        if item is not None and mask is not None:
            target = mask_path(folder, mask, where(table.path, rows[0].number))
            item = replace(item, target=target, target_others=legends_of(target, folder))
        yield _Sample(
            id, item, reason, next((row.label for row in rows if not np.isnan(row.label)), np.nan), split, fold
        )


def _dropped(found: Sequence[_Sample]) -> dict[str, tuple[str, ...]]:
    ids: dict[str, list[str]] = {}
    for one in found:
        if one.item is None:
            ids.setdefault(one.reason, []).append(one.id)
    return {reason: tuple(of) for reason, of in ids.items()}


def _check_left(task: TaskSpec, at: Path, items: Sequence[Item], dropped: Mapping[str, Sequence[str]]) -> None:
    """Refuse a table, or a class, all of whose samples were dropped."""
    if not items:
        raise DataError(f"{at}: all samples were dropped ({_counted(dropped)}). Correct the table or the task")
    left = {item.label for item in items}
    lost = [name for position, name in enumerate(task.classes) if position not in left]
    if lost and task.kind == "classification":
        raise DataError(
            f"{at}: all samples of class '{lost[0][:40]}' were dropped ({len(lost)} of {len(task.classes)} classes "
            f"have none left; dropped: {_counted(dropped)[:120]}). Correct these rows, or remove the class"
        )


def _columns(task: TaskSpec, table: TableFile) -> Columns:
    """Columns of a table, without that of splits if the task names the split of the whole table."""
    found = columns_of(task, table.path)
    named = {role: column for role, column in found.named.items() if role != "split" or not table.split}
    return replace(found, named=named)


def _check_images(task: TaskSpec, columns: Sequence[Columns]) -> None:
    without = [own.path.name for own in columns if not own.files]
    if 0 < len(without) < len(columns):
        raise DataError(
            f"task '{task.slug}': {without[0]} has no column of image files, but other tables of the task have one. "
            "Add it, or make two tasks"
        )
    if without and task.dense:
        raise DataError(
            f"{columns[0].path}: there is no column of image files; expected an image for every mask. Add a column "
            "file with the path of each image"
        )


def _counted(dropped: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{len(ids)}: {reason}" for reason, ids in list(dropped.items())[:4])


def _sample(task: TaskSpec, path: Path, rows: list[Row]) -> list[Row]:
    """The rows of one sample in the order of their dates."""
    if task.dates is None:
        if len(rows) > 1:
            _agreed(path, rows, "split", [row.split for row in rows])
            hint = f". For a series, set dates = {len(rows)} in the task" if all(row.day for row in rows) else ""
            raise DataError(
                f"{where(path, rows[1].number)}: sample '{rows[0].id[:80]}' is also in {_place(path, rows[0])}; ids "
                f"must be unique. Remove one row{hint}"
            )
        return rows
    days = {row.number: _day(path, row) for row in rows}
    ordered = sorted(rows, key=lambda row: (days[row.number], row.number))
    for before, after in pairwise(ordered):
        if days[before.number] == days[after.number]:
            raise DataError(
                f"{where(path, after.number)}: sample '{after.id[:80]}' has the date {days[after.number]} also in "
                f"{_place(path, before)}; expected one row per date. Remove one"
            )
    return ordered


def _place(path: Path, row: Row) -> str:
    return where(path, row.number).rpartition(", ")[2]


def _day(path: Path, row: Row) -> date:
    try:
        return date.fromisoformat(row.day.replace("T", " ").split(" ")[0])
    except (ValueError, IndexError):
        raise DataError(
            f"{where(path, row.number)}: date is '{row.day[:40]}', expected for example 2021-07-31. Write all dates as "
            "year-month-day"
        ) from None


def _agreed(path: Path, rows: Sequence[Row], what: str, values: Sequence[Any]) -> Any:
    """The value that the rows of one sample share; missing values do not count."""
    pairs = zip(values, rows, strict=True)
    known = [(value, row) for value, row in pairs if value != "" and value == value]  # NaN differs from itself
    for value, row in known[1:]:
        first, earlier = known[0]
        if value != first:
            raise DataError(
                f"{where(path, row.number)}: sample '{row.id[:80]}' has {what} '{value}', but '{first}' in "
                f"{_place(path, earlier)}; keep one {what} per sample"
            )
    return known[0][0] if known else None


def _unusable(task: TaskSpec, rows: Sequence[Row]) -> str:
    """Reason why a sample is dropped; empty if it can be used."""
    if all(np.isnan(row.label) for row in rows):
        return NO_LABEL[task.kind]
    if task.dates is not None and len(rows) != task.dates:
        return f"{len(rows)} dates instead of {task.dates}"
    return ""


def _item(task: TaskSpec, folder: Path, path: Path, rows: Sequence[Row]) -> Item:
    label = _agreed(path, rows, "label", [row.label for row in rows])
    first, *others = [folder / name for row in rows for name in row.files] or [path]
    placed = bool(rows[0].files) and first.suffix.lower() in TIFF and first.exists()
    lonlat, box = place_of(first) if placed else (None, None)
    return Item(
        rows[0].id,
        first,
        None if task.dense else float(label) if task.kind == "regression" else int(label),
        _agreed(path, rows, "group", [row.group for row in rows]),
        next((row.lonlat for row in rows if row.lonlat is not None), lonlat),
        tuple(others),
        dates=tuple(_day(path, row) for row in rows) if task.dates is not None else (),
        box=box,
    )
