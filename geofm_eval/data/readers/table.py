"""Own data listed in a table: labels, and if there are any, image files, splits, groups, places and dates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.images import TIFF, place_of
from geofm_eval.data.readers.table_columns import Columns, columns_of
from geofm_eval.data.readers.table_files import TableFile, tables_of
from geofm_eval.data.readers.table_images import image_loader
from geofm_eval.data.readers.table_labels import check_classes
from geofm_eval.data.readers.table_rows import Row, rows_of
from geofm_eval.data.tabular import where
from geofm_eval.errors import ContractError, DataError

NO_LABEL = {"classification": "no label", "regression": "the target is NaN"}
"""Reason for dropping a sample without a label, by kind of task."""


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """List the samples of a table: CSV, TSV, JSON lines, parquet or GeoParquet.

    The label is in column ``label``. Optional columns are ``id``, ``file`` (also ``file_name``, ``path``, ``image``;
    relative to the root, or to the table's folder if the root is the table), ``split``, ``group``, ``lon``, ``lat``
    and ``date``; the centre of a GeoParquet geometry replaces ``lon`` and ``lat``. Without ``id``, the file is the id.
    A column of files per product, ``file.<product>``, gives the bands of several sensors. Rows with the same id are the
    dates of a series, if the task declares ``dates``. Samples without label or with another number of dates are dropped
    and counted.

    The task's options are ``file`` (name of the table below the root), ``label`` and ``id`` (names of these columns),
    ``columns`` (names of any, for example ``{ date = "acquired" }``) and ``bands`` (bands of every product's files).
    With a list of names as ``file``, or a name per split, ids begin with the name of the table: ``iowa/17`` for
    ``iowa.csv.gz``.

    Raises:
        ContractError: the task's options are wrong.
        Unavailable: there is no table.
        DataError: the table is damaged, lacks a column or has a wrong value; the message names the row.
    """
    if task.kind not in NO_LABEL:
        raise ContractError(
            f"task '{task.slug}': reader 'table' reads one label per sample; set kind = 'classification' or "
            "'regression', or use reader = 'masks' for one label per pixel"
        )
    folder, tables = root if root.is_dir() else root.parent, tables_of(task, root)
    columns = [_columns(task, table) for table in tables]
    _check_images(task, columns)
    items, seen = list[Item](), set[float]()
    given, dropped = dict[str, str](), dict[str, list[str]]()
    for table, own in zip(tables, columns, strict=True):
        for id, group in groupby(rows_of(task, own, table.prefix), key=lambda row: row.id):
            rows = _sample(task, table.path, list(group))
            seen.update(row.label for row in rows if task.classes)
            split, reason = table.split or _agreed(table.path, rows, "split"), _unusable(task, rows)
            if reason:
                dropped.setdefault(reason, []).append(id)
                continue
            items.append(_item(task, folder, table.path, rows))
            given |= {id: split} if split else {}
    at = tables[0].path if len(tables) == 1 else root
    check_classes(task, at, seen)
    if not items:
        raise DataError(f"{at}: all samples were dropped ({_counted(dropped)}). Correct the table or the task")
    load = image_loader(task, columns[0].bands) if columns[0].files else None
    items.sort(key=lambda item: item.id)
    return Pool(folder, tuple(items), load, given=given, dropped={why: tuple(ids) for why, ids in dropped.items()})


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


def _counted(dropped: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{len(ids)}: {reason}" for reason, ids in list(dropped.items())[:4])


def _sample(task: TaskSpec, path: Path, rows: list[Row]) -> list[Row]:
    """The rows of one sample in the order of their dates."""
    if task.dates is None:
        if len(rows) > 1:
            _agreed(path, rows, "split")
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


def _agreed(path: Path, rows: Sequence[Row], what: str) -> Any:
    """The value that the rows of one sample share; missing values do not count."""
    values = [(getattr(row, what), row) for row in rows]
    known = [(value, row) for value, row in values if value != "" and value == value]  # NaN differs from itself
    for value, row in known[1:]:
        first, earlier = known[0]
        if value != first:
            raise DataError(
                f"{where(path, row.number)}: sample '{row.id[:80]}' has {what} '{value}', but '{first}' in "
                f"{_place(path, earlier)}; keep one {what} per sample"
            )
    return known[0][0] if known else None


def _unusable(task: TaskSpec, rows: Sequence[Row]) -> str | None:
    if all(np.isnan(row.label) for row in rows):
        return NO_LABEL[task.kind]
    if task.dates is not None and len(rows) != task.dates:
        return f"{len(rows)} dates instead of {task.dates}"
    return None


def _item(task: TaskSpec, folder: Path, path: Path, rows: Sequence[Row]) -> Item:
    label = _agreed(path, rows, "label")
    first, *others = [folder / name for row in rows for name in row.files] or [path]
    placed = bool(rows[0].files) and first.suffix.lower() in TIFF and first.exists()
    lonlat, box = place_of(first) if placed else (None, None)
    return Item(
        rows[0].id,
        first,
        float(label) if task.kind == "regression" else int(label),
        _agreed(path, rows, "group"),
        next((row.lonlat for row in rows if row.lonlat is not None), lonlat),
        tuple(others),
        dates=tuple(_day(path, row) for row in rows) if task.dates is not None else (),
        box=box,
    )
